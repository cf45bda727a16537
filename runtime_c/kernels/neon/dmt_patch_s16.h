/* Patches of int16 convolutions with few inputs: all taps of a pixel side by side, zeros where a
 * tap is outside. */
#ifndef DMT_PATCH_S16_H
#define DMT_PATCH_S16_H

#include "../generic/dmt_conv.h"
#include "dmt_neon.h"

DMT_INLINE int16_t *dmt_put_s16(int16_t *to, const int16_t *from, uint32_t n) {
  for (; n >= 8; n -= 8, from += 8, to += 8) {
    vst1q_s16(to, vld1q_s16(from));
  }
  if (n & 4) {
    vst1_s16(to, vld1_s16(from));
    from += 4;
    to += 4;
  }
  for (n &= 3; n > 0; n--) {
    *to++ = *from++;
  }
  return to;
}

static inline int16_t *dmt_put_zeros_s16(int16_t *to, size_t n) {
  memset(to, 0, n * sizeof *to);
  return to + n;
}

/* A row of taps; `line` is the row of the group's inputs. */
DMT_INLINE int16_t *dmt_patch_line(const dmt_conv *c, const uint8_t *line, int32_t x, int16_t *to) {
  int32_t width = c->x.kernel;
  if (c->x.dilation == 1 && c->in.pixel == c->ig * sizeof *to && x >= 0 && x + width <= c->x.in) {
    line += (size_t)(uint32_t)x * c->in.pixel;
    return dmt_put_s16(to, (const int16_t *)(const void *)line, (uint32_t)width * c->ig);
  }
  for (int32_t col = 0; col < width; col++, x += c->x.dilation) {
    if (x < 0 || x >= c->x.in) {
      to = dmt_put_zeros_s16(to, c->ig);
      continue;
    }
    const void *from = line + (size_t)(uint32_t)x * c->in.pixel;
    to = dmt_put_s16(to, from, c->ig);
  }
  return to;
}

/* A patch inside the input, its rows without gaps, with a row of input below: copied in eights, of
 * which the last goes too far, in the patch and in the input. */
static inline int16_t *dmt_patch_inside(const dmt_conv *c, const uint8_t *from, int16_t *to) {
  size_t row = (uint32_t)c->y.dilation * c->in.row;
  uint32_t n = (uint32_t)c->x.kernel * c->ig;
  for (int32_t rows = c->y.kernel; rows > 0; rows--, from += row, to += n) {
    const int16_t *x = (const int16_t *)(const void *)from;
    for (uint32_t i = 0; i < n; i += 8) {
      vst1q_s16(to + i, vld1q_s16(x + i));
    }
  }
  return to;
}

/* The patch of output (y, x) of a group's inputs, whose sample starts at `from`. There is room for
 * DMT_PATCH_MORE bytes behind it. */
static inline int16_t *dmt_patch_s16(const dmt_conv *c, const uint8_t *from, uint32_t out_y,
                                     uint32_t out_x, int16_t *to) {
  int32_t y = (int32_t)out_y * c->y.stride - c->y.pad;
  int32_t x = (int32_t)out_x * c->x.stride - c->x.pad;
  int dense = c->x.dilation == 1 && c->in.pixel == c->ig * sizeof *to;
  int inside = y >= 0 && y + (c->y.kernel - 1) * c->y.dilation + 1 < c->y.in && x >= 0 &&
               x + c->x.kernel <= c->x.in;
  if (dense && inside && c->in.w * c->in.pixel >= DMT_PATCH_MORE) {
    return dmt_patch_inside(c, from + (uint32_t)y * c->in.row + (uint32_t)x * c->in.pixel, to);
  }
  for (int32_t row = 0; row < c->y.kernel; row++, y += c->y.dilation) {
    to = y < 0 || y >= c->y.in ? dmt_put_zeros_s16(to, (size_t)(uint32_t)c->x.kernel * c->ig)
                               : dmt_patch_line(c, from + (size_t)(uint32_t)y * c->in.row, x, to);
  }
  return to;
}

#endif
