/* Leaky ReLU and Clip of float32, sixteen values at a time. */
#include "../generic/dmt_unary.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

static dmt_status unary_simple_check(const dmt_call *call) {
  dmt_status status = unary_check(call);
  int simple = dmt_word(call, 0) == UNARY_LEAKY || dmt_word(call, 0) == UNARY_CLIP;
  return status == DMT_OK && !simple ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define UNARY_EACH for (uint32_t q = 0; q < 4; q++)

static void unary_leaky(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const unary_job *job = context;
  const float32x4_t zero = vdupq_n_f32(0.0f);
  for (uint32_t i = 0; i < n; i += 16) {
    float32x4_t x[4], y[4];
    UNARY_EACH x[q] = vld1q_f32((const float *)(const void *)from[0] + i + 4 * q);
    UNARY_EACH y[q] = vmulq_n_f32(x[q], job->a);
    UNARY_EACH y[q] = vbslq_f32(dmt_greater_f32(x[q], zero), x[q], y[q]);
    UNARY_EACH vst1q_f32((float *)(void *)to + i + 4 * q, y[q]);
  }
}

static void unary_clip(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const unary_job *job = context;
  const float32x4_t low = vdupq_n_f32(job->a), high = vdupq_n_f32(job->b);
  for (uint32_t i = 0; i < n; i += 16) {
    float32x4_t x[4];
    UNARY_EACH x[q] = vld1q_f32((const float *)(const void *)from[0] + i + 4 * q);
    UNARY_EACH x[q] = vbslq_f32(dmt_greater_f32(low, x[q]), low, x[q]);
    UNARY_EACH x[q] = vbslq_f32(dmt_greater_f32(x[q], high), high, x[q]);
    UNARY_EACH vst1q_f32((float *)(void *)to + i + 4 * q, x[q]);
  }
}

static void unary_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  uint32_t function = ((const unary_job *)context)->function;
  dmt_dense_line(context, n, at, step, 1, 4, 4, function == UNARY_LEAKY ? unary_leaky : unary_clip);
}

static void unary_run(const dmt_call *call) {
  const unary_job job = {dmt_word(call, 0), dmt_float(call, 4), dmt_float(call, 8),
                         dmt_float(call, 12)};
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_go(&loop, call, unary_line, &job);
}

#endif

const dmt_operator dmt_op_unary_f32_neon = {
    DMT_OP_UNARY, DMT_F32, 1, unary_simple_check, NULL, DMT_NEON_RUN(unary_run),
};
