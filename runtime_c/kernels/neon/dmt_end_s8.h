/* From the sums of an int8 convolution, four outputs a pixel, to its outputs. */
#ifndef DMT_END_S8_H
#define DMT_END_S8_H

#include "../generic/dmt_conv_int.h"

/* Outputs of a pixel that are put together, a line of the cache, before they go where they belong:
 * there pixels are often so far apart that they share few sets. */
enum { DMT_END_LINE = 64 };

/* What all outputs share. */
typedef struct dmt_end {
  const dmt_conv *conv;
  int32_t zero, low, high;
  uint32_t plain; /* no slopes, and nothing is shifted to the left */
} dmt_end;

static inline dmt_end dmt_end_of(const dmt_call *call, const dmt_conv *c) {
  dmt_end e = {c, call->out.zero_point, dmt_signed(call, 56), dmt_signed(call, 60), !c->slopes};
  const int32_t *left = c->channels + 2 * (size_t)dmt_up8(c->out.c);
  for (uint32_t i = 0; i < c->out.c; i++) {
    e.plain &= left[i] == 0;
  }
  return e;
}

/* n <= 4 words of array `array`, then zeros. */
DMT_INLINE int32x4_t dmt_end_words(const dmt_end *e, uint32_t array, uint32_t first, uint32_t n) {
  const int32_t *from = e->conv->channels + array * (size_t)dmt_up8(e->conv->out.c) + first;
  int32_t some[4] = {0};
  if (n == 4) {
    return vld1q_s32(from);
  }
  for (uint32_t i = 0; i < n; i++) {
    some[i] = from[i];
  }
  return vld1q_s32(some);
}

typedef struct {
  int32x4_t by, left, right; /* right is negative, as vrshl has it */
} dmt_end_factor;

DMT_INLINE dmt_end_factor dmt_end_load(const dmt_end *e, uint32_t array, uint32_t first,
                                       uint32_t n) {
  dmt_end_factor f = {dmt_end_words(e, array, first, n), dmt_end_words(e, array + 1, first, n),
                      vnegq_s32(dmt_end_words(e, array + 2, first, n))};
  return f;
}

DMT_INLINE int16x4_t dmt_end_scale(int32x4_t sum, const dmt_end_factor *f, const uint32_t plain) {
  if (!plain) {
    uint32x4_t below = vcltq_s32(sum, vdupq_n_s32(0));
    sum = vqrdmulhq_s32(vqshlq_s32(sum, vbslq_s32(below, f[1].left, f[0].left)),
                        vbslq_s32(below, f[1].by, f[0].by));
    return vqmovn_s32(vrshlq_s32(sum, vbslq_s32(below, f[1].right, f[0].right)));
  }
  return vqmovn_s32(vrshlq_s32(vqrdmulhq_s32(sum, f[0].by), f[0].right));
}

DMT_INLINE int8x8_t dmt_end_two(const int32_t *sums, const dmt_end_factor *f, int16x8_t zero,
                                int8x8_t low, int8x8_t high, const uint32_t plain) {
  int16x4_t first = dmt_end_scale(vld1q_s32(sums), f, plain);
  int16x4_t second = dmt_end_scale(vld1q_s32(sums + 4), f, plain);
  int8x8_t both = vqmovn_s16(vqaddq_s16(vcombine_s16(first, second), zero));
  return vmin_s8(vmax_s8(both, low), high);
}

DMT_INLINE void dmt_end_put(int8_t *y, int8x8_t two) {
  vst1_lane_s32((int32_t *)(void *)y, vreinterpret_s32_s8(two), 0);
  vst1_lane_s32((int32_t *)(void *)(y + DMT_END_LINE), vreinterpret_s32_s8(two), 1);
}

DMT_INLINE void dmt_end_as(const dmt_end *e, const int32_t *sums, uint32_t pairs, int8_t *y,
                           uint32_t first, uint32_t n, const uint32_t plain) {
  dmt_end_factor f[2];
  f[0] = f[1] = dmt_end_load(e, 1, first, n);
  if (!plain && e->conv->slopes) {
    f[1] = dmt_end_load(e, 4, first, n);
  }
  int16x8_t zero = vdupq_n_s16((int16_t)e->zero);
  int8x8_t low = vdup_n_s8((int8_t)e->low), high = vdup_n_s8((int8_t)e->high);
  for (; plain && pairs >= 2; pairs -= 2, sums += 16, y += 4 * DMT_END_LINE) {
    int8x8_t a = dmt_end_two(sums, f, zero, low, high, plain);
    int8x8_t b = dmt_end_two(sums + 8, f, zero, low, high, plain);
    dmt_end_put(y, a);
    dmt_end_put(y + 2 * DMT_END_LINE, b);
  }
  for (; pairs > 0; pairs--, sums += 8, y += 2 * DMT_END_LINE) {
    dmt_end_put(y, dmt_end_two(sums, f, zero, low, high, plain));
  }
}

/* sums[pixel][4] become n <= 4 outputs from `first` on; those of a pixel stand DMT_END_LINE bytes
 * behind those of the last, and are always four. */
static inline void dmt_end_pairs(const dmt_end *e, const int32_t *sums, uint32_t pairs, int8_t *y,
                                 uint32_t first, uint32_t n) {
  if (e->plain) {
    dmt_end_as(e, sums, pairs, y, first, n, 1);
  } else {
    dmt_end_as(e, sums, pairs, y, first, n, 0);
  }
}

/* n <= DMT_END_LINE outputs of a pixel to where they belong. */
static inline void dmt_end_move(uint8_t *to, const int8_t *from, uint32_t n) {
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    vst1q_u8(to + i, vld1q_u8((const uint8_t *)from + i));
  }
  for (; i + 4 <= n; i += 4) {
    vst1_lane_u32((uint32_t *)(void *)(to + i),
                  vld1_u32((const uint32_t *)(const void *)(from + i)), 0);
  }
  for (; i < n; i++) {
    to[i] = (uint8_t)from[i];
  }
}

#endif
