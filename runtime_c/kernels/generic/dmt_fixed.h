/* Integer arithmetic of FORMAT.md, safe for any operands: nothing here can overflow. */
#ifndef DMT_FIXED_H
#define DMT_FIXED_H

#include <stdint.h>

/* Sums and products modulo 2^32. */
static inline int32_t dmt_wrap_add(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t dmt_wrap_mul(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a * (uint32_t)b);
}

static inline int32_t dmt_clamp(int32_t a, int32_t low, int32_t high) {
  a = a < low ? low : a;
  return a > high ? high : a;
}

/* saturate32(a << left) */
static inline int32_t dmt_shl(int32_t a, int32_t left) {
  int64_t wide = (int64_t)a * ((int64_t)1 << left);
  wide = wide < INT32_MIN ? INT32_MIN : wide;
  return wide > INT32_MAX ? INT32_MAX : (int32_t)wide;
}

/* saturate32((2 * a * m + 2^31) >> 32): NEON's vqrdmulh. */
static inline int32_t dmt_srdhm(int32_t a, int32_t m) {
  int64_t half = ((int64_t)a * m + (INT64_C(1) << 30)) >> 31;
  return half > INT32_MAX ? INT32_MAX : (int32_t)half;
}

/* (a + 2^(right - 1)) >> right in unbounded integers: the bit below the point is carried in. */
static inline int32_t dmt_rshr(int32_t a, int32_t right) {
  return (a >> right) + (((uint32_t)a & ((UINT32_C(1) << right) >> 1)) != 0);
}

static inline int32_t dmt_rq(int32_t a, int32_t multiplier, int32_t left, int32_t right) {
  return dmt_rshr(dmt_srdhm(dmt_shl(a, left), multiplier), right);
}

#endif
