/* Functions in float32: FORMAT.md. One IEEE operation at a time gives the same bits everywhere. */
#ifndef DMT_MATH_H
#define DMT_MATH_H

#include <stdint.h>
#include <string.h>

static inline float dmt_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t dmt_to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* After Cephes' expf, with Taylor's coefficients; a NaN counts as -87. */
static inline float dmt_exp(float x) {
  x = x > -87.0f ? x : -87.0f;
  x = x < 88.0f ? x : 88.0f;
  float t = x * 1.44269504f + 0.5f;
  int32_t n = (int32_t)t;
  n -= (float)n > t;
  float whole = (float)n;
  float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
  float p = 1.0f / 720.0f;
  p = 1.0f / 120.0f + r * p;
  p = 1.0f / 24.0f + r * p;
  p = 1.0f / 6.0f + r * p;
  p = 0.5f + r * p;
  p = 1.0f + r * p;
  p = 1.0f + r * p;
  return p * dmt_from_bits((uint32_t)(n + 127) << 23);
}

/* Cephes' logf; -88 where there is no logarithm. */
static inline float dmt_log(float x) {
  if (!(x > 0.0f)) {
    return -88.0f;
  }
  int32_t e = 0;
  if (x < 1.17549435e-38f) { /* subnormal: exactly 2^25 times as much has an exponent */
    x = x * 33554432.0f;
    e = -25;
  }
  uint32_t bits = dmt_to_bits(x);
  e += (int32_t)(bits >> 23) - 126;
  float f = dmt_from_bits((bits & 0x007FFFFFu) | 0x3F000000u); /* [0.5, 1) */
  if (f < 0.707106781f) {
    f = f * 2.0f;
    e -= 1;
  }
  f = f - 1.0f;
  float z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f + -1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f + -1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f + -1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f + -2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float y = f * z * p;
  y = y + (float)e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (f + y) + (float)e * 0.693359375f;
}

static inline float dmt_sigmoid(float x) { return 1.0f / (1.0f + dmt_exp(-x)); }

static inline float dmt_tanh(float x) {
  float size = x < 0.0f ? -x : x;
  float t = 1.0f - 2.0f / (dmt_exp(2.0f * size) + 1.0f);
  return x < 0.0f ? -t : t;
}

/* The correctly rounded root, digit by digit: needs neither libm nor an instruction for it. */
static inline float dmt_sqrt(float x) {
  uint32_t bits = dmt_to_bits(x);
  if (x == 0.0f || x != x || bits == 0x7F800000u) {
    return x;
  }
  if (bits >> 31) {
    return dmt_from_bits(0x7FC00000u);
  }
  int32_t e = (int32_t)(bits >> 23);
  uint32_t m = bits & 0x007FFFFFu;
  if (e == 0) {
    for (e = 1; !(m & 0x00800000u); e--) {
      m <<= 1;
    }
  } else {
    m |= 0x00800000u;
  }
  e -= 127;
  uint64_t rest = (uint64_t)m << (e & 1 ? 26 : 25); /* x = rest * 2^(even - 48) */
  uint64_t root = 0;
  for (uint64_t digit = UINT64_C(1) << 50; digit; digit >>= 2) {
    if (rest >= root + digit) {
      rest -= root + digit;
      root = (root >> 1) + digit;
    } else {
      root >>= 1;
    }
  }
  root = (root + 1) >> 1; /* 25 digits to 24; a tie cannot be */
  e = e >> 1;
  return dmt_from_bits((uint32_t)((e + 127 - 1) << 23) + (uint32_t)root);
}

#endif
