/* Between float32 and stored integers: FORMAT.md, Arithmetic. */
#ifndef DMT_QUANTIZE_H
#define DMT_QUANTIZE_H

#include "demitasse.h"

/* clamp(zero_point + floor(value * inv_scale + 0.5)); the integer's range is low..high. */
static inline int32_t dmt_quantize(float value, float inv_scale, int32_t zero_point, int32_t low,
                                   int32_t high) {
  float steps = value * inv_scale;
  steps = steps + 0.5f;
  if (steps != steps) {
    return zero_point;
  }
  /* Clamped before the conversion, which is undefined outside int32. */
  if (steps >= (float)(high - zero_point)) {
    return high;
  }
  if (steps < (float)(low - zero_point)) {
    return low;
  }
  int32_t floored = (int32_t)steps;
  floored -= (float)floored > steps;
  return zero_point + floored;
}

static inline float dmt_dequantize(int32_t value, float scale, int32_t zero_point) {
  return (float)(value - zero_point) * scale;
}

static inline int32_t dmt_lowest(uint32_t dtype) { return dtype == DMT_S8 ? -128 : -32768; }
static inline int32_t dmt_highest(uint32_t dtype) { return dtype == DMT_S8 ? 127 : 32767; }

/* Bytes of an element. */
static inline uint32_t dmt_item(uint32_t dtype) {
  return dtype == DMT_F32 ? 4 : dtype == DMT_S16 ? 2 : 1;
}

#endif
