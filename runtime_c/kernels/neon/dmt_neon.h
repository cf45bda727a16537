/* How a kernel for NEON is written, so that every machine can ask it, and ARMv7 run it.
 *
 * check() and scratch() are plain C: `demitasse pack` calls them on the host, to learn which kernel
 * a layer gets on the device and how much memory that takes. What needs NEON stands between
 * `#ifdef DMT_NEON` and `#endif`; the descriptor, behind it, names it as DMT_NEON_RUN(run).
 */
#ifndef DMT_NEON_H
#define DMT_NEON_H

#if defined(__arm__) && defined(__ARM_NEON) && !defined(DMT_PORTABLE)
#define DMT_NEON
#define DMT_NEON_RUN(run) run

#include <arm_neon.h>

/* a > b. GCC takes the intrinsic apart into scalar comparisons, which keep subnormals. */
static inline __attribute__((always_inline)) uint32x4_t dmt_greater_f32(float32x4_t a,
                                                                        float32x4_t b) {
  uint32x4_t mask;
  __asm__("vcgt.f32 %q0, %q1, %q2" : "=w"(mask) : "w"(a), "w"(b));
  return mask;
}

#else
#define DMT_NEON_RUN(run) NULL
#endif

#endif
