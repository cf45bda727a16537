/* Eight values at a time: NEON, AVX2 (where avx2.c compiles the same kernels again), or the vector
 * extension of GNU C for all other targets (and for a comparison, with DMT_PORTABLE).
 *
 * dmt_i8 is eight s32, dmt_f8 eight float32, dmt_w2 the s16 weights of two inputs for eight
 * outputs, dmt_d4 the sums of four. Integers wrap; every function gives the same bits in all forms.
 */
#ifndef DMT_LANES_H
#define DMT_LANES_H

#include "dmt_fixed.h"
#include "dmt_op.h"
#include <string.h>

#define DMT_INLINE static inline __attribute__((always_inline))

/* Where code is to be small (-Os), one tile of the smallest kind does all. */
#ifdef __OPTIMIZE_SIZE__
enum { DMT_SMALL = 1 };
#else
enum { DMT_SMALL = 0 };
#endif

#ifdef DMT_AVX2
#include "../x86/lanes_avx2.h"
#elif defined(__ARM_NEON) && !defined(DMT_PORTABLE)
#include "../neon/lanes_neon.h"
#else

/* Two halves of four in the vector extension of GCC and Clang: no intrinsics, any target. Unsigned,
 * so that sums wrap. What the extension cannot say is done lane by lane. */
typedef float dmt_f4 __attribute__((vector_size(16)));
typedef uint32_t dmt_u4 __attribute__((vector_size(16)));
typedef int32_t dmt_s4 __attribute__((vector_size(16)));
typedef int16_t dmt_h4 __attribute__((vector_size(8)));
typedef int16_t dmt_h8 __attribute__((vector_size(16)));
typedef int8_t dmt_b8 __attribute__((vector_size(8)));

typedef struct {
  dmt_f4 v[2];
} dmt_f8;
typedef struct {
  dmt_u4 v[2];
} dmt_i8;
typedef struct {
  dmt_h4 v[2][2]; /* input, half */
} dmt_w2;

#define DMT_HALVES for (uint32_t h = 0; h < 2; h++)
/* a.v = f(a.v), for f on s32 */
#define DMT_EACH(a, expression)                                                                    \
  do {                                                                                             \
    int32_t lane[8];                                                                               \
    dmt_i8_store(lane, a);                                                                         \
    for (uint32_t l = 0; l < 8; l++) {                                                             \
      lane[l] = (expression);                                                                      \
    }                                                                                              \
    a = dmt_i8_load(lane);                                                                         \
  } while (0)

DMT_INLINE dmt_f8 dmt_f8_load(const float *from) {
  dmt_f8 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE void dmt_f8_store(float *to, dmt_f8 a) { memcpy(to, &a, sizeof a); }

/* a + x * w, rounded twice */
DMT_INLINE dmt_f8 dmt_f8_add_scaled(dmt_f8 a, const float *x, dmt_f8 w) {
  const dmt_f4 s = {*x, *x, *x, *x};
  DMT_HALVES a.v[h] += s * w.v[h];
  return a;
}

DMT_INLINE dmt_f8 dmt_f8_add_products(dmt_f8 a, dmt_f8 x, dmt_f8 w) {
  DMT_HALVES a.v[h] += x.v[h] * w.v[h];
  return a;
}

/* y > 0 ? y : y * slope */
DMT_INLINE dmt_f8 dmt_f8_leak(dmt_f8 y, dmt_f8 slope) {
  float a[8], b[8];
  dmt_f8_store(a, y);
  dmt_f8_store(b, slope);
  for (uint32_t l = 0; l < 8; l++) {
    a[l] = a[l] > 0.0f ? a[l] : a[l] * b[l];
  }
  return dmt_f8_load(a);
}

DMT_INLINE dmt_f8 dmt_f8_clamp(dmt_f8 y, float low, float high) {
  float a[8];
  dmt_f8_store(a, y);
  for (uint32_t l = 0; l < 8; l++) {
    a[l] = low > a[l] ? low : a[l];
    a[l] = high < a[l] ? high : a[l];
  }
  return dmt_f8_load(a);
}

DMT_INLINE dmt_i8 dmt_i8_load(const int32_t *from) {
  dmt_i8 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE void dmt_i8_store(int32_t *to, dmt_i8 a) { memcpy(to, &a, sizeof a); }

/* Eight adjacent s8 or s16. */
DMT_INLINE dmt_i8 dmt_i8_widen(const dmt_h4 *from) {
  dmt_i8 r;
  DMT_HALVES r.v[h] = (dmt_u4) __builtin_convertvector(from[h], dmt_s4);
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_load_s16(const int16_t *from) {
  dmt_h4 halves[2];
  memcpy(halves, from, sizeof halves);
  return dmt_i8_widen(halves);
}

DMT_INLINE void dmt_h4_load_s8(const int8_t *from, dmt_h4 *halves) {
  dmt_b8 bytes;
  memcpy(&bytes, from, sizeof bytes);
  dmt_h8 words = __builtin_convertvector(bytes, dmt_h8);
  memcpy(halves, &words, sizeof words);
}

DMT_INLINE dmt_i8 dmt_i8_load_s8(const int8_t *from) {
  dmt_h4 halves[2];
  dmt_h4_load_s8(from, halves);
  return dmt_i8_widen(halves);
}

/* Values already inside the type's range. */
DMT_INLINE void dmt_i8_store_s16(int16_t *to, dmt_i8 a) {
  dmt_h4 halves[2];
  DMT_HALVES halves[h] = __builtin_convertvector((dmt_s4)a.v[h], dmt_h4);
  memcpy(to, halves, sizeof halves);
}

DMT_INLINE void dmt_i8_store_s8(int8_t *to, dmt_i8 a) {
  int32_t lane[8];
  dmt_i8_store(lane, a);
  for (uint32_t l = 0; l < 8; l++) {
    to[l] = (int8_t)lane[l];
  }
}

DMT_INLINE dmt_i8 dmt_i8_set(int32_t a) {
  uint32_t s = (uint32_t)a;
  const dmt_i8 r = {{{s, s, s, s}, {s, s, s, s}}};
  return r;
}

DMT_INLINE dmt_i8 dmt_i8_add(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.v[h] += b.v[h];
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_mul(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.v[h] *= b.v[h];
  return a;
}

/* mask ? a : b, of masks that a comparison gave */
DMT_INLINE dmt_u4 dmt_u4_select(dmt_s4 mask, dmt_u4 a, dmt_u4 b) {
  return ((dmt_u4)mask & a) | (~(dmt_u4)mask & b);
}

DMT_INLINE dmt_i8 dmt_i8_max(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.v[h] = dmt_u4_select((dmt_s4)a.v[h] > (dmt_s4)b.v[h], a.v[h], b.v[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_min(dmt_i8 a, dmt_i8 b) {
  DMT_HALVES a.v[h] = dmt_u4_select((dmt_s4)a.v[h] < (dmt_s4)b.v[h], a.v[h], b.v[h]);
  return a;
}

/* a < 0 ? negative : positive */
DMT_INLINE dmt_i8 dmt_i8_pick(dmt_i8 a, dmt_i8 negative, dmt_i8 positive) {
  DMT_HALVES a.v[h] = dmt_u4_select((dmt_s4)a.v[h] < 0, negative.v[h], positive.v[h]);
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_srdhm(dmt_i8 a, dmt_i8 m) {
  int32_t by[8];
  dmt_i8_store(by, m);
  DMT_EACH(a, dmt_srdhm(lane[l], by[l]));
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_shl(dmt_i8 a, dmt_i8 left) {
  int32_t by[8];
  dmt_i8_store(by, left);
  DMT_EACH(a, dmt_shl(lane[l], by[l]));
  return a;
}

DMT_INLINE dmt_i8 dmt_i8_rshr(dmt_i8 a, dmt_i8 right) {
  int32_t by[8];
  dmt_i8_store(by, right);
  DMT_EACH(a, dmt_rshr(lane[l], by[l]));
  return a;
}

/* total + rshr(block, 9) */
DMT_INLINE dmt_i8 dmt_i8_flush(dmt_i8 total, dmt_i8 block) {
  DMT_HALVES total.v[h] += (dmt_u4)((((dmt_s4)block.v[h] >> 8) + 1) >> 1);
  return total;
}

/* a + x * w, eight adjacent s8 or s16 each */
DMT_INLINE dmt_i8 dmt_i8_add_products_s8(dmt_i8 a, const int8_t *x, const int8_t *w) {
  return dmt_i8_add(a, dmt_i8_mul(dmt_i8_load_s8(x), dmt_i8_load_s8(w)));
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s16(dmt_i8 a, const int16_t *x, const int16_t *w) {
  return dmt_i8_add(a, dmt_i8_mul(dmt_i8_load_s16(x), dmt_i8_load_s16(w)));
}

/* Weights of inputs i and i + 1, sixteen adjacent elements; of the last input alone, eight. */
DMT_INLINE dmt_w2 dmt_w2_load_s16(const int16_t *from) {
  dmt_w2 r;
  memcpy(&r, from, sizeof r);
  return r;
}

DMT_INLINE dmt_w2 dmt_w2_last_s16(const int16_t *from) {
  dmt_w2 r = {{{{0}, {0}}, {{0}, {0}}}};
  memcpy(r.v[0], from, sizeof r.v[0]);
  return r;
}

/* a + x[0] * w[0] + x[1] * w[1]; `last`: of x[0] alone */
DMT_INLINE dmt_i8 dmt_i8_dot_last(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  return dmt_i8_add(a, dmt_i8_mul(dmt_i8_set(*x), dmt_i8_widen(w.v[0])));
}

DMT_INLINE dmt_i8 dmt_i8_dot(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  a = dmt_i8_dot_last(a, x, w);
  return dmt_i8_add(a, dmt_i8_mul(dmt_i8_set(x[1]), dmt_i8_widen(w.v[1])));
}

/* Sums of products of one pixel's inputs with the weights of four outputs. */
#define DMT_D4_PIXELS 2 /* that are worth summing together */

typedef struct {
  uint32_t v[4];
} dmt_d4;

DMT_INLINE dmt_d4 dmt_d4_zero(void) {
  const dmt_d4 r = {{0, 0, 0, 0}};
  return r;
}

/* Of P pixels and their next n (16, or 8) inputs, the weights standing one output behind the other.
 */
DMT_INLINE void dmt_d4_add(dmt_d4 *a, const uint32_t P, const int8_t *x, size_t x_pixel,
                           const int8_t *w, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t o = 0; o < 4; o++) {
      int32_t weight = w[o * n + i];
      for (uint32_t p = 0; p < P; p++) {
        a[p].v[o] += (uint32_t)(x[p * x_pixel + i] * weight);
      }
    }
  }
}

DMT_INLINE void dmt_d4_totals(dmt_d4 a, int32_t *to) {
  for (uint32_t o = 0; o < 4; o++) {
    to[o] = (int32_t)a.v[o];
  }
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
