/* The inner loop of dmt_winograd_s8.h: four tiles by eight outputs, 4 products a cycle. */
#ifndef DMT_WINOGRAD_GEMM_S8_H
#define DMT_WINOGRAD_GEMM_S8_H

#include <stddef.h>
#include <stdint.h>

/* One input of each of four tiles, in lane `l` of d`x` and the three behind at steps of two
 * registers, times its eight weights in `w`, d`w0` and d`w1`. */
#define DMT_MLAL_4(w0, w1, x0, x1, x2, x3, l)                                                      \
  "vmlal.s16 q8, " w0 ", " x0 "[" l "]\n\t"                                                        \
  "vmlal.s16 q9, " w1 ", " x0 "[" l "]\n\t"                                                        \
  "vmlal.s16 q10, " w0 ", " x1 "[" l "]\n\t"                                                       \
  "vmlal.s16 q11, " w1 ", " x1 "[" l "]\n\t"                                                       \
  "vmlal.s16 q12, " w0 ", " x2 "[" l "]\n\t"                                                       \
  "vmlal.s16 q13, " w1 ", " x2 "[" l "]\n\t"                                                       \
  "vmlal.s16 q14, " w0 ", " x3 "[" l "]\n\t"                                                       \
  "vmlal.s16 q15, " w1 ", " x3 "[" l "]\n\t"

#define DMT_MLAL_16(x0, x1, x2, x3)                                                                \
  "vld1.16 {d8-d11}, [%[w] :128], %[pair]\n\t"                                                     \
  "vld1.16 {d12-d15}, [%[w] :128], %[pair]\n\t" DMT_MLAL_4("d8", "d9", x0, x1, x2, x3, "0")        \
      DMT_MLAL_4("d10", "d11", x0, x1, x2, x3, "1") DMT_MLAL_4("d12", "d13", x0, x1, x2, x3, "2")  \
          DMT_MLAL_4("d14", "d15", x0, x1, x2, x3, "3")

/* sums = start + x * w: `n` inputs, whole eights, of four tiles `tile` bytes apart, and as many
 * weights of eight outputs, of two inputs every six positions. */
static inline __attribute__((always_inline)) void
dmt_winograd_multiply(const int32_t *start, const uint8_t *x, size_t tile, const int16_t *w,
                      uint32_t n, int32_t *sums) {
  const uint8_t *x1 = x + tile, *x2 = x1 + tile, *x3 = x2 + tile;
  __asm__ volatile(
      "vld1.32 {d16-d19}, [%[start] :128]!\n\t"
      "vld1.32 {d20-d23}, [%[start] :128]!\n\t"
      "vld1.32 {d24-d27}, [%[start] :128]!\n\t"
      "vld1.32 {d28-d31}, [%[start] :128]!\n\t"
      "1:\n\t"
      "vld1.16 {d0-d1}, [%[x0] :128]!\n\t"
      "vld1.16 {d2-d3}, [%[x1] :128]!\n\t"
      "vld1.16 {d4-d5}, [%[x2] :128]!\n\t"
      "vld1.16 {d6-d7}, [%[x3] :128]!\n\t" DMT_MLAL_16(
          "d0", "d2", "d4",
          "d6") "subs %[n], %[n], #8\n\t" DMT_MLAL_16("d1", "d3", "d5",
                                                      "d7") "bne 1b\n\t"
                                                            "vst1.32 {d16-d19}, [%[sums] :128]!\n\t"
                                                            "vst1.32 {d20-d23}, [%[sums] :128]!\n\t"
                                                            "vst1.32 {d24-d27}, [%[sums] :128]!\n\t"
                                                            "vst1.32 {d28-d31}, [%[sums] :128]!\n\t"
      : [start] "+r"(start), [x0] "+r"(x), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [w] "+r"(w),
        [n] "+r"(n), [sums] "+r"(sums)
      : [pair] "r"(6 * 32)
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13",
        "q14", "q15", "cc", "memory");
}

#define DMT_MLAL_ONE(x)                                                                            \
  "vld1.16 {d8-d11}, [%[w] :128], %[pair]\n\t"                                                     \
  "vld1.16 {d12-d15}, [%[w] :128], %[pair]\n\t"                                                    \
  "vmlal.s16 q8, d8, " x "[0]\n\t"                                                                 \
  "vmlal.s16 q9, d9, " x "[0]\n\t"                                                                 \
  "vmlal.s16 q10, d10, " x "[1]\n\t"                                                               \
  "vmlal.s16 q11, d11, " x "[1]\n\t"                                                               \
  "vmlal.s16 q12, d12, " x "[2]\n\t"                                                               \
  "vmlal.s16 q13, d13, " x "[2]\n\t"                                                               \
  "vmlal.s16 q14, d14, " x "[3]\n\t"                                                               \
  "vmlal.s16 q15, d15, " x "[3]\n\t"

/* The same of one tile, in four sums, so that none waits for itself. */
static inline __attribute__((always_inline)) void
dmt_winograd_multiply_one(const int32_t *start, const uint8_t *x, const int16_t *w, uint32_t n,
                          int32_t *sums) {
  __asm__ volatile(
      "vld1.32 {d16-d19}, [%[start] :128]\n\t"
      "vmov.i32 q10, #0\n\t"
      "vmov.i32 q11, #0\n\t"
      "vmov.i32 q12, #0\n\t"
      "vmov.i32 q13, #0\n\t"
      "vmov.i32 q14, #0\n\t"
      "vmov.i32 q15, #0\n\t"
      "1:\n\t"
      "vld1.16 {d0-d1}, [%[x] :128]!\n\t" DMT_MLAL_ONE("d0") "subs %[n], %[n], #8\n\t" DMT_MLAL_ONE(
          "d1") "bne 1b\n\t"
                "vadd.i32 q8, q8, q10\n\t"
                "vadd.i32 q9, q9, q11\n\t"
                "vadd.i32 q12, q12, q14\n\t"
                "vadd.i32 q13, q13, q15\n\t"
                "vadd.i32 q8, q8, q12\n\t"
                "vadd.i32 q9, q9, q13\n\t"
                "vst1.32 {d16-d19}, [%[sums] :128]\n\t"
      : [x] "+r"(x), [w] "+r"(w), [n] "+r"(n)
      : [start] "r"(start), [sums] "r"(sums), [pair] "r"(6 * 32)
      : "q0", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "cc",
        "memory");
}

#undef DMT_MLAL_ONE
#undef DMT_MLAL_16
#undef DMT_MLAL_4

#endif
