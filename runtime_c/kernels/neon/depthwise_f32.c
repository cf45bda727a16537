/* Depthwise convolution, float32, any kernel: the sums of a line of outputs, then their bounds. */
#include "dmt_neon.h"
#include "dmt_plan_depthwise.h"

#ifdef DMT_NEON

#include "dmt_depthwise.h"

/* Four outputs: products and sums apart, tap after tap, as the portable kernel does it. */
static inline void sums_any(int32_t *sums, const uint8_t *const *taps, uint32_t count, size_t at,
                            const uint8_t *weights, const int32_t *bias) {
  uint32_t x;
  __asm__ volatile("vld1.32 {d0-d3}, [%[bias]]\n\t"
                   "vld1.32 {d4-d7}, [%[bias]]\n\t"
                   "vld1.32 {d8-d11}, [%[bias]]\n\t"
                   "vld1.32 {d12-d15}, [%[bias]]\n\t"
                   "1:\n\t"
                   "ldr %[x], [%[taps]], #4\n\t"
                   "subs %[count], %[count], #1\n\t"
                   "vld1.32 {d16-d19}, [%[weights]]!\n\t"
                   "add %[x], %[x], %[at]\n\t"
                   "vld1.32 {d20-d23}, [%[x]]!\n\t"
                   "vld1.32 {d24-d27}, [%[x]]!\n\t"
                   "vmla.f32 q0, q10, q8\n\t"
                   "vmla.f32 q1, q11, q9\n\t"
                   "vld1.32 {d20-d23}, [%[x]]!\n\t"
                   "vmla.f32 q2, q12, q8\n\t"
                   "vmla.f32 q3, q13, q9\n\t"
                   "vld1.32 {d24-d27}, [%[x]]\n\t"
                   "vmla.f32 q4, q10, q8\n\t"
                   "vmla.f32 q5, q11, q9\n\t"
                   "vmla.f32 q6, q12, q8\n\t"
                   "vmla.f32 q7, q13, q9\n\t"
                   "bne 1b\n\t"
                   "vst1.32 {d0-d3}, [%[sums]]!\n\t"
                   "vst1.32 {d4-d7}, [%[sums]]!\n\t"
                   "vst1.32 {d8-d11}, [%[sums]]!\n\t"
                   "vst1.32 {d12-d15}, [%[sums]]!\n\t"
                   : [sums] "+r"(sums), [taps] "+r"(taps), [count] "+r"(count),
                     [weights] "+r"(weights), [x] "=&r"(x)
                   : [at] "r"(at), [bias] "r"(bias)
                   : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11",
                     "q12", "q13", "cc", "memory");
}

/* Eight channels of each output. */
static void bounds(const float *sums, uint8_t *y, size_t step, uint32_t pixels, float32x4_t least,
                   float32x4_t most) {
  for (; pixels > 0; pixels--, sums += 8, y += step) {
    float *to = (float *)(void *)y;
    vst1q_f32(to, vminq_f32(vmaxq_f32(vld1q_f32(sums), least), most));
    vst1q_f32(to + 4, vminq_f32(vmaxq_f32(vld1q_f32(sums + 4), least), most));
  }
}

/* x > 0 ? x : x * slope */
static void leak(float *sums, uint32_t pixels, const float *slopes) {
  float32x4_t low = vld1q_f32(slopes), high = vld1q_f32(slopes + 4), zero = vdupq_n_f32(0.0f);
  for (; pixels > 0; pixels--, sums += 8) {
    float32x4_t a = vld1q_f32(sums), b = vld1q_f32(sums + 4);
    vst1q_f32(sums, vbslq_f32(dmt_greater_f32(a, zero), a, vmulq_f32(a, low)));
    vst1q_f32(sums + 4, vbslq_f32(dmt_greater_f32(b, zero), b, vmulq_f32(b, high)));
  }
}

/* The sums of a row's outputs. */
static void sum_row(const dmt_depthwise_line *line, const dmt_depthwise_row *row, int32_t *sums,
                    const int32_t *bias) {
  for (uint32_t p = 0; row->count == 0 && p < line->pixels; p++) {
    memcpy(sums + 8 * p, bias, 8 * sizeof *bias);
  }
  for (uint32_t p = 0; row->count > 0 && p < line->pixels; p += DMT_DEPTHWISE_TILE, sums += 32) {
    sums_any(sums, row->taps, row->count, line->at + 32 * p, line->weights + 32 * row->first, bias);
  }
}

static void depthwise_f32_line(const dmt_depthwise *d, const dmt_depthwise_line *line) {
  const dmt_conv *c = &d->conv;
  const int32_t *bias = c->channels + line->channel;
  float *sums = (float *)(void *)line->sums;
  uint32_t count = line->rows * line->pixels;
  for (uint32_t r = 0; r < line->rows; r++) { /* what a row has too many, the next overwrites */
    sum_row(line, line->row + r, line->sums + (size_t)8 * r * line->pixels, bias);
  }
  if (c->slopes) {
    leak(sums, count, (const float *)(const void *)(bias + dmt_up8(c->out.c)));
  }
  float least = dmt_float(d->call, 56), most = dmt_float(d->call, 60);
  if (line->channels == 8) {
    bounds(sums, line->y, c->out.pixel, count, vdupq_n_f32(least), vdupq_n_f32(most));
    return;
  }
  for (uint32_t p = 0; p < count; p++) {
    dmt_f8 y = dmt_f8_clamp(dmt_f8_load(sums + 8 * p), least, most);
    dmt_f8_put((float *)(void *)(line->y + p * c->out.pixel), line->channels, y);
  }
}

static void depthwise_f32_columns(const dmt_depthwise *d, uint8_t *to, const uint8_t *row,
                                  int32_t x, uint32_t count, uint32_t first, uint32_t n) {
  dmt_depthwise_columns(d, to, row, x, count, first, n, 4);
}

static void depthwise_f32_run(const dmt_call *call) {
  dmt_depthwise d;
  dmt_depthwise_open(call, &d);
  d.skips = 1;
  d.line = depthwise_f32_line;
  d.columns = depthwise_f32_columns;
  d.form = NULL;
  dmt_depthwise_go(&d);
}

#endif

const dmt_operator dmt_op_depthwise_f32_neon = {
    DMT_OP_CONV,
    DMT_F32,
    1,
    dmt_depthwise_check,
    dmt_depthwise_scratch,
    DMT_NEON_RUN(depthwise_f32_run),
};
