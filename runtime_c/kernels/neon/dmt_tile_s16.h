/* Register tiles of the int16 convolutions: 3 pixels by 8 outputs, and 1 pixel by 24.
 *
 * Six block sums stand in q4-q9, six totals in q10-q15 (pixel by pixel, or block by block, two
 * quarters of eight outputs), inputs in d0-d2, because only d0-d7 can be read by lane, weights in
 * d4-d7. A block of 16 inputs is 96 multiplies, one a cycle; a tile ends in the gaps between those
 * of the next one's first block.
 */
#ifndef DMT_TILE_S16_H
#define DMT_TILE_S16_H

#include "../generic/dmt_conv_int.h"
#include "dmt_neon.h"

#include <stddef.h>

/* A stretch of the sums of three pixels: `taps` taps of `blocks` whole blocks and `rest` < 16 more
 * inputs each. Tap t of pixel p starts at at[3 * t + p]; the weights of all follow each other.
 * Then, for outputs in one go, the first channel's numbers and outputs. */
typedef struct {
  const int16_t *const *at;
  uint32_t taps, blocks, rest;
  const int32_t *start; /* biases; or what other parts left: 24 totals for 8 outputs */
  const int32_t *multiplier, *right;
  uint8_t *y[3];
  uint32_t last;        /* bytes before the last eight outputs of a pixel */
  const int16_t *range; /* low, four times, and high */
} dmt_tile;

/* The assembly knows where they stand. */
typedef char dmt_tile_fields[offsetof(dmt_tile, rest) == 12 && offsetof(dmt_tile, right) == 24 &&
                                     offsetof(dmt_tile, range) == 44
                                 ? 1
                                 : -1];

/* Four bytes to an instruction, so that none straddles two pages. */
#ifdef __thumb__
#define DMT_WIDE ".w"
#else
#define DMT_WIDE ""
#endif

#define DMT_ALL_Q                                                                                  \
  "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",   \
      "q15", "cc", "memory"

/* total += sum >> 9, rounded */
#define DMT_FLUSH_S16                                                                              \
  "vrsra.s32 q10, q4, #9\n"                                                                        \
  "vrsra.s32 q11, q5, #9\n"                                                                        \
  "vrsra.s32 q12, q6, #9\n"                                                                        \
  "vrsra.s32 q13, q7, #9\n"                                                                        \
  "vrsra.s32 q14, q8, #9\n"                                                                        \
  "vrsra.s32 q15, q9, #9\n"

#define DMT_CLEAR_S16                                                                              \
  "vmov.i32 q4, #0\n"                                                                              \
  "vmov.i32 q5, #0\n"                                                                              \
  "vmov.i32 q6, #0\n"                                                                              \
  "vmov.i32 q7, #0\n"                                                                              \
  "vmov.i32 q8, #0\n"                                                                              \
  "vmov.i32 q9, #0\n"

/* One input of three pixels (lane l of d0, d1, d2) by the eight weights in low and high. */
#define DMT_INPUT_3X8(op, low, high, l) DMT_AMONG_3X8(op, low, high, l, , , , , , )

/* With an instruction of another matter behind each multiply. */
#define DMT_AMONG_3X8(op, low, high, l, i0, i1, i2, i3, i4, i5)                                    \
  op ".s16 q4, " low ", d0[" l "]\n" i0 op ".s16 q5, " high ", d0[" l "]\n" i1 op ".s16 q6, " low  \
     ", d1[" l "]\n" i2 op ".s16 q7, " high ", d1[" l "]\n" i3 op ".s16 q8, " low ", d2[" l        \
     "]\n" i4 op ".s16 q9, " high ", d2[" l "]\n" i5

#define DMT_LOAD_X_3X8                                                                             \
  "vld1.16 {d0}, [%[x0]]!\n"                                                                       \
  "vld1.16 {d1}, [%[x1]]!\n"                                                                       \
  "vld1.16 {d2}, [%[x2]]!\n"

#define DMT_LOAD_W_3X8 "vld1.16 {d4-d7}, [%[w]]!\n"

/* Four inputs; the first begins the sums (vmull) or goes on (vmlal). */
#define DMT_FOUR_3X8(first)                                                                        \
  DMT_LOAD_X_3X8 DMT_LOAD_W_3X8 DMT_INPUT_3X8(first, "d4", "d5", "0")                              \
      DMT_INPUT_3X8("vmlal", "d6", "d7", "1")                                                      \
          DMT_LOAD_W_3X8 DMT_INPUT_3X8("vmlal", "d4", "d5", "2")                                   \
              DMT_INPUT_3X8("vmlal", "d6", "d7", "3")

/* The next tap's inputs. */
#define DMT_AIM_3X8                                                                                \
  "ldr" DMT_WIDE " %[x0], [%[at]], #4\n"                                                           \
  "ldr" DMT_WIDE " %[x1], [%[at]], #4\n"                                                           \
  "ldr" DMT_WIDE " %[x2], [%[at]], #4\n"                                                           \
  "ldr" DMT_WIDE " %[n], [%[tile], #8]\n"

/* From label 2 on the blocks of a tap, from 3 on its rest; 1 begins another tap. */
#define DMT_TAPS_3X8                                                                               \
  ".p2align 2\n"                                                                                   \
  "1:\n" DMT_AIM_3X8 "2:\n" DMT_FOUR_3X8("vmull") DMT_FOUR_3X8("vmlal") DMT_FOUR_3X8("vmlal")      \
      DMT_FOUR_3X8("vmlal") DMT_FLUSH_S16                                                          \
      "subs %[n], %[n], #1\n"                                                                      \
      "bne 2b\n"                                                                                   \
      "3:\n"                                                                                       \
      "ldr %[n], [%[tile], #12]\n"                                                                 \
      "cmp %[n], #0\n"                                                                             \
      "beq 7f\n" DMT_CLEAR_S16 "subs %[n], %[n], #4\n"                                             \
      "blo 5f\n"                                                                                   \
      ".p2align 2\n"                                                                               \
      "4:\n" DMT_FOUR_3X8("vmlal") "subs %[n], %[n], #4\n"                                         \
                                   "bhs 4b\n"                                                      \
                                   "5:\n"                                                          \
                                   "adds %[n], %[n], #4\n"                                         \
                                   "beq 8f\n"                                                      \
                                   "6:\n" /* one input */                                          \
                                   "vld1.16 {d0[]}, [%[x0]]!\n"                                    \
                                   "vld1.16 {d1[]}, [%[x1]]!\n"                                    \
                                   "vld1.16 {d2[]}, [%[x2]]!\n"                                    \
                                   "vld1.16 {d4-d5}, [%[w]]!\n" DMT_INPUT_3X8(                     \
                                       "vmlal", "d4", "d5", "0") "subs %[n], %[n], #1\n"           \
                                                                 "bne 6b\n"                        \
                                                                 "8:\n" DMT_FLUSH_S16 "7:\n"       \
                                                                 "subs %[taps], %[taps], #1\n"     \
                                                                 "bne 1b\n"

/* Adds the stretch to totals[24 * b] of `blocks` blocks of outputs. */
DMT_INLINE void dmt_add_3x8(const dmt_tile *tile, const int16_t *w, int32_t *totals,
                            uint32_t blocks) {
  const int16_t *const *at;
  const int16_t *x0, *x1, *x2;
  uint32_t taps, n;
  __asm__ volatile(
      "0:\n"
      "vldmia %[totals], {d20-d31}\n"
      "ldr %[at], [%[tile]]\n"
      "ldr %[n], [%[tile], #8]\n"
      "ldr %[taps], [%[tile], #4]\n"
      "cmp %[n], #0\n"
      "beq 9f\n" /* then it is one tap */
      DMT_TAPS_3X8 "vstmia %[totals]!, {d20-d31}\n"
      "subs %[blocks], %[blocks], #1\n"
      "bne 0b\n"
      "b 10f\n"
      "9:\n"
      "ldr %[x0], [%[at]]\n"
      "ldr %[x1], [%[at], #4]\n"
      "ldr %[x2], [%[at], #8]\n"
      "b 3b\n"
      "10:\n"
      : [w] "+r"(w), [totals] "+r"(totals), [blocks] "+r"(blocks), [at] "=&r"(at), [x0] "=&r"(x0),
        [x1] "=&r"(x1), [x2] "=&r"(x2), [taps] "=&r"(taps), [n] "=&r"(n)
      : [tile] "r"(tile)
      : DMT_ALL_Q);
}

/* Totals become outputs, [o] bytes behind the first channel's, by d3 and [t] alone. */
#define DMT_END_3X8                                                                                \
  "ldr" DMT_WIDE " %[t], [%[tile], #20]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n"                                                     \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vqrdmulh.s32 d20, d20, d3\n"                                                                    \
  "vqrdmulh.s32 d24, d24, d3\n"                                                                    \
  "vqrdmulh.s32 d28, d28, d3\n"                                                                    \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vqrdmulh.s32 d21, d21, d3\n"                                                                    \
  "vqrdmulh.s32 d25, d25, d3\n"                                                                    \
  "vqrdmulh.s32 d29, d29, d3\n"                                                                    \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vqrdmulh.s32 d22, d22, d3\n"                                                                    \
  "vqrdmulh.s32 d26, d26, d3\n"                                                                    \
  "vqrdmulh.s32 d30, d30, d3\n"                                                                    \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vqrdmulh.s32 d23, d23, d3\n"                                                                    \
  "vqrdmulh.s32 d27, d27, d3\n"                                                                    \
  "vqrdmulh.s32 d31, d31, d3\n"                                                                    \
  "ldr" DMT_WIDE " %[t], [%[tile], #24]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n"                                                     \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vneg.s32 d3, d3\n"                                                                              \
  "vrshl.s32 d20, d20, d3\n"                                                                       \
  "vrshl.s32 d24, d24, d3\n"                                                                       \
  "vrshl.s32 d28, d28, d3\n"                                                                       \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vneg.s32 d3, d3\n"                                                                              \
  "vrshl.s32 d21, d21, d3\n"                                                                       \
  "vrshl.s32 d25, d25, d3\n"                                                                       \
  "vrshl.s32 d29, d29, d3\n"                                                                       \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vneg.s32 d3, d3\n"                                                                              \
  "vrshl.s32 d22, d22, d3\n"                                                                       \
  "vrshl.s32 d26, d26, d3\n"                                                                       \
  "vrshl.s32 d30, d30, d3\n"                                                                       \
  "vld1.32 {d3}, [%[t]]!\n"                                                                        \
  "vneg.s32 d3, d3\n"                                                                              \
  "vrshl.s32 d23, d23, d3\n"                                                                       \
  "vrshl.s32 d27, d27, d3\n"                                                                       \
  "vrshl.s32 d31, d31, d3\n"                                                                       \
  "ldr" DMT_WIDE " %[t], [%[tile], #44]\n"                                                         \
  "vqmovn.s32 d20, q10\n"                                                                          \
  "vqmovn.s32 d21, q11\n"                                                                          \
  "vqmovn.s32 d24, q12\n"                                                                          \
  "vqmovn.s32 d25, q13\n"                                                                          \
  "vqmovn.s32 d28, q14\n"                                                                          \
  "vqmovn.s32 d29, q15\n"                                                                          \
  "vld1.16 {d3}, [%[t]]!\n"                                                                        \
  "vmax.s16 d20, d20, d3\n"                                                                        \
  "vmax.s16 d21, d21, d3\n"                                                                        \
  "vmax.s16 d24, d24, d3\n"                                                                        \
  "vmax.s16 d25, d25, d3\n"                                                                        \
  "vmax.s16 d28, d28, d3\n"                                                                        \
  "vmax.s16 d29, d29, d3\n"                                                                        \
  "vld1.16 {d3}, [%[t]]\n"                                                                         \
  "vmin.s16 d20, d20, d3\n"                                                                        \
  "vmin.s16 d21, d21, d3\n"                                                                        \
  "vmin.s16 d24, d24, d3\n"                                                                        \
  "vmin.s16 d25, d25, d3\n"                                                                        \
  "vmin.s16 d28, d28, d3\n"                                                                        \
  "vmin.s16 d29, d29, d3\n"                                                                        \
  "ldr" DMT_WIDE " %[t], [%[tile], #28]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o]\n"                                                             \
  "vst1.16 {d20-d21}, [%[t]]\n"                                                                    \
  "ldr" DMT_WIDE " %[t], [%[tile], #32]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o]\n"                                                             \
  "vst1.16 {d24-d25}, [%[t]]\n"                                                                    \
  "ldr" DMT_WIDE " %[t], [%[tile], #36]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o]\n"                                                             \
  "vst1.16 {d28-d29}, [%[t]]\n"                                                                    \
  "add" DMT_WIDE " %[o], %[o], #16\n"

/* Totals start from the biases of eight outputs, or from what other parts of the sum left. */
#define DMT_START_3X8                                                                              \
  "ldr" DMT_WIDE " %[t], [%[tile], #16]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n"                                                     \
  "vld1.32 {d20-d23}, [%[t]]\n"                                                                    \
  "vmov q12, q10\n"                                                                                \
  "vmov q13, q11\n"                                                                                \
  "vmov q14, q10\n"                                                                                \
  "vmov q15, q11\n"
#define DMT_GO_ON_3X8                                                                              \
  "ldr" DMT_WIDE " %[t], [%[tile], #16]\n"                                                         \
  "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n"                                                     \
  "add" DMT_WIDE " %[t], %[t], %[o], lsl #2\n"                                                     \
  "vldmia %[t], {d20-d31}\n"

/* The first block of 16, in its gaps the end of the tile before and the start of this one. */
#define DMT_BLOCK_AND_END_3X8(start)                                                               \
  DMT_LOAD_X_3X8                                                                                   \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmull", "d4", "d5", "0", "ldr" DMT_WIDE " %[t], [%[tile], #20]\n",                \
                "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n", "vld1.32 {d3}, [%[t]]!\n",           \
                "vqrdmulh.s32 d20, d20, d3\n", "vqrdmulh.s32 d24, d24, d3\n",                      \
                "vqrdmulh.s32 d28, d28, d3\n")                                                     \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "1", "vld1.32 {d3}, [%[t]]!\n",                               \
                "vqrdmulh.s32 d21, d21, d3\n", "vqrdmulh.s32 d25, d25, d3\n",                      \
                "vqrdmulh.s32 d29, d29, d3\n", "vld1.32 {d3}, [%[t]]!\n",                          \
                "vqrdmulh.s32 d22, d22, d3\n")                                                     \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmlal", "d4", "d5", "2", "vqrdmulh.s32 d26, d26, d3\n",                           \
                "vqrdmulh.s32 d30, d30, d3\n", "vld1.32 {d3}, [%[t]]!\n",                          \
                "vqrdmulh.s32 d23, d23, d3\n", "vqrdmulh.s32 d27, d27, d3\n",                      \
                "vqrdmulh.s32 d31, d31, d3\n")                                                     \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "3", "ldr" DMT_WIDE " %[t], [%[tile], #24]\n",                \
                "add" DMT_WIDE " %[t], %[t], %[o], lsl #1\n", "vld1.32 {d3}, [%[t]]!\n",           \
                "vneg.s32 d3, d3\n", "vrshl.s32 d20, d20, d3\n", "vrshl.s32 d24, d24, d3\n")       \
  DMT_LOAD_X_3X8                                                                                   \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmlal", "d4", "d5", "0", "vrshl.s32 d28, d28, d3\n", "vld1.32 {d3}, [%[t]]!\n",   \
                "vneg.s32 d3, d3\n", "vrshl.s32 d21, d21, d3\n", "vrshl.s32 d25, d25, d3\n",       \
                "vrshl.s32 d29, d29, d3\n")                                                        \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "1", "vld1.32 {d3}, [%[t]]!\n", "vneg.s32 d3, d3\n",          \
                "vrshl.s32 d22, d22, d3\n", "vrshl.s32 d26, d26, d3\n",                            \
                "vrshl.s32 d30, d30, d3\n", "vld1.32 {d3}, [%[t]]!\n")                             \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmlal", "d4", "d5", "2", "vneg.s32 d3, d3\n", "vrshl.s32 d23, d23, d3\n",         \
                "vrshl.s32 d27, d27, d3\n", "vrshl.s32 d31, d31, d3\n",                            \
                "ldr" DMT_WIDE " %[t], [%[tile], #44]\n", "vqmovn.s32 d20, q10\n")                 \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "3", "vqmovn.s32 d21, q11\n", "vqmovn.s32 d24, q12\n",        \
                "vqmovn.s32 d25, q13\n", "vqmovn.s32 d28, q14\n", "vqmovn.s32 d29, q15\n",         \
                "vld1.16 {d3}, [%[t]]!\n")                                                         \
  DMT_LOAD_X_3X8                                                                                   \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmlal", "d4", "d5", "0", "vmax.s16 d20, d20, d3\n", "vmax.s16 d21, d21, d3\n",    \
                "vmax.s16 d24, d24, d3\n", "vmax.s16 d25, d25, d3\n", "vmax.s16 d28, d28, d3\n",   \
                "vmax.s16 d29, d29, d3\n")                                                         \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "1", "vld1.16 {d3}, [%[t]]\n", "vmin.s16 d20, d20, d3\n",     \
                "vmin.s16 d21, d21, d3\n", "vmin.s16 d24, d24, d3\n", "vmin.s16 d25, d25, d3\n",   \
                "vmin.s16 d28, d28, d3\n")                                                         \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_AMONG_3X8("vmlal", "d4", "d5", "2", "vmin.s16 d29, d29, d3\n",                               \
                "ldr" DMT_WIDE " %[t], [%[tile], #28]\n", "add" DMT_WIDE " %[t], %[t], %[o]\n",    \
                "vst1.16 {d20-d21}, [%[t]]\n", "ldr" DMT_WIDE " %[t], [%[tile], #32]\n",           \
                "add" DMT_WIDE " %[t], %[t], %[o]\n")                                              \
  DMT_AMONG_3X8("vmlal", "d6", "d7", "3", "vst1.16 {d24-d25}, [%[t]]\n",                           \
                "ldr" DMT_WIDE " %[t], [%[tile], #36]\n", "add" DMT_WIDE " %[t], %[t], %[o]\n",    \
                "vst1.16 {d28-d29}, [%[t]]\n", "add" DMT_WIDE " %[o], %[o], #16\n", start)         \
  DMT_LOAD_X_3X8                                                                                   \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_INPUT_3X8("vmlal", "d4", "d5", "0")                                                          \
  DMT_INPUT_3X8("vmlal", "d6", "d7", "1")                                                          \
  DMT_LOAD_W_3X8                                                                                   \
  DMT_INPUT_3X8("vmlal", "d4", "d5", "2")                                                          \
  DMT_INPUT_3X8("vmlal", "d6", "d7", "3")

/* The outputs of three pixels, where a tap has a whole block and the ending is plain. */
#define DMT_CONV_3X8(name, start)                                                                  \
  static void name(const dmt_tile *tile, const int16_t *w) {                                       \
    const int16_t *const *at;                                                                      \
    const int16_t *x0, *x1, *x2;                                                                   \
    uint32_t taps, n, t, o = 0;                                                                    \
    __asm__ volatile("ldr %[at], [%[tile]]\n"                                                      \
                     "ldr %[taps], [%[tile], #4]\n" start "b 1f\n"                                 \
                     ".p2align 2\n"                                                                \
                     "0:\n"                                                                        \
                     "ldr" DMT_WIDE " %[at], [%[tile]]\n"                                          \
                     "ldr" DMT_WIDE                                                                \
                     " %[taps], [%[tile], #4]\n" DMT_AIM_3X8 DMT_BLOCK_AND_END_3X8(start)          \
                         DMT_FLUSH_S16 "subs %[n], %[n], #1\n"                                     \
                                       "beq 3f\n"                                                  \
                                       "b 2f\n" DMT_TAPS_3X8 "ldr %[n], [%[tile], #40]\n"          \
                                       "cmp %[o], %[n]\n"                                          \
                                       "bne 0b\n" DMT_END_3X8                                      \
                     : [w] "+r"(w), [o] "+r"(o), [at] "=&r"(at), [x0] "=&r"(x0), [x1] "=&r"(x1),   \
                       [x2] "=&r"(x2), [taps] "=&r"(taps), [n] "=&r"(n), [t] "=&r"(t)              \
                     : [tile] "r"(tile)                                                            \
                     : DMT_ALL_Q);                                                                 \
  }

DMT_CONV_3X8(dmt_conv_3x8, DMT_START_3X8)
DMT_CONV_3X8(dmt_conv_last_3x8, DMT_GO_ON_3X8)

/* Lane l of d0 by the weights of three blocks. */
#define DMT_INPUT_1X24(op, l)                                                                      \
  "vld1.16 {d2-d3}, [%[w0]]!\n"                                                                    \
  "vld1.16 {d4-d5}, [%[w1]]!\n"                                                                    \
  "vld1.16 {d6-d7}, [%[w2]]!\n" op ".s16 q4, d2, d0[" l "]\n" op ".s16 q5, d3, d0[" l "]\n" op     \
  ".s16 q6, d4, d0[" l "]\n" op ".s16 q7, d5, d0[" l "]\n" op ".s16 q8, d6, d0[" l "]\n" op        \
  ".s16 q9, d7, d0[" l "]\n"

#define DMT_FOUR_1X24(first)                                                                       \
  "vld1.16 {d0}, [%[x]]!\n" DMT_INPUT_1X24(first, "0") DMT_INPUT_1X24("vmlal", "1")                \
      DMT_INPUT_1X24("vmlal", "2") DMT_INPUT_1X24("vmlal", "3")

/* Adds a stretch of the first pixel to the totals of three blocks of outputs. */
DMT_INLINE void dmt_add_1x24(const dmt_tile *tile, const int16_t *w0, const int16_t *w1,
                             const int16_t *w2, int32_t *totals) {
  const int16_t *const *at;
  const int16_t *x;
  uint32_t taps, n;
  __asm__ volatile(
      "ldr %[at], [%[tile]]\n"
      "ldr %[taps], [%[tile], #4]\n"
      "vldmia %[totals], {d20-d31}\n"
      "1:\n"
      "ldr %[x], [%[at]], #12\n"
      "ldr %[n], [%[tile], #8]\n"
      "cmp %[n], #0\n"
      "beq 3f\n"
      ".p2align 2\n"
      "2:\n" /* a block of 16 */
      DMT_FOUR_1X24("vmull") DMT_FOUR_1X24("vmlal") DMT_FOUR_1X24("vmlal") DMT_FOUR_1X24("vmlal")
          DMT_FLUSH_S16
      "subs %[n], %[n], #1\n"
      "bne 2b\n"
      "3:\n"
      "ldr %[n], [%[tile], #12]\n"
      "cmp %[n], #0\n"
      "beq 5f\n" DMT_CLEAR_S16 "4:\n" /* one input */
      "vld1.16 {d0[]}, [%[x]]!\n" DMT_INPUT_1X24("vmlal", "0") "subs %[n], %[n], #1\n"
                                                               "bne 4b\n" DMT_FLUSH_S16 "5:\n"
                                                               "subs %[taps], %[taps], #1\n"
                                                               "bne 1b\n"
                                                               "vstmia %[totals], {d20-d31}\n"
      : [at] "=&r"(at), [taps] "=&r"(taps), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2),
        [x] "=&r"(x), [n] "=&r"(n)
      : [tile] "r"(tile), [totals] "r"(totals)
      : DMT_ALL_Q);
}

/* From totals to outputs: what a tile needs of the call. */
typedef struct dmt_ending {
  const dmt_conv *conv;
  const dmt_call *call;
  uint32_t words;   /* of an array of channels */
  uint32_t plain;   /* no slopes, no shift to the left: nearly always */
  uint32_t bent;    /* slopes, but no shift to the left */
  int16_t range[8]; /* low and high, four times */
} dmt_ending;

static inline dmt_ending dmt_ending_of(const dmt_conv *c, const dmt_call *call) {
  uint32_t words = dmt_up8(c->out.c), left = 0;
  for (uint32_t i = 0; i < c->out.c; i++) {
    left |= (uint32_t)(c->channels[2 * words + i] | (c->slopes ? c->channels[5 * words + i] : 0));
  }
  dmt_ending e = {c, call, words, left == 0 && !c->slopes, left == 0 && c->slopes, {0}};
  vst1_s16(e.range, vdup_n_s16((int16_t)dmt_signed(call, 56)));
  vst1_s16(e.range + 4, vdup_n_s16((int16_t)dmt_signed(call, 60)));
  return e;
}

/* n <= 8 outputs of any kind, channels from `first` on. */
static __attribute__((noinline)) void dmt_end_any(const dmt_ending *e, uint32_t first, uint32_t n,
                                                  const int32_t *totals, void *y) {
  dmt_finish(e->conv, e->call, DMT_S16, first, n, dmt_i8_load(totals), y);
}

/* Eight outputs of three pixels, by slopes. */
static __attribute__((noinline)) void dmt_end_bent(const dmt_ending *e, uint32_t first,
                                                   const int32_t *totals, uint8_t *const y[3]) {
  const int16x4_t low = vld1_s16(e->range), high = vld1_s16(e->range + 4);
  for (uint32_t half = 0; half < 2; half++) {
    const int32_t *at = e->conv->channels + e->words + first + 4 * half;
    int32x4_t m = vld1q_s32(at), r = vnegq_s32(vld1q_s32(at + 2 * (size_t)e->words));
    int32x4_t below_m = vld1q_s32(at + 3 * (size_t)e->words);
    int32x4_t below_r = vnegq_s32(vld1q_s32(at + 5 * (size_t)e->words));
    for (uint32_t p = 0; p < 3; p++) {
      int32x4_t a = vld1q_s32(totals + 8 * p + 4 * half);
      uint32x4_t below = vcltq_s32(a, vdupq_n_s32(0));
      a = vqrdmulhq_s32(a, vbslq_s32(below, below_m, m));
      int16x4_t out = vqmovn_s32(vrshlq_s32(a, vbslq_s32(below, below_r, r)));
      vst1_s16((int16_t *)(void *)y[p] + 4 * half, vmin_s16(vmax_s16(out, low), high));
    }
  }
}

#endif
