/* The lanes of dmt_lanes.h in AVX2. */
#ifndef DMT_LANES_AVX2_H
#define DMT_LANES_AVX2_H

#include <immintrin.h>

typedef __m256 dmt_f8;
typedef __m256i dmt_i8;
typedef __m256i dmt_w2; /* lane l holds inputs i and i + 1 of output l */

DMT_INLINE dmt_f8 dmt_f8_load(const float *from) { return _mm256_loadu_ps(from); }
DMT_INLINE void dmt_f8_store(float *to, dmt_f8 a) { _mm256_storeu_ps(to, a); }

DMT_INLINE dmt_f8 dmt_f8_add_scaled(dmt_f8 a, const float *x, dmt_f8 w) {
  return _mm256_add_ps(a, _mm256_mul_ps(_mm256_broadcast_ss(x), w));
}

DMT_INLINE dmt_f8 dmt_f8_add_products(dmt_f8 a, dmt_f8 x, dmt_f8 w) {
  return _mm256_add_ps(a, _mm256_mul_ps(x, w));
}

DMT_INLINE dmt_f8 dmt_f8_leak(dmt_f8 y, dmt_f8 slope) {
  __m256 above = _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ);
  return _mm256_blendv_ps(_mm256_mul_ps(y, slope), y, above);
}

/* Of two operands, max_ps and min_ps give the second where either is NaN or both are zeros. */
DMT_INLINE dmt_f8 dmt_f8_clamp(dmt_f8 y, float low, float high) {
  y = _mm256_max_ps(_mm256_set1_ps(low), y);
  return _mm256_min_ps(_mm256_set1_ps(high), y);
}

DMT_INLINE dmt_i8 dmt_i8_load(const int32_t *from) {
  return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

DMT_INLINE void dmt_i8_store(int32_t *to, dmt_i8 a) {
  _mm256_storeu_si256((__m256i *)(void *)to, a);
}

DMT_INLINE dmt_i8 dmt_i8_load_s8(const int8_t *from) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

DMT_INLINE dmt_i8 dmt_i8_load_s16(const int16_t *from) {
  return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

DMT_INLINE __m128i dmt_i8_to_s16(dmt_i8 a) {
  return _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}

DMT_INLINE void dmt_i8_store_s8(int8_t *to, dmt_i8 a) {
  __m128i words = dmt_i8_to_s16(a);
  _mm_storel_epi64((__m128i *)(void *)to, _mm_packs_epi16(words, words));
}

DMT_INLINE void dmt_i8_store_s16(int16_t *to, dmt_i8 a) {
  _mm_storeu_si128((__m128i *)(void *)to, dmt_i8_to_s16(a));
}

DMT_INLINE dmt_i8 dmt_i8_set(int32_t a) { return _mm256_set1_epi32(a); }
DMT_INLINE dmt_i8 dmt_i8_add(dmt_i8 a, dmt_i8 b) { return _mm256_add_epi32(a, b); }
DMT_INLINE dmt_i8 dmt_i8_mul(dmt_i8 a, dmt_i8 b) { return _mm256_mullo_epi32(a, b); }
DMT_INLINE dmt_i8 dmt_i8_max(dmt_i8 a, dmt_i8 b) { return _mm256_max_epi32(a, b); }
DMT_INLINE dmt_i8 dmt_i8_min(dmt_i8 a, dmt_i8 b) { return _mm256_min_epi32(a, b); }

/* The sign bit of each lane chooses. */
DMT_INLINE dmt_i8 dmt_i8_pick(dmt_i8 a, dmt_i8 negative, dmt_i8 positive) {
  return _mm256_castps_si256(_mm256_blendv_ps(
      _mm256_castsi256_ps(positive), _mm256_castsi256_ps(negative), _mm256_castsi256_ps(a)));
}

/* Bits 31 to 62 of a * m + 2^30, even and odd lanes apart; -2^31 squared would give 2^31. */
DMT_INLINE dmt_i8 dmt_i8_srdhm(dmt_i8 a, dmt_i8 m) {
  const __m256i half = _mm256_set1_epi64x(1 << 30), lowest = _mm256_set1_epi32(INT32_MIN);
  __m256i even = _mm256_add_epi64(_mm256_mul_epi32(a, m), half);
  __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(m, 32));
  odd = _mm256_add_epi64(odd, half);
  __m256i r = _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
  __m256i both = _mm256_and_si256(_mm256_cmpeq_epi32(a, lowest), _mm256_cmpeq_epi32(m, lowest));
  return _mm256_xor_si256(r, both);
}

DMT_INLINE dmt_i8 dmt_i8_shl(dmt_i8 a, dmt_i8 left) {
  __m256i r = _mm256_sllv_epi32(a, left);
  __m256i fits = _mm256_cmpeq_epi32(_mm256_srav_epi32(r, left), a);
  __m256i bound = _mm256_xor_si256(_mm256_srai_epi32(a, 31), _mm256_set1_epi32(INT32_MAX));
  return _mm256_blendv_epi8(bound, r, fits);
}

DMT_INLINE dmt_i8 dmt_i8_rshr(dmt_i8 a, dmt_i8 right) {
  __m256i bit = _mm256_srli_epi32(_mm256_sllv_epi32(_mm256_set1_epi32(1), right), 1);
  __m256i clear = _mm256_cmpeq_epi32(_mm256_and_si256(a, bit), _mm256_setzero_si256());
  __m256i one = _mm256_add_epi32(clear, _mm256_set1_epi32(1)); /* 0 where clear, else 1 */
  return _mm256_add_epi32(_mm256_srav_epi32(a, right), one);
}

DMT_INLINE dmt_i8 dmt_i8_flush(dmt_i8 total, dmt_i8 block) {
  block = _mm256_sub_epi32(_mm256_srai_epi32(block, 8), _mm256_set1_epi32(-1));
  return _mm256_add_epi32(total, _mm256_srai_epi32(block, 1));
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s8(dmt_i8 a, const int8_t *x, const int8_t *w) {
  return _mm256_add_epi32(a, _mm256_mullo_epi32(dmt_i8_load_s8(x), dmt_i8_load_s8(w)));
}

DMT_INLINE dmt_i8 dmt_i8_add_products_s16(dmt_i8 a, const int16_t *x, const int16_t *w) {
  return _mm256_add_epi32(a, _mm256_mullo_epi32(dmt_i8_load_s16(x), dmt_i8_load_s16(w)));
}

DMT_INLINE dmt_w2 dmt_w2_load_s16(const int16_t *from) {
  const __m256i pairs = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15, 0, 1,
                                         8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  __m256i two = _mm256_loadu_si256((const __m256i *)(const void *)from);
  return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(two, 0xD8), pairs);
}

DMT_INLINE dmt_w2 dmt_w2_last_s16(const int16_t *from) {
  __m128i one = _mm_loadu_si128((const __m128i *)(const void *)from);
  return _mm256_cvtepu16_epi32(one);
}

DMT_INLINE dmt_i8 dmt_i8_dot(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  int32_t pair;
  memcpy(&pair, x, sizeof pair);
  return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_set1_epi32(pair), w));
}

DMT_INLINE dmt_i8 dmt_i8_dot_last(dmt_i8 a, const int16_t *x, dmt_w2 w) {
  return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_set1_epi32((uint16_t)*x), w));
}

#define DMT_D4_PIXELS 3

typedef struct {
  __m256i v[4];
} dmt_d4;

DMT_INLINE dmt_d4 dmt_d4_zero(void) {
  __m256i zero = _mm256_setzero_si256();
  dmt_d4 r = {{zero, zero, zero, zero}};
  return r;
}

/* Eight or sixteen s8 as s16, zeros behind eight. */
DMT_INLINE __m256i dmt_d4_widen(const int8_t *from, uint32_t n) {
  const __m128i *at = (const __m128i *)(const void *)from;
  return _mm256_cvtepi8_epi16(n == 16 ? _mm_loadu_si128(at) : _mm_loadl_epi64(at));
}

DMT_INLINE void dmt_d4_add(dmt_d4 *a, const uint32_t P, const int8_t *x, size_t x_pixel,
                           const int8_t *w, uint32_t n) {
  __m256i wide[DMT_D4_PIXELS];
  for (uint32_t p = 0; p < P; p++) {
    wide[p] = dmt_d4_widen(x + p * x_pixel, n);
  }
  for (uint32_t o = 0; o < 4; o++) {
    __m256i weights = dmt_d4_widen(w + o * n, n);
    for (uint32_t p = 0; p < P; p++) {
      a[p].v[o] = _mm256_add_epi32(a[p].v[o], _mm256_madd_epi16(wide[p], weights));
    }
  }
}

DMT_INLINE void dmt_d4_totals(dmt_d4 a, int32_t *to) {
  __m256i pairs =
      _mm256_hadd_epi32(_mm256_hadd_epi32(a.v[0], a.v[1]), _mm256_hadd_epi32(a.v[2], a.v[3]));
  _mm_storeu_si128((__m128i *)(void *)to, _mm_add_epi32(_mm256_castsi256_si128(pairs),
                                                        _mm256_extracti128_si256(pairs, 1)));
}

#endif
