/* Register tiles of the int16 convolutions: 3 pixels by 8 outputs, and 1 pixel by 24.
 *
 * Six block sums stand in q4-q9, six totals in registers of the compiler's choice (q10-q15 are
 * left), inputs in d0-d3, which alone can be read by lane; the rest holds weights. A block of 16
 * inputs is 96 multiplies, one a cycle: everything else fits beside them.
 */
#ifndef DMT_TILE_S16_H
#define DMT_TILE_S16_H

#include "../generic/dmt_conv_int.h"
#include "dmt_neon.h"

/* Totals of a tile: pixel by pixel (or block by block) two quarters of eight outputs. */
typedef struct {
  int32x4_t q[6];
} dmt_totals;

/* A stretch of the sum: `taps` taps of `blocks` whole blocks and `rest` < 16 more inputs each. Tap
 * t of pixel p starts at at[3 * t + p]; the weights of all follow each other. */
typedef struct {
  const int16_t *const *at;
  uint32_t taps, blocks, rest;
} dmt_stretch;

#define DMT_SUMS "q4", "q5", "q6", "q7", "q8", "q9"
#define DMT_SCRATCH_S16 "q0", "q1", "q2", "q3", DMT_SUMS, "cc", "memory"

/* total += sum >> 9, rounded */
#define DMT_FLUSH_S16                                                                              \
  "vrsra.s32 %q[t0], q4, #9\n"                                                                     \
  "vrsra.s32 %q[t1], q5, #9\n"                                                                     \
  "vrsra.s32 %q[t2], q6, #9\n"                                                                     \
  "vrsra.s32 %q[t3], q7, #9\n"                                                                     \
  "vrsra.s32 %q[t4], q8, #9\n"                                                                     \
  "vrsra.s32 %q[t5], q9, #9\n"

#define DMT_CLEAR_S16                                                                              \
  "vmov.i32 q4, #0\n"                                                                              \
  "vmov.i32 q5, #0\n"                                                                              \
  "vmov.i32 q6, #0\n"                                                                              \
  "vmov.i32 q7, #0\n"                                                                              \
  "vmov.i32 q8, #0\n"                                                                              \
  "vmov.i32 q9, #0\n"

#define DMT_TOTALS_S16(t)                                                                          \
  [t0] "+w"((t)->q[0]), [t1] "+w"((t)->q[1]), [t2] "+w"((t)->q[2]), [t3] "+w"((t)->q[3]),          \
      [t4] "+w"((t)->q[4]), [t5] "+w"((t)->q[5])

/* One input of three pixels (lane l of d0, d1, d2) by the eight weights in low and high. */
#define DMT_INPUT_3X8(op, low, high, l)                                                            \
  op ".s16 q4, " low ", d0[" l "]\n" op ".s16 q5, " high ", d0[" l "]\n" op ".s16 q6, " low        \
     ", d1[" l "]\n" op ".s16 q7, " high ", d1[" l "]\n" op ".s16 q8, " low ", d2[" l "]\n" op     \
     ".s16 q9, " high ", d2[" l "]\n"

#define DMT_FOUR_3X8(first)                                                                        \
  "vld1.16 {d0}, [%[x0]]!\n"                                                                       \
  "vld1.16 {d1}, [%[x1]]!\n"                                                                       \
  "vld1.16 {d2}, [%[x2]]!\n"                                                                       \
  "vld1.16 {d4-d7}, [%[w]]!\n" DMT_INPUT_3X8(first, "d4", "d5", "0")                               \
      DMT_INPUT_3X8("vmlal", "d6", "d7", "1") "vld1.16 {d4-d7}, [%[w]]!\n" DMT_INPUT_3X8(          \
          "vmlal", "d4", "d5", "2") DMT_INPUT_3X8("vmlal", "d6", "d7", "3")

/* Adds a stretch to the totals of 3 pixels; returns where its weights end. */
DMT_INLINE const int16_t *dmt_add_3x8(dmt_totals *t, const dmt_stretch *s, const int16_t *w) {
  const int16_t *const *at = s->at;
  const int16_t *x0, *x1, *x2;
  uint32_t taps = s->taps, n;
  __asm__ volatile("1:\n"
                   "ldr %[x0], [%[at]], #4\n"
                   "ldr %[x1], [%[at]], #4\n"
                   "ldr %[x2], [%[at]], #4\n"
                   "movs %[n], %[blocks]\n"
                   "beq 3f\n"
                   ".p2align 2\n" /* so that no instruction straddles a page */
                   "2:\n"         /* a block of 16 */
                   DMT_FOUR_3X8("vmull") ".rept 3\n" DMT_FOUR_3X8(
                       "vmlal") ".endr\n" DMT_FLUSH_S16 "subs %[n], %[n], #1\n"
                                "bne 2b\n"
                                "3:\n"
                                "cmp %[rest], #0\n"
                                "beq 7f\n" DMT_CLEAR_S16 "subs %[n], %[rest], #4\n"
                                "blo 5f\n"
                                ".p2align 2\n"
                                "4:\n" /* four inputs */
                   DMT_FOUR_3X8("vmlal") "subs %[n], %[n], #4\n"
                                         "bhs 4b\n"
                                         "5:\n"
                                         "adds %[n], %[n], #4\n"
                                         "beq 8f\n"
                                         "6:\n" /* one input */
                                         "vld1.16 {d0[]}, [%[x0]]!\n"
                                         "vld1.16 {d1[]}, [%[x1]]!\n"
                                         "vld1.16 {d2[]}, [%[x2]]!\n"
                                         "vld1.16 {d4-d5}, [%[w]]!\n" DMT_INPUT_3X8(
                                             "vmlal", "d4", "d5", "0") "subs %[n], %[n], #1\n"
                                                                       "bne 6b\n"
                                                                       "8:\n" DMT_FLUSH_S16 "7:\n"
                                                                       "subs %[taps], %[taps], #1\n"
                                                                       "bne 1b\n"
                   : DMT_TOTALS_S16(t), [at] "+r"(at), [taps] "+r"(taps), [w] "+r"(w),
                     [x0] "=&r"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2), [n] "=&r"(n)
                   : [blocks] "r"(s->blocks), [rest] "r"(s->rest)
                   : DMT_SCRATCH_S16);
  return w;
}

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

/* Adds a stretch to the totals of the first pixel, for three blocks of outputs. */
DMT_INLINE void dmt_add_1x24(dmt_totals *t, const dmt_stretch *s, const int16_t *w0,
                             const int16_t *w1, const int16_t *w2) {
  const int16_t *const *at = s->at;
  const int16_t *x;
  uint32_t taps = s->taps, n;
  __asm__ volatile("1:\n"
                   "ldr %[x], [%[at]], #12\n"
                   "movs %[n], %[blocks]\n"
                   "beq 3f\n"
                   ".p2align 2\n" /* so that no instruction straddles a page */
                   "2:\n"         /* a block of 16 */
                   DMT_FOUR_1X24("vmull") ".rept 3\n" DMT_FOUR_1X24(
                       "vmlal") ".endr\n" DMT_FLUSH_S16 "subs %[n], %[n], #1\n"
                                "bne 2b\n"
                                "3:\n"
                                "movs %[n], %[rest]\n"
                                "beq 5f\n" DMT_CLEAR_S16 "4:\n" /* one input */
                                "vld1.16 {d0[]}, [%[x]]!\n" DMT_INPUT_1X24(
                                    "vmlal", "0") "subs %[n], %[n], #1\n"
                                                  "bne 4b\n" DMT_FLUSH_S16 "5:\n"
                                                  "subs %[taps], %[taps], #1\n"
                                                  "bne 1b\n"
                   : DMT_TOTALS_S16(t), [at] "+r"(at), [taps] "+r"(taps), [w0] "+r"(w0),
                     [w1] "+r"(w1), [w2] "+r"(w2), [x] "=&r"(x), [n] "=&r"(n)
                   : [blocks] "r"(s->blocks), [rest] "r"(s->rest)
                   : DMT_SCRATCH_S16);
}

/* From totals to outputs: what a tile needs of the call. */
typedef struct dmt_ending {
  const dmt_conv *conv;
  const dmt_call *call;
  uint32_t words; /* of an array of channels */
  uint32_t plain; /* no slopes, no shift to the left: nearly always */
  int16x8_t low, high;
} dmt_ending;

static inline dmt_ending dmt_ending_of(const dmt_conv *c, const dmt_call *call) {
  uint32_t words = dmt_up8(c->out.c), left = c->slopes;
  for (uint32_t i = 0; i < c->out.c; i++) {
    left |= (uint32_t)c->channels[2 * words + i];
  }
  dmt_ending e = {c,
                  call,
                  words,
                  left == 0,
                  vdupq_n_s16((int16_t)dmt_signed(call, 56)),
                  vdupq_n_s16((int16_t)dmt_signed(call, 60))};
  return e;
}

/* n <= 8 outputs of any kind, channels from `first` on. */
static __attribute__((noinline)) void dmt_end_any(const dmt_ending *e, uint32_t first, uint32_t n,
                                                  int32x4_t low, int32x4_t high, void *y) {
  dmt_i8 acc = {{low, high}};
  dmt_finish(e->conv, e->call, DMT_S16, first, n, acc, y);
}

/* What a plain ending of eight outputs needs. */
typedef struct {
  int32x4_t m0, m1, r0, r1;
  int16x8_t low, high;
} dmt_factors;

DMT_INLINE dmt_factors dmt_factors_of(const dmt_ending *e, uint32_t first) {
  const int32_t *m = e->conv->channels + e->words + first, *r = m + 2 * (size_t)e->words;
  dmt_factors f = {
      vld1q_s32(m), vld1q_s32(m + 4), vnegq_s32(vld1q_s32(r)), vnegq_s32(vld1q_s32(r + 4)),
      e->low,       e->high};
  return f;
}

DMT_INLINE int16x8_t dmt_end_plain(int32x4_t a, int32x4_t b, const dmt_factors *f) {
  int16x8_t y;
  a = vrshlq_s32(vqrdmulhq_s32(a, f->m0), f->r0);
  b = vrshlq_s32(vqrdmulhq_s32(b, f->m1), f->r1);
  __asm__("vqmovn.s32 %e[y], %q[a]\n" /* GCC would join the halves by moves */
          "vqmovn.s32 %f[y], %q[b]"
          : [y] "=&w"(y)
          : [a] "w"(a), [b] "w"(b));
  return vminq_s16(vmaxq_s16(y, f->low), f->high);
}

#endif
