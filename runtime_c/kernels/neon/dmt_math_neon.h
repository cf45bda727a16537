/* The functions of dmt_math.h for sixteen values at a time, operation by operation. */
#ifndef DMT_MATH_NEON_H
#define DMT_MATH_NEON_H

#include "dmt_neon.h"

#ifdef DMT_NEON

#define DMT_QUADS 4
#define DMT_QUADS_EACH for (uint32_t q = 0; q < DMT_QUADS; q++)
#define DMT_QUADS_INLINE static inline __attribute__((always_inline))

/* dmt_log of positive normal numbers, from the logarithm's exponent and mantissa on. */
DMT_QUADS_INLINE void dmt_log_quads(float32x4_t *x) {
  static const float factor[] = {-1.1514610310e-1f, 1.1676998740e-1f,  -1.2420140846e-1f,
                                 1.4249322787e-1f,  -1.6668057665e-1f, 2.0000714765e-1f,
                                 -2.4999993993e-1f, 3.3333331174e-1f};
  float32x4_t e[DMT_QUADS], f[DMT_QUADS], p[DMT_QUADS];
  DMT_QUADS_EACH {
    uint32x4_t bits = vreinterpretq_u32_f32(x[q]);
    int32x4_t power = vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 23)), vdupq_n_s32(126));
    bits = vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x007FFFFF)), vdupq_n_u32(0x3F000000));
    uint32x4_t below = dmt_greater_f32(vdupq_n_f32(0.707106781f), vreinterpretq_f32_u32(bits));
    f[q] = vreinterpretq_f32_u32(vandq_u32(bits, below)); /* f + f, or f alone */
    f[q] = vaddq_f32(vreinterpretq_f32_u32(bits), f[q]);
    f[q] = vsubq_f32(f[q], vdupq_n_f32(1.0f));
    e[q] = vcvtq_f32_s32(vaddq_s32(power, vreinterpretq_s32_u32(below)));
    p[q] = vdupq_n_f32(7.0376836292e-2f);
  }
  for (uint32_t i = 0; i < sizeof factor / sizeof *factor; i++) {
    float32x4_t c = vdupq_n_f32(factor[i]);
    DMT_QUADS_EACH p[q] = vmlaq_f32(c, p[q], f[q]);
  }
  DMT_QUADS_EACH {
    float32x4_t z = vmulq_f32(f[q], f[q]), y = vmulq_f32(vmulq_f32(f[q], z), p[q]);
    y = vmlaq_f32(y, e[q], vdupq_n_f32(-2.12194440e-4f));
    y = vmlsq_f32(y, vdupq_n_f32(0.5f), z);
    x[q] = vmlaq_f32(vaddq_f32(f[q], y), e[q], vdupq_n_f32(0.693359375f));
  }
}

/* dmt_exp of any values: what becomes subnormal on the way is too small to change a sum. */
DMT_QUADS_INLINE void dmt_exp_quads(float32x4_t *x) {
  static const float factor[] = {1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
  float32x4_t p[DMT_QUADS];
  int32x4_t n[DMT_QUADS];
  DMT_QUADS_EACH {
    const float32x4_t least = vdupq_n_f32(-87.0f), most = vdupq_n_f32(88.0f);
    x[q] = vbslq_f32(dmt_greater_f32(x[q], least), x[q], least);
    x[q] = vbslq_f32(dmt_greater_f32(most, x[q]), x[q], most);
    float32x4_t t = vmlaq_f32(vdupq_n_f32(0.5f), x[q], vdupq_n_f32(1.44269504f));
    n[q] = vcvtq_s32_f32(t);
    n[q] = vaddq_s32(n[q], vreinterpretq_s32_u32(dmt_greater_f32(vcvtq_f32_s32(n[q]), t)));
    float32x4_t whole = vcvtq_f32_s32(n[q]);
    x[q] = vmlsq_f32(x[q], whole, vdupq_n_f32(0.693359375f));
    x[q] = vmlsq_f32(x[q], whole, vdupq_n_f32(-2.12194440e-4f));
    p[q] = vdupq_n_f32(1.0f / 720.0f);
  }
  for (uint32_t i = 0; i < sizeof factor / sizeof *factor; i++) {
    float32x4_t c = vdupq_n_f32(factor[i]);
    DMT_QUADS_EACH p[q] = vmlaq_f32(c, x[q], p[q]);
  }
  DMT_QUADS_EACH {
    int32x4_t power = vshlq_n_s32(vaddq_s32(n[q], vdupq_n_s32(127)), 23);
    x[q] = vmulq_f32(p[q], vreinterpretq_f32_s32(power));
  }
}

#endif

#endif
