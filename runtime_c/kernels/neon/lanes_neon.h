/* The integer lanes of dmt_lanes.h in NEON. Its float32 flushes subnormals, so that stays scalar.
 */
#ifndef DMT_LANES_NEON_H
#define DMT_LANES_NEON_H

#include <arm_neon.h>

typedef struct {
  float v[8];
} dmt_f8;
typedef int32x4x2_t dmt_i8;
typedef int16x8x2_t dmt_w2; /* inputs i and i + 1, eight outputs each */

#define DMT_HALVES for (uint32_t h = 0; h < 2; h++)
#define DMT_EACH for (uint32_t l = 0; l < 8; l++)

DMT_INLINE dmt_f8 dmt_f8_load(const float *from) {
  dmt_f8 r;
  DMT_EACH r.v[l] = from[l];
  return r;
}

DMT_INLINE void dmt_f8_store(float *to, dmt_f8 a) { DMT_EACH to[l] = a.v[l]; }

DMT_INLINE dmt_f8 dmt_f8_add_scaled(dmt_f8 a, const float *x, dmt_f8 w) {
  float s = *x;
  DMT_EACH a.v[l] += s * w.v[l];
  return a;
}

DMT_INLINE dmt_f8 dmt_f8_add_products(dmt_f8 a, dmt_f8 x, dmt_f8 w) {
  DMT_EACH a.v[l] += x.v[l] * w.v[l];
  return a;
}

DMT_INLINE dmt_f8 dmt_f8_leak(dmt_f8 y, dmt_f8 slope) {
  DMT_EACH y.v[l] = y.v[l] > 0.0f ? y.v[l] : y.v[l] * slope.v[l];
  return y;
}

DMT_INLINE dmt_f8 dmt_f8_clamp(dmt_f8 y, float low, float high) {
  DMT_EACH y.v[l] = low > y.v[l] ? low : y.v[l];
  DMT_EACH y.v[l] = high < y.v[l] ? high : y.v[l];
  return y;
}

DMT_INLINE dmt_i8 dmt_i8_load(const int32_t *from) {
  dmt_i8 r = {{vld1q_s32(from), vld1q_s32(from + 4)}};
  return r;
}

DMT_INLINE void dmt_i8_store(int32_t *to, dmt_i8 a) { DMT_HALVES vst1q_s32(to + 4 * h, a.val[h]); }

DMT_INLINE dmt_i8 dmt_i8_load_s16(const int16_t *from) {
  int16x8_t x = vld1q_s16(from);
  dmt_i8 r = {{vmovl_s16(vget_low_s16(x)), vmovl_s16(vget_high_s16(x))}};
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_load_s8(const int8_t *from) {
  int16x8_t x = vmovl_s8(vld1_s8(from));
  dmt_i8 r = {{vmovl_s16(vget_low_s16(x)), vmovl_s16(vget_high_s16(x))}};
  return r;
}

DMT_INLINE int16x8_t dmt_i8_to_s16(dmt_i8 a) {
  return vcombine_s16(vmovn_s32(a.val[0]), vmovn_s32(a.val[1]));
}

DMT_INLINE void dmt_i8_store_s16(int16_t *to, dmt_i8 a) { vst1q_s16(to, dmt_i8_to_s16(a)); }
DMT_INLINE void dmt_i8_store_s8(int8_t *to, dmt_i8 a) { vst1_s8(to, vmovn_s16(dmt_i8_to_s16(a))); }

DMT_INLINE dmt_i8 dmt_i8_set(int32_t a) {
  dmt_i8 r = {{vdupq_n_s32(a), vdupq_n_s32(a)}};
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_add(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.val[h] = vaddq_s32(a.val[h], b.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_mul(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.val[h] = vmulq_s32(a.val[h], b.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_max(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.val[h] = vmaxq_s32(a.val[h], b.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_min(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.val[h] = vminq_s32(a.val[h], b.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_pick(dmt_i8 a, dmt_i8 negative, dmt_i8 positive) {
  DMT_HALVES {
    uint32x4_t below = vcltq_s32(a.val[h], vdupq_n_s32(0));
    a.val[h] = vbslq_s32(below, negative.val[h], positive.val[h]);
  }
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_srdhm(dmt_i8 a, dmt_i8 m) {
  DMT_HALVES a.val[h] = vqrdmulhq_s32(a.val[h], m.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_shl(dmt_i8 a, dmt_i8 left) {
  DMT_HALVES a.val[h] = vqshlq_s32(a.val[h], left.val[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_rshr(dmt_i8 a, dmt_i8 right) {
  DMT_HALVES a.val[h] = vrshlq_s32(a.val[h], vnegq_s32(right.val[h]));
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_flush(dmt_i8 total, dmt_i8 block) {
  DMT_HALVES total.val[h] = vrsraq_n_s32(total.val[h], block.val[h], 9);
  return total;
}

/* a + x * w */
DMT_INLINE dmt_i8 dmt_i8_add_h8(dmt_i8 a, int16x8_t x, int16x8_t w) {
  a.val[0] = vmlal_s16(a.val[0], vget_low_s16(x), vget_low_s16(w));
  a.val[1] = vmlal_s16(a.val[1], vget_high_s16(x), vget_high_s16(w));
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s8(dmt_i8 a, const int8_t *x, const int8_t *w) {
  int16x8_t p = vmull_s8(vld1_s8(x), vld1_s8(w));
  a.val[0] = vaddw_s16(a.val[0], vget_low_s16(p));
  a.val[1] = vaddw_s16(a.val[1], vget_high_s16(p));
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s16(dmt_i8 a, const int16_t *x, const int16_t *w) {
  return dmt_i8_add_h8(a, vld1q_s16(x), vld1q_s16(w));
}

DMT_INLINE dmt_w2 dmt_w2_load_s16(const int16_t *from) {
  dmt_w2 r = {{vld1q_s16(from), vld1q_s16(from + 8)}};
  return r;
}

DMT_INLINE dmt_w2 dmt_w2_last_s16(const int16_t *from) {
  dmt_w2 r = {{vld1q_s16(from), vdupq_n_s16(0)}};
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_dot_last(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  return dmt_i8_add_h8(a, vdupq_n_s16(*x), w.val[0]);
}

DMT_INLINE dmt_i8 dmt_i8_dot(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  int16x4_t x0 = vld1_dup_s16(x), x1 = vld1_dup_s16(x + 1);
  a.val[0] = vmlal_s16(a.val[0], vget_low_s16(w.val[0]), x0);
  a.val[1] = vmlal_s16(a.val[1], vget_high_s16(w.val[0]), x0);
  a.val[0] = vmlal_s16(a.val[0], vget_low_s16(w.val[1]), x1);
  a.val[1] = vmlal_s16(a.val[1], vget_high_s16(w.val[1]), x1);
  return a;
}

#define DMT_D4_PIXELS 2

typedef struct {
  int32x4_t v[4];
} dmt_d4;

DMT_INLINE dmt_d4 dmt_d4_zero(void) {
  int32x4_t zero = vdupq_n_s32(0);
  dmt_d4 r = {{zero, zero, zero, zero}};
  return r;
}

/* Weights are above -128: two products fit s16. */
DMT_INLINE void dmt_d4_add(dmt_d4 *a, const uint32_t P, const int8_t *x, size_t x_pixel,
                           const int8_t *w, uint32_t n) {
  for (uint32_t o = 0; o < 4; o++) {
    for (uint32_t p = 0; p < P; p++) {
      const int8_t *at = x + p * x_pixel;
      int16x8_t sums = vmull_s8(vld1_s8(at), vld1_s8(w + o * n));
      if (n == 16) {
        sums = vmlal_s8(sums, vld1_s8(at + 8), vld1_s8(w + o * n + 8));
      }
      a[p].v[o] = vpadalq_s16(a[p].v[o], sums);
    }
  }
}

DMT_INLINE void dmt_d4_totals(dmt_d4 a, int32_t *to) {
  int32x2_t half[4];
  for (uint32_t o = 0; o < 4; o++) {
    half[o] = vadd_s32(vget_low_s32(a.v[o]), vget_high_s32(a.v[o]));
  }
  vst1_s32(to, vpadd_s32(half[0], half[1]));
  vst1_s32(to + 2, vpadd_s32(half[2], half[3]));
}

#undef DMT_HALVES
#undef DMT_EACH

#endif
