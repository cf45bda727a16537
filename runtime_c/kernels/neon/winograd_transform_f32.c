/* The transformations of dmt_winograd_f32.h. */
#include "dmt_neon.h"
#include "dmt_winograd_f32.h"

#ifdef DMT_NEON

#define INLINE static inline __attribute__((always_inline))

/* Along one axis. */
INLINE void input_6(const float32x4_t *d, float32x4_t *t) {
  float32x4_t a = vmlsq_n_f32(d[4], d[2], 4.0f), b = vmlsq_n_f32(d[3], d[1], 4.0f);
  float32x4_t c = vsubq_f32(d[4], d[2]), e = vsubq_f32(d[3], d[1]);
  t[0] = vmlaq_n_f32(c, vsubq_f32(d[0], d[2]), 4.0f);
  t[1] = vaddq_f32(a, b);
  t[2] = vsubq_f32(a, b);
  t[3] = vmlaq_n_f32(c, e, 2.0f);
  t[4] = vmlsq_n_f32(c, e, 2.0f);
  t[5] = vmlsq_n_f32(vsubq_f32(d[5], d[3]), e, 4.0f);
}

INLINE void output_4(const float32x4_t *m, float32x4_t *t) {
  float32x4_t a = vmulq_n_f32(vaddq_f32(m[1], m[2]), -1.0f / 6.0f);
  float32x4_t b = vmulq_n_f32(vsubq_f32(m[2], m[1]), 1.0f / 6.0f);
  float32x4_t c = vaddq_f32(m[3], m[4]), d = vsubq_f32(m[3], m[4]);
  t[0] = vmlaq_n_f32(vmlaq_n_f32(a, c, 1.0f / 24.0f), m[0], 0.25f);
  t[1] = vmlaq_n_f32(b, d, 1.0f / 12.0f);
  t[2] = vmlaq_n_f32(a, c, 1.0f / 6.0f);
  t[3] = vaddq_f32(vmlaq_n_f32(b, d, 1.0f / 3.0f), m[5]);
}

/* Six in, six out, for fours of channels; `from` and `to` are as far apart as the steps say. */
static void input_line(const float *from, ptrdiff_t step, uint32_t fours, float *to,
                       ptrdiff_t to_step, ptrdiff_t to_next) {
  for (; fours > 0; fours--, from += 4, to += to_next) {
    float32x4_t d[6], t[6];
    for (int32_t i = 0; i < 6; i++) {
      d[i] = vld1q_f32(from + i * step);
    }
    input_6(d, t);
    for (int32_t i = 0; i < 6; i++) {
      vst1q_f32(to + i * to_step, t[i]);
    }
  }
}

void dmt_winograd_f32_input(const float *from, ptrdiff_t row, ptrdiff_t pixel, uint32_t fours,
                            float *half, float *to, size_t element) {
  const ptrdiff_t side = 4 * (ptrdiff_t)fours;
  for (int32_t y = 0; y < 6; y++) { /* half: [x][y] */
    input_line(from + y * row, pixel, fours, half + y * side, 6 * side, 4);
  }
  for (int32_t x = 0; x < 6; x++) {
    input_line(half + 6 * x * side, side, fours, to + 6 * x * (ptrdiff_t)element,
               (ptrdiff_t)element, 16);
  }
}

/* Three in, six out, for eights; in assembly, as compilers count addresses one by one. */
static void weights_line(const float *from, size_t step, uint32_t eights, float *to,
                         size_t to_step) {
  const size_t back = 4 * (8 - 3 * step), to_back = 4 * (8 - 6 * to_step);
  __asm__ volatile(
      "vmov.f32 d0, #4.0\n"
      "1:\n\t"
      "vld1.32 {d16-d19}, [%[from]], %[step]\n\t"
      "vld1.32 {d20-d23}, [%[from]], %[step]\n\t"
      "vld1.32 {d24-d27}, [%[from]], %[step]\n\t"
      "vst1.32 {d16-d19}, [%[to]], %[to_step]\n\t"
      "vadd.f32 q14, q8, q12\n\t"
      "vadd.f32 q15, q9, q13\n\t"
      "vmla.f32 q8, q12, d0[0]\n\t"
      "vmla.f32 q9, q13, d0[0]\n\t"
      "add %[from], %[from], %[back]\n\t"
      "vadd.f32 q1, q14, q10\n\t"
      "vadd.f32 q2, q15, q11\n\t"
      "subs %[n], %[n], #1\n\t"
      "vsub.f32 q14, q14, q10\n\t"
      "vsub.f32 q15, q15, q11\n\t"
      "vst1.32 {d2-d5}, [%[to]], %[to_step]\n\t"
      "vadd.f32 q10, q10, q10\n\t"
      "vadd.f32 q11, q11, q11\n\t"
      "vst1.32 {d28-d31}, [%[to]], %[to_step]\n\t"
      "vadd.f32 q1, q8, q10\n\t"
      "vadd.f32 q2, q9, q11\n\t"
      "vsub.f32 q8, q8, q10\n\t"
      "vsub.f32 q9, q9, q11\n\t"
      "vst1.32 {d2-d5}, [%[to]], %[to_step]\n\t"
      "vst1.32 {d16-d19}, [%[to]], %[to_step]\n\t"
      "vst1.32 {d24-d27}, [%[to]], %[to_step]\n\t"
      "add %[to], %[to], %[to_back]\n\t"
      "bne 1b\n\t"
      : [from] "+r"(from), [to] "+r"(to), [n] "+r"(eights)
      : [step] "r"(4 * step), [to_step] "r"(4 * to_step), [back] "r"(back), [to_back] "r"(to_back)
      : "q0", "q1", "q2", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "cc", "memory");
}

void dmt_winograd_f32_weights(const float *from, size_t tap, uint32_t inputs, float *half,
                              float *to, size_t element) {
  const size_t side = 8 * (size_t)inputs;
  for (uint32_t y = 0; y < 3; y++) { /* half: [x][y] */
    weights_line(from + 3 * y * tap, tap, inputs, half + y * side, 3 * side);
  }
  for (uint32_t x = 0; x < 6; x++) {
    weights_line(half + 3 * x * side, side, inputs, to + 6 * x * element, element);
  }
}

void dmt_winograd_f32_columns(const float *from, size_t element, float *half) {
  for (uint32_t x = 0; x < 6; x++, from += 6 * element) {
    for (uint32_t i = 0; i < 32; i += 4) { /* half: [y][x] */
      float32x4_t m[6], t[4];
      for (uint32_t y = 0; y < 6; y++) {
        m[y] = vld1q_f32(from + y * element + i);
      }
      output_4(m, t);
      for (uint32_t y = 0; y < 4; y++) {
        vst1q_f32(half + (6 * y + x) * 32 + i, t[y]);
      }
    }
  }
}

/* A row of four pixels. */
static void output_line(const float *from, const dmt_winograd_end *end, float *to,
                        ptrdiff_t pixel) {
  float32x4_t low = vdupq_n_f32(end->low), high = vdupq_n_f32(end->high);
  for (uint32_t i = 0; i < 4 * end->fours; i += 4) {
    float32x4_t m[6], t[4], bias = vld1q_f32(end->bias + i);
    for (uint32_t x = 0; x < 6; x++) {
      m[x] = vld1q_f32(from + 32 * x + i);
    }
    output_4(m, t);
    for (int32_t x = 0; x < 4; x++) {
      float32x4_t y = vaddq_f32(t[x], bias);
      if (end->slopes != NULL) {
        uint32x4_t above = dmt_greater_f32(y, vdupq_n_f32(0.0f));
        y = vbslq_f32(above, y, vmulq_f32(y, vld1q_f32(end->slopes + i)));
      }
      vst1q_f32(to + x * pixel + i, vminq_f32(vmaxq_f32(y, low), high));
    }
  }
}

void dmt_winograd_f32_output(const float *half, uint32_t tile, const dmt_winograd_end *end,
                             float *to, ptrdiff_t row, ptrdiff_t pixel) {
  for (int32_t y = 0; y < 4; y++) {
    output_line(half + 6 * 32 * y + 8 * tile, end, to + y * row, pixel);
  }
}

#else
typedef int dmt_no_winograd_transform_f32; /* C99 wants something in a file */
#endif
