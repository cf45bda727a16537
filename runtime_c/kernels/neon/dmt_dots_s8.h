/* Dot products of int8 rows: two pixels by the four outputs of packing 5, and one pixel by four.
 *
 * Weights are above -128, so the products of two inputs fit s16: a vmull, a vmlal and a vpadal take
 * sixteen inputs of one pixel and one output. Of two pixels by four outputs that is sixteen
 * multiplications in sixteen cycles, and all loads stand beside them, a chunk ahead.
 */
#ifndef DMT_DOTS_S8_H
#define DMT_DOTS_S8_H

#include "../generic/dmt_lanes.h"

/* A part of the sums of four outputs: `taps` rows of `chunks` x 16 inputs, and eight more. */
typedef struct {
  const int8_t *weights;
  uint32_t taps, chunks, half;
} dmt_dots_part;

/* clang-format off */

/* The products of one pixel and output, into q6 or q7; then those before them are added. */
#define DMT_DOT(sum, x0, x1, w0, w1, add)                                                          \
  "vmull.s8 q" #sum ", d" #x0 ", d" #w0 "\n"                                                       \
  "vmlal.s8 q" #sum ", d" #x1 ", d" #w1 "\n"                                                       \
  add

/* Sixteen inputs of two pixels (q0, q1) by the weights q2-q5 of four outputs, added to q8-q11 and
 * q12-q15; in between the loads of what comes next. */
#define DMT_DOTS_2X4(load_x0, load_x1, load_w01, load_w23)                                         \
  DMT_DOT(6, 0, 1, 4, 5, "")                                                                       \
  DMT_DOT(7, 2, 3, 4, 5, "vpadal.s16 q8, q6\n")                                                    \
  DMT_DOT(6, 0, 1, 6, 7, "vpadal.s16 q12, q7\n")                                                   \
  DMT_DOT(7, 2, 3, 6, 7, "vpadal.s16 q9, q6\n")                                                    \
  load_w01                                                                                         \
  DMT_DOT(6, 0, 1, 8, 9, "vpadal.s16 q13, q7\n")                                                   \
  DMT_DOT(7, 2, 3, 8, 9, "vpadal.s16 q10, q6\n")                                                   \
  DMT_DOT(6, 0, 1, 10, 11, "vpadal.s16 q14, q7\n")                                                 \
  load_x0                                                                                          \
  DMT_DOT(7, 2, 3, 10, 11, "vpadal.s16 q11, q6\n")                                                 \
  load_x1                                                                                          \
  load_w23                                                                                         \
  "vpadal.s16 q15, q7\n"

/* Eight inputs (d0, d2) by the weights in one register, added to `first` and `second`. */
#define DMT_HALF_DOTS(first, second, w)                                                            \
  "vmull.s8 q6, d0, d" #w "\n"                                                                     \
  "vmull.s8 q7, d2, d" #w "\n"                                                                     \
  "vpadal.s16 q" #first ", q6\n"                                                                   \
  "vpadal.s16 q" #second ", q7\n"

#define DMT_LOAD_X0 "vld1.8 {d0-d1}, [%[x0]]!\n"
#define DMT_LOAD_X1 "vld1.8 {d2-d3}, [%[x1]]!\n"
#define DMT_LOAD_W01 "vld1.8 {d4-d7}, [%[w]]!\n"
#define DMT_LOAD_W23 "vld1.8 {d8-d11}, [%[w]]!\n"
#define DMT_LOADS DMT_LOAD_X0 DMT_LOAD_X1 DMT_LOAD_W01 DMT_LOAD_W23
#define DMT_CHUNK DMT_DOTS_2X4(DMT_LOAD_X0, DMT_LOAD_X1, DMT_LOAD_W01, DMT_LOAD_W23)
#define DMT_LAST_CHUNK                                                                             \
  DMT_DOTS_2X4("vld1.8 {d0}, [%[x0]]!\n", "vld1.8 {d2}, [%[x1]]!\n", DMT_LOAD_W01, "")

#define DMT_NEXT_ROWS                                                                              \
  "ldr %[x0], [%[at]], #4\n"                                                                       \
  "ldr %[x1], [%[at]], #4\n"

#define DMT_DOTS_BEGIN                                                                             \
  "vmov.i32 q8, #0\n"                                                                              \
  "vmov.i32 q9, #0\n"                                                                              \
  "vmov.i32 q10, #0\n"                                                                             \
  "vmov.i32 q11, #0\n"                                                                             \
  "vmov.i32 q12, #0\n"                                                                             \
  "vmov.i32 q13, #0\n"                                                                             \
  "vmov.i32 q14, #0\n"                                                                             \
  "vmov.i32 q15, #0\n"                                                                             \
  DMT_NEXT_ROWS                                                                                    \
  "ldr %[w], [%[part]]\n"                                                                          \
  DMT_LOADS

/* The four parts of each sum are added. */
#define DMT_DOTS_SUMS                                                                              \
  "vpadd.i32 d12, d16, d17\n"                                                                      \
  "vpadd.i32 d13, d18, d19\n"                                                                      \
  "vpadd.i32 d14, d20, d21\n"                                                                      \
  "vpadd.i32 d15, d22, d23\n"                                                                      \
  "vpadd.i32 d12, d12, d13\n"                                                                      \
  "vpadd.i32 d13, d14, d15\n"                                                                      \
  "vpadd.i32 d14, d24, d25\n"                                                                      \
  "vpadd.i32 d15, d26, d27\n"                                                                      \
  "vst1.32 {d12-d13}, [%[sums]]!\n"                                                                \
  "vpadd.i32 d12, d28, d29\n"                                                                      \
  "vpadd.i32 d13, d30, d31\n"                                                                      \
  "vpadd.i32 d14, d14, d15\n"                                                                      \
  "vpadd.i32 d15, d12, d13\n"                                                                      \
  "vst1.32 {d14-d15}, [%[sums]]!\n"

#define DMT_DOTS_REGISTERS                                                                         \
  "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",   \
  "q15", "cc", "memory"

/* sums[pair][pixel of two][output of four] are running totals over the pairs: to clear the registers
 * each time would take longer than to subtract. The rows of tap t of a pair start at
 * at[2 * (pair * taps + t)] and the next; two more behind all of them are read, and not used. chunks
 * is at least 1. */
static inline void dmt_dots_2x4(const dmt_dots_part *part, const int8_t *const *at, uint32_t pairs,
                                int32_t *sums) {
  const int8_t *x0, *x1, *w;
  uint32_t n, taps;
  __asm__ volatile(
      DMT_DOTS_BEGIN
      "1:\n" /* a pair of pixels */
      "ldr %[taps], [%[part], #4]\n"
      "2:\n" /* a tap */
      "ldr %[n], [%[part], #8]\n"
      "subs %[n], %[n], #1\n"
      "beq 4f\n"
      "3:\n"
      "subs %[n], %[n], #1\n"
      DMT_CHUNK
      "bne 3b\n"
      "4:\n" /* its last chunk */
      "ldr %[n], [%[part], #12]\n"
      "cmp %[n], #0\n"
      "bne 6f\n"
      DMT_NEXT_ROWS
      "subs %[taps], %[taps], #1\n"
      "it eq\n"
      "ldreq %[w], [%[part]]\n"
      DMT_CHUNK
      "bne 2b\n"
      "5:\n"
      "subs %[pairs], %[pairs], #1\n"
      DMT_DOTS_SUMS
      "bne 1b\n"
      "b 7f\n"
      "6:\n" /* and eight more inputs */
      DMT_LAST_CHUNK
      DMT_NEXT_ROWS
      "subs %[taps], %[taps], #1\n"
      "it eq\n"
      "ldreq %[w], [%[part]]\n"
      DMT_HALF_DOTS(8, 12, 4)
      DMT_HALF_DOTS(9, 13, 5)
      DMT_HALF_DOTS(10, 14, 6)
      DMT_HALF_DOTS(11, 15, 7)
      DMT_LOADS
      "bne 2b\n"
      "b 5b\n"
      "7:\n"
      : [at] "+r"(at), [pairs] "+r"(pairs), [sums] "+r"(sums), [x0] "=&r"(x0), [x1] "=&r"(x1),
        [w] "=&r"(w), [n] "=&r"(n), [taps] "=&r"(taps)
      : [part] "r"(part)
      : DMT_DOTS_REGISTERS);
}

/* The same of one tap without eight more inputs: most of what networks do. */
static inline void dmt_dots_2x4_plain(const dmt_dots_part *part, const int8_t *const *at,
                                      uint32_t pairs, int32_t *sums) {
  const int8_t *x0, *x1, *w;
  uint32_t n;
  __asm__ volatile(
      DMT_DOTS_BEGIN
      "ldr %[n], [%[part], #8]\n"
      "subs %[n], %[n], #1\n"
      "beq 2f\n"
      "1:\n"
      "subs %[n], %[n], #1\n"
      DMT_CHUNK
      "bne 1b\n"
      "2:\n" /* the last chunk of a pair */
      DMT_NEXT_ROWS
      "ldr %[w], [%[part]]\n"
      "subs %[pairs], %[pairs], #1\n"
      DMT_CHUNK
      "beq 3f\n"
      "ldr %[n], [%[part], #8]\n"
      DMT_DOTS_SUMS
      "subs %[n], %[n], #1\n"
      "bne 1b\n"
      "b 2b\n"
      "3:\n"
      DMT_DOTS_SUMS
      : [at] "+r"(at), [pairs] "+r"(pairs), [sums] "+r"(sums), [x0] "=&r"(x0), [x1] "=&r"(x1),
        [w] "=&r"(w), [n] "=&r"(n)
      : [part] "r"(part)
      : DMT_DOTS_REGISTERS);
}

/* clang-format on */

/* The same of any part, a pixel at a time: of the second of a pair only where there is one. */
static inline void dmt_dots_1x4(const dmt_dots_part *part, const int8_t *const *at, uint32_t count,
                                int32_t *sums) {
  for (uint32_t second = 0; second < 2 && second < count; second++) {
    int32x4_t acc[4];
    for (uint32_t o = 0; o < 4; o++) {
      acc[o] = vdupq_n_s32(0);
    }
    for (uint32_t p = second; p < count; p += 2) {
      const int8_t *w = part->weights, *const *rows =
                                           at + (size_t)(p - second) * part->taps + second;
      for (uint32_t tap = 0; tap < part->taps; tap++) {
        const int8_t *x = rows[2 * tap];
        for (uint32_t n = part->chunks; n > 0; n--, x += 16, w += 64) {
          int8x16_t in = vld1q_s8(x);
          for (uint32_t o = 0; o < 4; o++) {
            int8x16_t by = vld1q_s8(w + 16 * o);
            int16x8_t two = vmull_s8(vget_low_s8(in), vget_low_s8(by));
            two = vmlal_s8(two, vget_high_s8(in), vget_high_s8(by));
            acc[o] = vpadalq_s16(acc[o], two);
          }
        }
        for (uint32_t o = 0; part->half && o < 4; o++, w += 8) {
          acc[o] = vpadalq_s16(acc[o], vmull_s8(vld1_s8(x), vld1_s8(w)));
        }
      }
      int32x2_t half[4];
      for (uint32_t o = 0; o < 4; o++) {
        half[o] = vpadd_s32(vget_low_s32(acc[o]), vget_high_s32(acc[o]));
      }
      vst1_s32(sums + 4 * (size_t)p, vpadd_s32(half[0], half[1]));
      vst1_s32(sums + 4 * (size_t)p + 2, vpadd_s32(half[2], half[3]));
    }
  }
}

#endif
