/* What arm_neon.h leaves to be wished for. */
#ifndef DMT_NEON_H
#define DMT_NEON_H

#include <arm_neon.h>

/* a > b. GCC takes the intrinsic apart into scalar comparisons, which keep subnormals. */
static inline __attribute__((always_inline)) uint32x4_t dmt_greater_f32(float32x4_t a,
                                                                        float32x4_t b) {
#ifdef __aarch64__
  return vcgtq_f32(a, b);
#else
  uint32x4_t mask;
  __asm__("vcgt.f32 %q0, %q1, %q2" : "=w"(mask) : "w"(a), "w"(b));
  return mask;
#endif
}

#endif
