/* Eight values at a time: plain C, or AVX2 where avx2.c compiles the same kernels again.
 *
 * dmt_i8 is eight s32, dmt_f8 eight float32, dmt_w2 the s16 weights of two inputs for eight
 * outputs. Integers wrap; every function gives the same bits in both forms.
 */
#ifndef DMT_LANES_H
#define DMT_LANES_H

#include "dmt_fixed.h"
#include "dmt_op.h"
#include <string.h>

#define DMT_INLINE static inline __attribute__((always_inline))

#ifdef DMT_AVX2
#include "../x86/lanes_avx2.h"
#else

typedef struct {
  float v[8];
} dmt_f8;
typedef struct {
  int32_t v[8];
} dmt_i8;
typedef struct {
  int16_t v[2][8];
} dmt_w2;

#define DMT_EACH for (uint32_t l = 0; l < 8; l++)

DMT_INLINE dmt_f8 dmt_f8_load(const float *from) {
  dmt_f8 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE void dmt_f8_store(float *to, dmt_f8 a) { memcpy(to, &a, sizeof a); }

/* a + x * w, rounded twice */
DMT_INLINE dmt_f8 dmt_f8_add_scaled(dmt_f8 a, const float *x, dmt_f8 w) {
  float s = *x;
  DMT_EACH a.v[l] += s * w.v[l];
  return a;
}

DMT_INLINE dmt_f8 dmt_f8_add_products(dmt_f8 a, dmt_f8 x, dmt_f8 w) {
  DMT_EACH a.v[l] += x.v[l] * w.v[l];
  return a;
}

/* y > 0 ? y : y * slope */
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
  dmt_i8 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE void dmt_i8_store(int32_t *to, dmt_i8 a) { memcpy(to, &a, sizeof a); }

DMT_INLINE dmt_i8 dmt_i8_load_s8(const int8_t *from) {
  dmt_i8 r;
  DMT_EACH r.v[l] = from[l];
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_load_s16(const int16_t *from) {
  dmt_i8 r;
  DMT_EACH r.v[l] = from[l];
  return r;
}

/* Values already inside the type's range. */
DMT_INLINE void dmt_i8_store_s8(int8_t *to, dmt_i8 a) { DMT_EACH to[l] = (int8_t)a.v[l]; }
DMT_INLINE void dmt_i8_store_s16(int16_t *to, dmt_i8 a) { DMT_EACH to[l] = (int16_t)a.v[l]; }

DMT_INLINE dmt_i8 dmt_i8_set(int32_t a) {
  dmt_i8 r;
  DMT_EACH r.v[l] = a;
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_add(dmt_i8 a, dmt_i8 b) {
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], b.v[l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_mul(dmt_i8 a, dmt_i8 b) {
  DMT_EACH a.v[l] = dmt_wrap_mul(a.v[l], b.v[l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_max(dmt_i8 a, dmt_i8 b) {
  DMT_EACH a.v[l] = a.v[l] > b.v[l] ? a.v[l] : b.v[l];
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_min(dmt_i8 a, dmt_i8 b) {
  DMT_EACH a.v[l] = a.v[l] < b.v[l] ? a.v[l] : b.v[l];
  return a;
}

/* a < 0 ? negative : positive */
DMT_INLINE dmt_i8 dmt_i8_pick(dmt_i8 a, dmt_i8 negative, dmt_i8 positive) {
  DMT_EACH a.v[l] = a.v[l] < 0 ? negative.v[l] : positive.v[l];
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_srdhm(dmt_i8 a, dmt_i8 m) {
  DMT_EACH a.v[l] = dmt_srdhm(a.v[l], m.v[l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_shl(dmt_i8 a, dmt_i8 left) {
  DMT_EACH a.v[l] = dmt_shl(a.v[l], left.v[l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_rshr(dmt_i8 a, dmt_i8 right) {
  DMT_EACH a.v[l] = dmt_rshr(a.v[l], right.v[l]);
  return a;
}

/* total + rshr(block, 9) */
DMT_INLINE dmt_i8 dmt_i8_flush(dmt_i8 total, dmt_i8 block) {
  DMT_EACH total.v[l] = dmt_wrap_add(total.v[l], ((block.v[l] >> 8) + 1) >> 1);
  return total;
}

/* a + x * w, eight adjacent s8 or s16 each */
DMT_INLINE dmt_i8 dmt_i8_add_products_s8(dmt_i8 a, const int8_t *x, const int8_t *w) {
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], x[l] * w[l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s16(dmt_i8 a, const int16_t *x, const int16_t *w) {
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], x[l] * w[l]);
  return a;
}

/* Weights of inputs i and i + 1, sixteen adjacent elements; of the last input alone, eight. */
DMT_INLINE dmt_w2 dmt_w2_load_s8(const int8_t *from) {
  dmt_w2 r;
  DMT_EACH r.v[0][l] = from[l];
  DMT_EACH r.v[1][l] = from[8 + l];
  return r;
}

DMT_INLINE dmt_w2 dmt_w2_last_s8(const int8_t *from) {
  dmt_w2 r;
  DMT_EACH r.v[0][l] = from[l];
  DMT_EACH r.v[1][l] = 0;
  return r;
}

DMT_INLINE dmt_w2 dmt_w2_load_s16(const int16_t *from) {
  dmt_w2 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE dmt_w2 dmt_w2_last_s16(const int16_t *from) {
  dmt_w2 r;
  memcpy(r.v[0], from, sizeof r.v[0]);
  DMT_EACH r.v[1][l] = 0;
  return r;
}

/* a + x[0] * w[0] + x[1] * w[1]; `last`: of x[0] alone */
DMT_INLINE dmt_i8 dmt_i8_dot(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  int16_t x0 = x[0], x1 = x[1];
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], x0 * w.v[0][l]);
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], x1 * w.v[1][l]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_dot_last(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  int16_t x0 = x[0];
  DMT_EACH a.v[l] = dmt_wrap_add(a.v[l], x0 * w.v[0][l]);
  return a;
}

#endif /* DMT_AVX2 */

DMT_INLINE dmt_i8 dmt_i8_rq(dmt_i8 a, dmt_i8 multiplier, dmt_i8 left, dmt_i8 right) {
  return dmt_i8_rshr(dmt_i8_srdhm(dmt_i8_shl(a, left), multiplier), right);
}

/* clamp(zero + a, low, high) */
DMT_INLINE dmt_i8 dmt_i8_place(dmt_i8 a, int32_t zero, int32_t low, int32_t high) {
  a = dmt_i8_min(dmt_i8_max(a, dmt_i8_set(low - zero)), dmt_i8_set(high - zero));
  return dmt_i8_add(a, dmt_i8_set(zero));
}

/* n <= 8 words, then zeros. */
DMT_INLINE dmt_i8 dmt_i8_words(const int32_t *from, uint32_t n) {
  int32_t some[8] = {0};
  if (n == 8) {
    return dmt_i8_load(from);
  }
  for (uint32_t l = 0; l < n; l++) {
    some[l] = from[l];
  }
  return dmt_i8_load(some);
}

DMT_INLINE dmt_f8 dmt_f8_words(const float *from, uint32_t n) {
  float some[8] = {0};
  if (n == 8) {
    return dmt_f8_load(from);
  }
  for (uint32_t l = 0; l < n; l++) {
    some[l] = from[l];
  }
  return dmt_f8_load(some);
}

/* n <= 8 integer elements of a tensor, `step` bytes apart. */
DMT_INLINE dmt_i8 dmt_i8_take(const uint8_t *from, size_t step, uint32_t n, uint32_t dtype) {
  const void *at = from;
  if (n == 8 && dtype == DMT_S8 && step == 1) {
    return dmt_i8_load_s8(at);
  }
  if (n == 8 && dtype == DMT_S16 && step == 2) {
    return dmt_i8_load_s16(at);
  }
  int32_t some[8] = {0};
  for (uint32_t l = 0; l < n; l++) {
    at = from + l * step;
    some[l] = dtype == DMT_S8 ? *(const int8_t *)at : *(const int16_t *)at;
  }
  return dmt_i8_load(some);
}

DMT_INLINE void dmt_i8_put(uint8_t *to, size_t step, uint32_t n, uint32_t dtype, dmt_i8 a) {
  void *at = to;
  if (n == 8 && dtype == DMT_S8 && step == 1) {
    dmt_i8_store_s8(at, a);
    return;
  }
  if (n == 8 && dtype == DMT_S16 && step == 2) {
    dmt_i8_store_s16(at, a);
    return;
  }
  int32_t some[8];
  dmt_i8_store(some, a);
  for (uint32_t l = 0; l < n; l++) {
    at = to + l * step;
    if (dtype == DMT_S8) {
      *(int8_t *)at = (int8_t)some[l];
    } else {
      *(int16_t *)at = (int16_t)some[l];
    }
  }
}

/* Eight outputs' float32 values into a tensor's adjacent channels. */
DMT_INLINE void dmt_f8_put(float *to, uint32_t n, dmt_f8 a) {
  if (n == 8) {
    dmt_f8_store(to, a);
    return;
  }
  float some[8];
  dmt_f8_store(some, a);
  for (uint32_t l = 0; l < n; l++) {
    to[l] = some[l];
  }
}

#endif
