/* Depthwise convolution, int8, any kernel: the sums of a line of outputs, then their rescaling.
 *
 * Two products fit into 16 bits (128 * 127 * 2 < 2^15), so taps go in pairs.
 */
#include "dmt_neon.h"
#include "dmt_plan_depthwise.h"

#ifdef DMT_NEON

#include "../generic/dmt_conv_int.h"
#include "dmt_depthwise.h"
#include "dmt_slopes.h"

/* Four outputs' products with a tap, at the eight columns from a0 on, w its weights. */
#define PRODUCTS(op, p0, p1, p2, p3, a0, a1, a2, a3, w)                                            \
  op " " p0 ", " a0 ", " w "\n\t" op " " p1 ", " a1 ", " w "\n\t" op " " p2 ", " a2 ", " w         \
     "\n\t" op " " p3 ", " a3 ", " w "\n\t"
#define SUM(q0, q1, low, high)                                                                     \
  "vaddw.s16 " q0 ", " q0 ", " low "\n\tvaddw.s16 " q1 ", " q1 ", " high "\n\t"
#define BIAS                                                                                       \
  "vld1.32 {d0-d3}, [%[bias]]\n\tvld1.32 {d4-d7}, [%[bias]]\n\t"                                   \
  "vld1.32 {d8-d11}, [%[bias]]\n\tvld1.32 {d12-d15}, [%[bias]]\n\t"
#define STORE                                                                                      \
  "vst1.32 {d0-d3}, [%[sums]]!\n\tvst1.32 {d4-d7}, [%[sums]]!\n\t"                                 \
  "vst1.32 {d8-d11}, [%[sums]]!\n\tvst1.32 {d12-d15}, [%[sums]]!\n\t"
#define SUMS_CLOBBER                                                                               \
  "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",   \
      "q15", "cc", "memory"

/* Four outputs, any pairs of taps. */
static inline void sums_any(int32_t *sums, const uint8_t *const *taps, uint32_t pairs, size_t at,
                            const uint8_t *weights, const int32_t *bias) {
  uint32_t a, b;
  __asm__ volatile(BIAS "1:\n\t"
                        "ldr %[a], [%[taps]], #4\n\t"
                        "ldr %[b], [%[taps]], #4\n\t"
                        "vld1.8 {d28-d29}, [%[weights]]!\n\t"
                        "add %[a], %[a], %[at]\n\t"
                        "add %[b], %[b], %[at]\n\t"
                        "vld1.8 {d16-d19}, [%[a]]\n\t"
                        "vld1.8 {d20-d23}, [%[b]]\n\t"
                        "subs %[pairs], %[pairs], #1\n\t" PRODUCTS(
                            "vmull.s8", "q12", "q13", "q8", "q9", "d16", "d17", "d18", "d19", "d28")
                            PRODUCTS("vmlal.s8", "q12", "q13", "q8", "q9", "d20", "d21", "d22",
                                     "d23", "d29") SUM("q0", "q1", "d24", "d25")
                                SUM("q2", "q3", "d26", "d27") SUM("q4", "q5", "d16", "d17")
                                    SUM("q6", "q7", "d18", "d19") "bne 1b\n\t" STORE
                   : [sums] "+r"(sums), [taps] "+r"(taps), [pairs] "+r"(pairs),
                     [weights] "+r"(weights), [a] "=&r"(a), [b] "=&r"(b)
                   : [at] "r"(at), [bias] "r"(bias)
                   : SUMS_CLOBBER);
}

/* `tiles` times four outputs of a 3 x 3 kernel: what sums_any() does, tap after tap, in an order
 * that keeps both pipes of a Cortex-A17 busy. */
static inline void sums_3x3(int32_t *sums, const uint8_t *const *t, uint32_t tiles, size_t at,
                            const uint8_t *weights, const int32_t *bias) {
  const uint8_t *r0 = t[0] + at, *r1 = t[3] + at, *r2 = t[6] + at;
  ptrdiff_t right = t[1] - t[0], further = t[2] - t[1], back = 32 - right - further;
  __asm__ volatile("1:\n\t"
                   "vld1.8 {d16-d19}, [%[r0]], %[right]\n\t"
                   "vld1.32 {d4-d7}, [%[bias]]\n\t"
                   "vld1.8 {d28-d29}, [%[weights]]!\n\t"
                   "vmull.s8 q13, d17, d28\n\t"
                   "vld1.8 {d20-d23}, [%[r0]], %[further]\n\t"
                   "vld1.32 {d0-d3}, [%[bias]]\n\t"
                   "vmlal.s8 q13, d21, d29\n\t"
                   "vld1.32 {d12-d15}, [%[bias]]\n\t"
                   "vmull.s8 q12, d16, d28\n\t"
                   "vmlal.s8 q12, d20, d29\n\t"
                   "vaddw.s16 q3, q3, d27\n\t"
                   "vmull.s8 q8, d18, d28\n\t"
                   "vmull.s8 q9, d19, d28\n\t"
                   "vmlal.s8 q9, d23, d29\n\t"
                   "vmlal.s8 q8, d22, d29\n\t"
                   "vld1.8 {d20-d23}, [%[r0]], %[back]\n\t"
                   "vaddw.s16 q6, q6, d18\n\t"
                   "vaddw.s16 q2, q2, d26\n\t"
                   "vld1.8 {d30-d31}, [%[weights]]!\n\t"
                   "vld1.32 {d8-d11}, [%[bias]]\n\t"
                   "vaddw.s16 q4, q4, d16\n\t"
                   "vaddw.s16 q5, q5, d17\n\t"
                   "vmull.s8 q8, d20, d30\n\t"
                   "vaddw.s16 q7, q7, d19\n\t"
                   "vmull.s8 q9, d21, d30\n\t"
                   "vmull.s8 q10, d22, d30\n\t"
                   "vmull.s8 q11, d23, d30\n\t"
                   "vaddw.s16 q0, q0, d24\n\t"
                   "vaddw.s16 q1, q1, d25\n\t"
                   "vld1.8 {d24-d27}, [%[r1]], %[right]\n\t"
                   "vmlal.s8 q11, d27, d31\n\t"
                   "vmlal.s8 q10, d26, d31\n\t"
                   "vmlal.s8 q9, d25, d31\n\t"
                   "vaddw.s16 q5, q5, d21\n\t"
                   "vaddw.s16 q7, q7, d23\n\t"
                   "vld1.8 {d28-d29}, [%[weights]]!\n\t"
                   "vmlal.s8 q8, d24, d31\n\t"
                   "vaddw.s16 q6, q6, d22\n\t"
                   "vld1.8 {d24-d27}, [%[r1]], %[further]\n\t"
                   "vmull.s8 q11, d25, d28\n\t"
                   "vaddw.s16 q2, q2, d18\n\t"
                   "vld1.8 {d30-d31}, [%[weights]]!\n\t"
                   "vaddw.s16 q3, q3, d19\n\t"
                   "vaddw.s16 q4, q4, d20\n\t"
                   "vmull.s8 q10, d24, d28\n\t"
                   "vmull.s8 q12, d26, d28\n\t"
                   "vmull.s8 q13, d27, d28\n\t"
                   "vaddw.s16 q1, q1, d17\n\t"
                   "vaddw.s16 q0, q0, d16\n\t"
                   "vld1.8 {d16-d19}, [%[r1]], %[back]\n\t"
                   "vmlal.s8 q11, d17, d29\n\t"
                   "vaddw.s16 q3, q3, d23\n\t"
                   "vmlal.s8 q12, d18, d29\n\t"
                   "vmlal.s8 q10, d16, d29\n\t"
                   "vaddw.s16 q2, q2, d22\n\t"
                   "vmlal.s8 q13, d19, d29\n\t"
                   "vld1.8 {d16-d19}, [%[r2]], %[right]\n\t"
                   "vaddw.s16 q5, q5, d25\n\t"
                   "vld1.8 {d28}, [%[weights]]!\n\t"
                   "vaddw.s16 q4, q4, d24\n\t"
                   "vmull.s8 q12, d16, d30\n\t"
                   "vaddw.s16 q7, q7, d27\n\t"
                   "vaddw.s16 q6, q6, d26\n\t"
                   "vmull.s8 q13, d17, d30\n\t"
                   "vmull.s8 q8, d18, d30\n\t"
                   "vmull.s8 q9, d19, d30\n\t"
                   "vaddw.s16 q1, q1, d21\n\t"
                   "vaddw.s16 q0, q0, d20\n\t"
                   "vld1.8 {d20-d23}, [%[r2]], %[further]\n\t"
                   "vmlal.s8 q12, d20, d31\n\t"
                   "vmlal.s8 q13, d21, d31\n\t"
                   "vaddw.s16 q1, q1, d25\n\t"
                   "vaddw.s16 q2, q2, d26\n\t"
                   "vaddw.s16 q0, q0, d24\n\t"
                   "vmlal.s8 q8, d22, d31\n\t"
                   "vaddw.s16 q4, q4, d16\n\t"
                   "vmlal.s8 q9, d23, d31\n\t"
                   "vaddw.s16 q6, q6, d18\n\t"
                   "vaddw.s16 q7, q7, d19\n\t"
                   "vaddw.s16 q5, q5, d17\n\t"
                   "vld1.8 {d20-d23}, [%[r2]], %[back]\n\t"
                   "sub %[weights], %[weights], #72\n\t"
                   "vmull.s8 q8, d20, d28\n\t"
                   "vaddw.s16 q1, q1, d17\n\t"
                   "vaddw.s16 q0, q0, d16\n\t"
                   "vst1.32 {d0-d3}, [%[sums]]!\n\t"
                   "vmull.s8 q9, d21, d28\n\t"
                   "vmull.s8 q10, d22, d28\n\t"
                   "vaddw.s16 q5, q5, d21\n\t"
                   "vmull.s8 q11, d23, d28\n\t"
                   "vaddw.s16 q3, q3, d27\n\t"
                   "vaddw.s16 q6, q6, d22\n\t"
                   "vaddw.s16 q3, q3, d19\n\t"
                   "vaddw.s16 q2, q2, d18\n\t"
                   "vst1.32 {d4-d7}, [%[sums]]!\n\t"
                   "vaddw.s16 q7, q7, d23\n\t"
                   "vaddw.s16 q4, q4, d20\n\t"
                   "vst1.32 {d8-d11}, [%[sums]]!\n\t"
                   "subs %[tiles], %[tiles], #1\n\t"
                   "vst1.32 {d12-d15}, [%[sums]]!\n\t"
                   "bne 1b\n\t"
                   : [sums] "+r"(sums), [tiles] "+r"(tiles), [weights] "+r"(weights), [r0] "+r"(r0),
                     [r1] "+r"(r1), [r2] "+r"(r2)
                   : [right] "r"(right), [further] "r"(further), [back] "r"(back), [bias] "r"(bias)
                   : SUMS_CLOBBER);
}

/* What rescaling needs, of eight channels. */
typedef struct {
  int32x4_t low, high; /* the multipliers */
  int16x8_t right, zero;
} scales;

/* rshr(t, r) is that of t >> k by r - k where r > k, so that 16 bits are enough after a narrowing
 * shift by k: what saturates there does so in 8 bits again, as long as r - k is at most 7.
 * Two outputs a turn; each stage works on what the stage before left in the last turn. */
#define LOAD "vld1.32 {d0-d3}, [%[sums]]!\n\tvld1.32 {d4-d7}, [%[sums]]!\n\t"
#define RESCALE(k)                                                                                 \
  __asm__ volatile(                                                                                \
      LOAD "vqrdmulh.s32 q4, q0, %q[low]\n\t"                                                      \
           "vqrdmulh.s32 q5, q1, %q[high]\n\t"                                                     \
           "vqrdmulh.s32 q6, q2, %q[low]\n\t"                                                      \
           "vqrdmulh.s32 q7, q3, %q[high]\n\t" LOAD "vqshrn.s32 d16, q4, #" k "\n\t"               \
           "vqshrn.s32 d17, q5, #" k "\n\t"                                                        \
           "vqshrn.s32 d18, q6, #" k "\n\t"                                                        \
           "vqshrn.s32 d19, q7, #" k "\n\t"                                                        \
           "vqrdmulh.s32 q4, q0, %q[low]\n\t"                                                      \
           "vqrdmulh.s32 q5, q1, %q[high]\n\t"                                                     \
           "vqrdmulh.s32 q6, q2, %q[low]\n\t"                                                      \
           "vqrdmulh.s32 q7, q3, %q[high]\n\t" LOAD "vrshl.s16 q10, q8, %q[right]\n\t"             \
           "vrshl.s16 q11, q9, %q[right]\n\t"                                                      \
           "1:\n\t"                                                                                \
           "subs %[pairs], %[pairs], #1\n\t"                                                       \
           "vqadd.s16 q10, q10, %q[zero]\n\t"                                                      \
           "vqadd.s16 q11, q11, %q[zero]\n\t"                                                      \
           "vqshrn.s32 d16, q4, #" k "\n\t"                                                        \
           "vqshrn.s32 d17, q5, #" k "\n\t"                                                        \
           "vqrdmulh.s32 q4, q0, %q[low]\n\t"                                                      \
           "vqshrn.s32 d18, q6, #" k "\n\t"                                                        \
           "vqshrn.s32 d19, q7, #" k "\n\t"                                                        \
           "vqrdmulh.s32 q5, q1, %q[high]\n\t"                                                     \
           "vqmovn.s16 d20, q10\n\t"                                                               \
           "vqmovn.s16 d21, q11\n\t"                                                               \
           "vqrdmulh.s32 q6, q2, %q[low]\n\t"                                                      \
           "vqrdmulh.s32 q7, q3, %q[high]\n\t" LOAD "vst1.8 {d20}, [%[y]], %[step]\n\t"            \
           "vst1.8 {d21}, [%[y]], %[step]\n\t"                                                     \
           "vrshl.s16 q10, q8, %q[right]\n\t"                                                      \
           "vrshl.s16 q11, q9, %q[right]\n\t"                                                      \
           "bne 1b\n\t"                                                                            \
      : [sums] "+r"(sums), [y] "+r"(y), [pairs] "+r"(pairs)                                        \
      : [step] "r"(step), [low] "w"(s.low), [high] "w"(s.high), [right] "w"(s.right),              \
        [zero] "w"(s.zero)                                                                         \
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "cc", "memory")

/* 2 * pairs outputs of a block; form() says by which k. */
static void rescale(const int32_t *sums, uint8_t *y, size_t step, uint32_t pairs, uint32_t k,
                    scales s) {
  if (k == 1) {
    RESCALE("1");
  } else if (k == 3) {
    RESCALE("3");
  } else if (k == 5) {
    RESCALE("5");
  } else if (k == 7) {
    RESCALE("7");
  } else {
    RESCALE("9");
  }
}

/* Outputs with slopes. */
static void rescale_slopes(const int32_t *sums, uint8_t *y, size_t step, uint32_t count,
                           const int32_t *multiplier, size_t words, int16x8_t zero) {
  dmt_branch above = dmt_branch_of(multiplier, words);
  dmt_branch below = dmt_branch_of(multiplier + 3 * words, words);
  for (; count > 0; count--, sums += 8, y += step) {
    vst1_s8((int8_t *)y, vqmovn_s16(vqaddq_s16(dmt_branches(&above, &below, sums), zero)));
  }
}

/* Narrower bounds than those of the type: few networks have any. */
static void bounds(uint8_t *y, size_t step, uint32_t count, int32_t least, int32_t most) {
  int8x8_t low = vdup_n_s8((int8_t)least), high = vdup_n_s8((int8_t)most);
  for (; count > 0 && (least > -128 || most < 127); count--, y += step) {
    vst1_s8((int8_t *)y, vmin_s8(vmax_s8(vld1_s8((const int8_t *)y), low), high));
  }
}

enum { ANY, SLOPES = 255 }; /* forms beside the k's */

/* The k of a block without slopes whose shifts are near each other, and to the right. */
static uint8_t depthwise_s8_form(const dmt_depthwise *d, uint32_t channel, uint32_t channels) {
  const dmt_conv *c = &d->conv;
  size_t words = dmt_up8(c->out.c);
  const int32_t *at = c->channels + channel + words;
  int32_t least = 31, most = 0, left = 0;
  for (uint32_t i = 0; i < channels; i++) {
    left |= at[words + i] | (c->slopes ? at[4 * words + i] : 0);
    if (at[i] != 0) { /* else the result is zero, however it is shifted */
      int32_t right = at[2 * words + i];
      least = right < least ? right : least;
      most = right > most ? right : most;
    }
  }
  if (left != 0 || c->slopes) {
    return left == 0 ? SLOPES : ANY;
  }
  for (uint8_t k = 1; k <= 9; k = (uint8_t)(k + 2)) {
    if (least > k && most <= k + 7) {
      return k;
    }
  }
  return ANY;
}

/* All sums of a line, by its form; the last may be left. */
static uint32_t rescale_line(const dmt_conv *c, const dmt_call *call,
                             const dmt_depthwise_line *line, uint8_t *y, size_t step) {
  uint32_t count = line->rows * line->pixels;
  size_t words = dmt_up8(c->out.c);
  const int32_t *multiplier = c->channels + line->channel + words, *right = multiplier + 2 * words;
  int16x8_t r = vcombine_s16(vmovn_s32(vld1q_s32(right)), vmovn_s32(vld1q_s32(right + 4)));
  scales s = {vld1q_s32(multiplier), vld1q_s32(multiplier + 4),
              vsubq_s16(vdupq_n_s16((int16_t)line->form), r),
              vdupq_n_s16((int16_t)call->out.zero_point)};
  if (line->form == SLOPES) {
    rescale_slopes(line->sums, y, step, count, multiplier, words, s.zero);
  } else {
    count = count / 2 * 2;
    if (count > 0) {
      rescale(line->sums, y, step, count / 2, line->form, s);
    }
  }
  bounds(y, step, count, dmt_signed(call, 56), dmt_signed(call, 60));
  return count;
}

static void depthwise_s8_line(const dmt_depthwise *d, const dmt_depthwise_line *line) {
  const dmt_conv *c = &d->conv;
  const dmt_call *call = d->call;
  const int32_t *bias = c->channels + line->channel;
  uint32_t tiles = dmt_ceil(line->pixels, DMT_DEPTHWISE_TILE), count = line->rows * line->pixels;
  uint32_t p = 0;
  for (uint32_t r = 0; r < line->rows; r++) { /* what a row has too many, the next overwrites */
    const uint8_t *const *taps = line->row[r].taps;
    int32_t *sums = line->sums + (size_t)8 * r * line->pixels;
    if (c->y.kernel == 3 && c->x.kernel == 3) {
      sums_3x3(sums, taps, tiles, line->at, line->weights, bias);
      continue;
    }
    for (uint32_t tile = 0; tile < tiles; tile++) {
      sums_any(sums + 32 * tile, taps, d->taps / 2, line->at + 32 * tile, line->weights, bias);
    }
  }
  if (line->form != ANY && line->channels == 8) {
    p = rescale_line(c, call, line, line->y, c->out.pixel);
  } else if (line->form != ANY) { /* eight bytes over the sums already read, then what is wanted */
    uint8_t *some = (uint8_t *)line->sums;
    uint32_t last = rescale_line(c, call, line, some, 8);
    for (; p < last; p++) {
      memcpy(line->y + p * c->out.pixel, some + 8 * p, line->channels);
    }
  }
  for (; p < count; p++) {
    dmt_finish(c, call, DMT_S8, line->channel, line->channels, dmt_i8_load(line->sums + 8 * p),
               line->y + p * c->out.pixel);
  }
}

static void depthwise_s8_columns(const dmt_depthwise *d, uint8_t *to, const uint8_t *row, int32_t x,
                                 uint32_t count, uint32_t first, uint32_t n) {
  dmt_depthwise_columns(d, to, row, x, count, first, n, 1);
}

static void depthwise_s8_run(const dmt_call *call) {
  dmt_depthwise d;
  dmt_depthwise_open(call, &d);
  d.skips = 0;
  d.line = depthwise_s8_line;
  d.columns = depthwise_s8_columns;
  d.form = depthwise_s8_form;
  dmt_depthwise_go(&d);
}

#endif

const dmt_operator dmt_op_depthwise_s8_neon = {
    DMT_OP_CONV,
    DMT_S8,
    1,
    dmt_depthwise_check,
    dmt_depthwise_scratch,
    DMT_NEON_RUN(depthwise_s8_run),
};
