/* Leaky ReLU, Clip, Sigmoid and Swish of float32, sixteen values at a time. */
#include "../generic/dmt_unary.h"
#include "dmt_dense.h"
#include "dmt_math_neon.h"

static dmt_status unary_simple_check(const dmt_call *call) {
  dmt_status status = unary_check(call);
  uint32_t function = status == DMT_OK ? dmt_word(call, 0) : UNARY_LEAKY;
  int simple = function == UNARY_LEAKY || function == UNARY_CLIP || function == UNARY_SIGMOID ||
               function == UNARY_SWISH;
  return simple ? status : DMT_E_UNSUPPORTED;
}

#ifdef DMT_NEON

static void unary_leaky(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const unary_job *job = context;
  const float32x4_t zero = vdupq_n_f32(0.0f);
  for (uint32_t i = 0; i < n; i += 16) {
    float32x4_t x[4], y[4];
    DMT_QUADS_EACH x[q] = vld1q_f32((const float *)(const void *)from[0] + i + 4 * q);
    DMT_QUADS_EACH y[q] = vmulq_n_f32(x[q], job->a);
    DMT_QUADS_EACH y[q] = vbslq_f32(dmt_greater_f32(x[q], zero), x[q], y[q]);
    DMT_QUADS_EACH vst1q_f32((float *)(void *)to + i + 4 * q, y[q]);
  }
}

static void unary_clip(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const unary_job *job = context;
  const float32x4_t low = vdupq_n_f32(job->a), high = vdupq_n_f32(job->b);
  for (uint32_t i = 0; i < n; i += 16) {
    float32x4_t x[4];
    DMT_QUADS_EACH x[q] = vld1q_f32((const float *)(const void *)from[0] + i + 4 * q);
    DMT_QUADS_EACH x[q] = vbslq_f32(dmt_greater_f32(low, x[q]), low, x[q]);
    DMT_QUADS_EACH x[q] = vbslq_f32(dmt_greater_f32(x[q], high), high, x[q]);
    DMT_QUADS_EACH vst1q_f32((float *)(void *)to + i + 4 * q, x[q]);
  }
}

/* Divided one by one, correctly rounded, as the portable kernel does. */
DMT_QUADS_INLINE void unary_logistic(const unary_job *job, uint32_t n, uint8_t *to,
                                     uint8_t *const *from, int swish) {
  const float factor = swish ? -job->a : -1.0f;
  for (uint32_t i = 0; i < n; i += 16) {
    const float *x = (const float *)(const void *)from[0] + i;
    float *y = (float *)(void *)to + i, below[16];
    float32x4_t e[DMT_QUADS];
    DMT_QUADS_EACH e[q] = vmulq_n_f32(vld1q_f32(x + 4 * q), factor);
    dmt_exp_quads(e);
    DMT_QUADS_EACH vst1q_f32(below + 4 * q, vaddq_f32(vdupq_n_f32(1.0f), e[q]));
    for (uint32_t l = 0; l < 16; l++) {
      float part = 1.0f / below[l];
      y[l] = swish ? x[l] * part : part;
    }
  }
}

static void unary_sigmoid(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  unary_logistic(context, n, to, from, 0);
}

static void unary_swish(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  unary_logistic(context, n, to, from, 1);
}

static void unary_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  uint32_t function = ((const unary_job *)context)->function;
  dmt_dense run = function == UNARY_LEAKY     ? unary_leaky
                  : function == UNARY_CLIP    ? unary_clip
                  : function == UNARY_SIGMOID ? unary_sigmoid
                                              : unary_swish;
  dmt_dense_line(context, n, at, step, 1, 4, 4, run);
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
