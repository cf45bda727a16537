/* Depthwise convolution, int16, any kernel: the sums of a line of outputs, then their rescaling.
 *
 * The blocks of 16 products are taps 0-15, 16-31, ... of the kernel.
 */
#include "dmt_neon.h"
#include "dmt_plan_depthwise.h"

#ifdef DMT_NEON

#include "../generic/dmt_conv_int.h"
#include "dmt_depthwise.h"
#include "dmt_slopes.h"

enum { BLOCK = 16 };

/* Four outputs' products with at most 16 taps, rounded and added to `total`: the bias or, `step`
 * bytes apart, the sums so far. */
static inline void add_block(int32_t *sums, const int32_t *total, size_t step,
                             const uint8_t *const *taps, uint32_t count, size_t at,
                             const uint8_t *weights) {
  uint32_t x;
  __asm__ volatile("vmov.i32 q0, #0\n\tvmov.i32 q1, #0\n\tvmov.i32 q2, #0\n\tvmov.i32 q3, #0\n\t"
                   "vmov.i32 q4, #0\n\tvmov.i32 q5, #0\n\tvmov.i32 q6, #0\n\tvmov.i32 q7, #0\n\t"
                   "1:\n\t"
                   "ldr %[x], [%[taps]], #4\n\t"
                   "subs %[count], %[count], #1\n\t"
                   "vld1.16 {d16-d17}, [%[weights]]!\n\t"
                   "add %[x], %[x], %[at]\n\t"
                   "vld1.16 {d18-d21}, [%[x]]!\n\t"
                   "vld1.16 {d22-d25}, [%[x]]\n\t"
                   "vmlal.s16 q0, d18, d16\n\t"
                   "vmlal.s16 q1, d19, d17\n\t"
                   "vmlal.s16 q2, d20, d16\n\t"
                   "vmlal.s16 q3, d21, d17\n\t"
                   "vmlal.s16 q4, d22, d16\n\t"
                   "vmlal.s16 q5, d23, d17\n\t"
                   "vmlal.s16 q6, d24, d16\n\t"
                   "vmlal.s16 q7, d25, d17\n\t"
                   "bne 1b\n\t"
                   "vld1.32 {d16-d19}, [%[total]], %[step]\n\t"
                   "vld1.32 {d20-d23}, [%[total]], %[step]\n\t"
                   "vld1.32 {d24-d27}, [%[total]], %[step]\n\t"
                   "vld1.32 {d28-d31}, [%[total]], %[step]\n\t"
                   "vrsra.s32 q8, q0, #9\n\t"
                   "vrsra.s32 q9, q1, #9\n\t"
                   "vrsra.s32 q10, q2, #9\n\t"
                   "vrsra.s32 q11, q3, #9\n\t"
                   "vrsra.s32 q12, q4, #9\n\t"
                   "vrsra.s32 q13, q5, #9\n\t"
                   "vrsra.s32 q14, q6, #9\n\t"
                   "vrsra.s32 q15, q7, #9\n\t"
                   "vst1.32 {d16-d19}, [%[sums]]!\n\t"
                   "vst1.32 {d20-d23}, [%[sums]]!\n\t"
                   "vst1.32 {d24-d27}, [%[sums]]!\n\t"
                   "vst1.32 {d28-d31}, [%[sums]]!\n\t"
                   : [sums] "+r"(sums), [total] "+r"(total), [taps] "+r"(taps), [count] "+r"(count),
                     [weights] "+r"(weights), [x] "=&r"(x)
                   : [step] "r"(step), [at] "r"(at)
                   : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11",
                     "q12", "q13", "q14", "q15", "cc", "memory");
}

/* Four outputs' products with a tap, whose columns the row's pointer passes. */
#define TAP(op, row, step)                                                                         \
  "vld1.16 {d16-d17}, [%[weights]]!\n\t"                                                           \
  "vld1.16 {d18-d21}, [%[" row "]]!\n\t"                                                           \
  "vld1.16 {d22-d25}, [%[" row "]], %[" step "]\n\t" op " q0, d18, d16\n\t" op                     \
  " q1, d19, d17\n\t" op " q2, d20, d16\n\t" op " q3, d21, d17\n\t" op " q4, d22, d16\n\t" op      \
  " q5, d23, d17\n\t" op " q6, d24, d16\n\t" op " q7, d25, d17\n\t"
#define ROUND(q) "vrshr.s32 " q ", " q ", #9\n\t"
#define ADD_BIAS(low, high) "vadd.i32 " low ", " low ", q14\n\tvadd.i32 " high ", " high ", q15\n\t"

/* `tiles` times four outputs of a 3 x 3 kernel that has all its rows. */
static inline void sums_3x3(int32_t *sums, const uint8_t *const *t, uint32_t tiles, size_t at,
                            const uint8_t *weights, const int32_t *bias) {
  const uint8_t *r0 = t[0] + at, *r1 = t[3] + at, *r2 = t[6] + at;
  ptrdiff_t right = t[1] - t[0] - 32, further = t[2] - t[1] - 32, back = t[0] - t[2] + 32;
  __asm__ volatile(
      "vld1.32 {d28-d31}, [%[bias]]\n\t"
      "1:\n\t" TAP("vmull.s16", "r0", "right") TAP("vmlal.s16", "r0", "further")
          TAP("vmlal.s16", "r0", "back") TAP("vmlal.s16", "r1", "right")
              TAP("vmlal.s16", "r1", "further") TAP("vmlal.s16", "r1", "back")
                  TAP("vmlal.s16", "r2", "right") TAP("vmlal.s16", "r2", "further")
                      TAP("vmlal.s16", "r2",
                          "back") "subs %[tiles], %[tiles], #1\n\t"
                                  "sub %[weights], %[weights], #144\n\t" ROUND("q0") ROUND("q1")
                                      ROUND("q2") ROUND("q3") ROUND("q4") ROUND("q5") ROUND("q6")
                                          ROUND("q7") ADD_BIAS("q0", "q1") ADD_BIAS("q2", "q3")
                                              ADD_BIAS("q4", "q5") ADD_BIAS(
                                                  "q6", "q7") "vst1.32 {d0-d3}, [%[sums]]!\n\t"
                                                              "vst1.32 {d4-d7}, [%[sums]]!\n\t"
                                                              "vst1.32 {d8-d11}, [%[sums]]!\n\t"
                                                              "vst1.32 {d12-d15}, [%[sums]]!\n\t"
                                                              "bne 1b\n\t"
      : [sums] "+r"(sums), [tiles] "+r"(tiles), [weights] "+r"(weights), [r0] "+r"(r0),
        [r1] "+r"(r1), [r2] "+r"(r2)
      : [right] "r"(right), [further] "r"(further), [back] "r"(back), [bias] "r"(bias)
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q14",
        "q15", "cc", "memory");
}

/* Two outputs a turn; each stage works on what the stage before left in the last turn. */
static void rescale(const int32_t *sums, uint8_t *y, size_t step, uint32_t pairs,
                    const int32_t *multiplier, int32x4_t right_low, int32x4_t right_high,
                    int16x8_t least, int16x8_t most) {
  __asm__ volatile("vld1.32 {d16-d19}, [%[multiplier]]\n\t"
                   "vld1.32 {d0-d3}, [%[sums]]!\n\t"
                   "vld1.32 {d4-d7}, [%[sums]]!\n\t"
                   "vqrdmulh.s32 q4, q0, q8\n\t"
                   "vqrdmulh.s32 q5, q1, q9\n\t"
                   "vqrdmulh.s32 q6, q2, q8\n\t"
                   "vqrdmulh.s32 q7, q3, q9\n\t"
                   "vld1.32 {d0-d3}, [%[sums]]!\n\t"
                   "vld1.32 {d4-d7}, [%[sums]]!\n\t"
                   "1:\n\t"
                   "subs %[pairs], %[pairs], #1\n\t"
                   "vrshl.s32 q4, q4, %q[low]\n\t"
                   "vrshl.s32 q5, q5, %q[high]\n\t"
                   "vrshl.s32 q6, q6, %q[low]\n\t"
                   "vrshl.s32 q7, q7, %q[high]\n\t"
                   "vqmovn.s32 d20, q4\n\t"
                   "vqrdmulh.s32 q4, q0, q8\n\t"
                   "vqmovn.s32 d21, q5\n\t"
                   "vqrdmulh.s32 q5, q1, q9\n\t"
                   "vqmovn.s32 d22, q6\n\t"
                   "vqrdmulh.s32 q6, q2, q8\n\t"
                   "vqmovn.s32 d23, q7\n\t"
                   "vqrdmulh.s32 q7, q3, q9\n\t"
                   "vld1.32 {d0-d3}, [%[sums]]!\n\t"
                   "vld1.32 {d4-d7}, [%[sums]]!\n\t"
                   "vmax.s16 q10, q10, %q[least]\n\t"
                   "vmax.s16 q11, q11, %q[least]\n\t"
                   "vmin.s16 q10, q10, %q[most]\n\t"
                   "vmin.s16 q11, q11, %q[most]\n\t"
                   "vst1.16 {d20-d21}, [%[y]], %[step]\n\t"
                   "vst1.16 {d22-d23}, [%[y]], %[step]\n\t"
                   "bne 1b\n\t"
                   : [sums] "+r"(sums), [y] "+r"(y), [pairs] "+r"(pairs)
                   : [step] "r"(step), [multiplier] "r"(multiplier), [low] "w"(right_low),
                     [high] "w"(right_high), [least] "w"(least), [most] "w"(most)
                   : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "cc",
                     "memory");
}

/* Outputs with slopes. */
static void rescale_slopes(const int32_t *sums, uint8_t *y, size_t step, uint32_t count,
                           const int32_t *multiplier, size_t words, int16x8_t least,
                           int16x8_t most) {
  dmt_branch above = dmt_branch_of(multiplier, words);
  dmt_branch below = dmt_branch_of(multiplier + 3 * words, words);
  for (; count > 0; count--, sums += 8, y += step) {
    int16x8_t a = dmt_branches(&above, &below, sums);
    vst1q_s16((int16_t *)(void *)y, vminq_s16(vmaxq_s16(a, least), most));
  }
}

enum { ANY, RIGHT, SLOPES };

/* Whether nothing is shifted to the left, without slopes and with them. */
static uint8_t depthwise_s16_form(const dmt_depthwise *d, uint32_t channel, uint32_t channels) {
  size_t words = dmt_up8(d->conv.out.c);
  const int32_t *left = d->conv.channels + channel + 2 * words;
  int32_t all = 0;
  for (uint32_t i = 0; i < channels; i++) {
    all |= left[i] | (d->conv.slopes ? left[3 * words + i] : 0);
  }
  return all != 0 ? ANY : d->conv.slopes ? SLOPES : RIGHT;
}

/* All sums of a line, by its form; the last may be left. */
static uint32_t rescale_line(const dmt_conv *c, const dmt_call *call,
                             const dmt_depthwise_line *line, uint8_t *y, size_t step) {
  uint32_t count = line->rows * line->pixels;
  size_t words = dmt_up8(c->out.c);
  const int32_t *multiplier = c->channels + line->channel + words, *right = multiplier + 2 * words;
  int16x8_t least = vdupq_n_s16((int16_t)dmt_signed(call, 56));
  int16x8_t most = vdupq_n_s16((int16_t)dmt_signed(call, 60));
  if (line->form == SLOPES) {
    rescale_slopes(line->sums, y, step, count, multiplier, words, least, most);
    return count;
  }
  if (count > 1) {
    rescale(line->sums, y, step, count / 2, multiplier, vnegq_s32(vld1q_s32(right)),
            vnegq_s32(vld1q_s32(right + 4)), least, most);
  }
  return count / 2 * 2;
}

/* The sums of a row's outputs. */
static void sum_row(const dmt_conv *c, const dmt_depthwise_line *line, const dmt_depthwise_row *row,
                    int32_t *sums, const int32_t *bias) {
  for (uint32_t p = 0; row->count == 0 && p < line->pixels; p++) {
    memcpy(sums + 8 * p, bias, 8 * sizeof *bias);
  }
  if (c->y.kernel == 3 && c->x.kernel == 3 && row->count == 9) {
    sums_3x3(sums, row->taps, dmt_ceil(line->pixels, DMT_DEPTHWISE_TILE), line->at, line->weights,
             bias);
    return;
  }
  for (uint32_t p = 0; p < line->pixels; p += DMT_DEPTHWISE_TILE, sums += 32) {
    for (uint32_t done = 0; done < row->count; done += BLOCK) {
      uint32_t taps = row->count - done < BLOCK ? row->count - done : BLOCK;
      add_block(sums, done ? sums : bias, done ? 32 : 0, row->taps + done, taps, line->at + 16 * p,
                line->weights + 16 * (row->first + done));
    }
  }
}

static void depthwise_s16_line(const dmt_depthwise *d, const dmt_depthwise_line *line) {
  const dmt_conv *c = &d->conv;
  const dmt_call *call = d->call;
  const int32_t *bias = c->channels + line->channel;
  uint32_t count = line->rows * line->pixels, p = 0;
  for (uint32_t r = 0; r < line->rows; r++) { /* what a row has too many, the next overwrites */
    sum_row(c, line, line->row + r, line->sums + (size_t)8 * r * line->pixels, bias);
  }
  if (line->form != ANY && line->channels == 8) {
    p = rescale_line(c, call, line, line->y, c->out.pixel);
  } else if (line->form != ANY) { /* eight over the sums already read, then what is wanted */
    uint8_t *some = (uint8_t *)line->sums;
    uint32_t last = rescale_line(c, call, line, some, 16);
    for (; p < last; p++) {
      memcpy(line->y + p * c->out.pixel, some + 16 * p, (size_t)2 * line->channels);
    }
  }
  for (; p < count; p++) {
    dmt_finish(c, call, DMT_S16, line->channel, line->channels, dmt_i8_load(line->sums + 8 * p),
               line->y + p * c->out.pixel);
  }
}

static void depthwise_s16_columns(const dmt_depthwise *d, uint8_t *to, const uint8_t *row,
                                  int32_t x, uint32_t count, uint32_t first, uint32_t n) {
  dmt_depthwise_columns(d, to, row, x, count, first, n, 2);
}

static void depthwise_s16_run(const dmt_call *call) {
  dmt_depthwise d;
  dmt_depthwise_open(call, &d);
  d.skips = (uint32_t)d.conv.y.kernel * (uint32_t)d.conv.x.kernel <= BLOCK;
  d.line = depthwise_s16_line;
  d.columns = depthwise_s16_columns;
  d.form = depthwise_s16_form;
  dmt_depthwise_go(&d);
}

#endif

const dmt_operator dmt_op_depthwise_s16_neon = {
    DMT_OP_CONV,
    DMT_S16,
    1,
    dmt_depthwise_check,
    dmt_depthwise_scratch,
    DMT_NEON_RUN(depthwise_s16_run),
};
