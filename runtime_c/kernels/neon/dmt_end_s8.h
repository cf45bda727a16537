/* From the sums of an int8 convolution, four outputs a pixel, to its outputs. */
#ifndef DMT_END_S8_H
#define DMT_END_S8_H

#include "../generic/dmt_conv_int.h"

/* Outputs of a pixel that are put together, a line of the cache, before they go where they belong:
 * there pixels are often so far apart that they share few sets. */
enum { DMT_END_LINE = 64, DMT_END_MORE = 40 };

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

DMT_INLINE int16x4_t dmt_end_scale(int32x4_t sum, const dmt_end_factor *f) {
  uint32x4_t below = vcltq_s32(sum, vdupq_n_s32(0));
  sum = vqrdmulhq_s32(vqshlq_s32(sum, vbslq_s32(below, f[1].left, f[0].left)),
                      vbslq_s32(below, f[1].by, f[0].by));
  return vqmovn_s32(vrshlq_s32(sum, vbslq_s32(below, f[1].right, f[0].right)));
}

typedef struct {
  int16x8_t zero;
  int8x8_t low, high;
} dmt_end_range;

DMT_INLINE void dmt_end_put(int8_t *y, int16x8_t two, const dmt_end_range *r) {
  int8x8_t out = vmin_s8(vmax_s8(vqmovn_s16(vqaddq_s16(two, r->zero)), r->low), r->high);
  vst1_lane_s32((int32_t *)(void *)y, vreinterpret_s32_s8(out), 0);
  vst1_lane_s32((int32_t *)(void *)(y + DMT_END_LINE), vreinterpret_s32_s8(out), 1);
}

/* Four pixels at a time, in three steps: while some are stored, the next are rounded, and the sums
 * of those behind are taken. What is stored first is nothing: four pixels before y are overwritten.
 */
static inline void dmt_end_plain(const int32_t *sums, uint32_t pairs, int8_t *y, int32x4_t bias,
                                 const dmt_end_factor *f, const dmt_end_range *r) {
  struct {
    int8x16_t low, high;
    int16x8_t zero;
    int32x4_t bias, right, by;
  } in = {
      vcombine_s8(r->low, r->low), vcombine_s8(r->high, r->high), r->zero, bias, f->right, f->by};
  uint32_t fours = (pairs + 1) / 2 + 1, step = DMT_END_LINE;
  y -= 4 * DMT_END_LINE;
#define DMT_END_SUMS_A                                                                             \
  "vsub.i32 q7, q1, q5\n"                                                                          \
  "vsub.i32 q6, q0, q4\n"                                                                          \
  "vld1.32 {d8-d11}, [%[sums]]!\n"
#define DMT_END_SUMS_B                                                                             \
  "vsub.i32 q8, q4, q0\n"                                                                          \
  "vsub.i32 q9, q5, q1\n"                                                                          \
  "vadd.i32 q7, q7, q13\n"                                                                         \
  "vadd.i32 q8, q8, q13\n"                                                                         \
  "vadd.i32 q9, q9, q13\n"                                                                         \
  "vadd.i32 q6, q6, q13\n"
  __asm__ volatile("vldmia %[in], {d20-d31}\n" /* low, high, zero, bias, right, by */
                   "vmov.i32 q4, #0\n"
                   "vmov.i32 q5, #0\n"
                   "vld1.32 {d0-d3}, [%[sums]]!\n" DMT_END_SUMS_A DMT_END_SUMS_B "1:\n"
                   "subs %[fours], %[fours], #1\n"
                   "vqrdmulh.s32 q7, q7, q15\n"
                   "vqadd.s16 q2, q2, q12\n"
                   "vqrdmulh.s32 q6, q6, q15\n"
                   "vqrdmulh.s32 q8, q8, q15\n"
                   "vld1.32 {d0-d3}, [%[sums]]!\n"
                   "vrshl.s32 q6, q6, q14\n"
                   "vqmovn.s16 d4, q2\n"
                   "vqrdmulh.s32 q9, q9, q15\n"
                   "vqadd.s16 q3, q3, q12\n"
                   "vqmovn.s16 d5, q3\n"
                   "vmax.s8 q2, q2, q10\n"
                   "vrshl.s32 q8, q8, q14\n"
                   "vrshl.s32 q7, q7, q14\n"
                   "vmin.s8 q2, q2, q11\n"
                   "vst1.32 {d4[0]}, [%[y]], %[step]\n"
                   "vrshl.s32 q9, q9, q14\n"
                   "vst1.32 {d4[1]}, [%[y]], %[step]\n"
                   "vst1.32 {d5[0]}, [%[y]], %[step]\n"
                   "vst1.32 {d5[1]}, [%[y]], %[step]\n"
                   "vqmovn.s32 d4, q6\n"
                   "vqmovn.s32 d5, q7\n" DMT_END_SUMS_A "vqmovn.s32 d7, q9\n"
                   "vqmovn.s32 d6, q8\n" DMT_END_SUMS_B "bne 1b\n"
                   : [sums] "+r"(sums), [y] "+r"(y), [fours] "+r"(fours)
                   : [in] "r"(&in), [step] "r"(step)
                   : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11",
                     "q12", "q13", "q14", "q15", "cc", "memory");
}

/* The running totals sums[pair][pixel of two][4] become n <= 4 outputs from `first` on; those of a
 * pixel stand DMT_END_LINE bytes behind those of the last, and are always four. DMT_END_MORE more
 * sums are read, and four lines before and two behind are overwritten. */
static inline void dmt_end_pairs(const dmt_end *e, const int32_t *sums, uint32_t pairs, int8_t *y,
                                 uint32_t first, uint32_t n) {
  dmt_end_factor f[2];
  dmt_end_range r = {vdupq_n_s16((int16_t)e->zero), vdup_n_s8((int8_t)e->low),
                     vdup_n_s8((int8_t)e->high)};
  int32x4_t bias = dmt_end_words(e, 0, first, n), less[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
  f[0] = f[1] = dmt_end_load(e, 1, first, n);
  if (e->plain) {
    dmt_end_plain(sums, pairs, y, bias, f, &r);
    return;
  }
  if (e->conv->slopes) {
    f[1] = dmt_end_load(e, 4, first, n);
  }
  for (; pairs > 0; pairs--, sums += 8, y += 2 * DMT_END_LINE) {
    int16x4_t h[2];
    for (uint32_t i = 0; i < 2; i++) {
      int32x4_t total = vld1q_s32(sums + 4 * i);
      h[i] = dmt_end_scale(vaddq_s32(vsubq_s32(total, less[i]), bias), f);
      less[i] = total;
    }
    dmt_end_put(y, vcombine_s16(h[0], h[1]), &r);
  }
}

/* Whole lines, at least one. */
static inline void dmt_end_move_lines(uint8_t *to, size_t step, const uint8_t *from,
                                      uint32_t count) {
  __asm__ volatile("1:\n"
                   "vld1.8 {d0-d3}, [%[from]]!\n"
                   "vld1.8 {d4-d7}, [%[from]]!\n"
                   "subs %[count], %[count], #1\n"
                   "vst1.8 {d0-d3}, [%[to]]!\n"
                   "vst1.8 {d4-d7}, [%[to]], %[rest]\n"
                   "bne 1b\n"
                   : [to] "+r"(to), [from] "+r"(from), [count] "+r"(count)
                   : [rest] "r"(step - DMT_END_LINE / 2)
                   : "q0", "q1", "q2", "q3", "cc", "memory");
}

/* n <= DMT_END_LINE outputs of `count` pixels to where they belong, `step` bytes apart. */
static inline void dmt_end_move(uint8_t *to, size_t step, const int8_t *lines, uint32_t n,
                                uint32_t count) {
  const uint8_t *from = (const uint8_t *)lines;
  if (n == DMT_END_LINE && count > 0) {
    dmt_end_move_lines(to, step, from, count);
    return;
  }
  for (; count > 0; count--, from += DMT_END_LINE, to += step) {
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
      uint8x16_t a = vld1q_u8(from + i), b = vld1q_u8(from + i + 16);
      vst1q_u8(to + i, a);
      vst1q_u8(to + i + 16, b);
    }
    for (; i + 8 <= n; i += 8) {
      vst1_u8(to + i, vld1_u8(from + i));
    }
    for (; i < n; i++) {
      to[i] = from[i];
    }
  }
}

#endif
