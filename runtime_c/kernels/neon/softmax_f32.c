/* Softmax in the portable kernel's order, but for the exponentials: sixteen at a time. */
#include "../generic/dmt_softmax.h"
#include "dmt_math_neon.h"

/* The axis lies in memory element by element, as channels do. */
static dmt_status softmax_dense_check(const dmt_call *call) {
  dmt_status status = softmax_check(call);
  uint32_t axis = status == DMT_OK ? dmt_word(call, 0) : 0;
  int dense = call->in[0].stride[axis] == sizeof(float) && call->out.stride[axis] == sizeof(float);
  return status == DMT_OK && !dense ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

static void softmax_exp(float *y, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    float32x4_t x[DMT_QUADS];
    DMT_QUADS_EACH x[q] = vld1q_f32(y + i + 4 * q);
    dmt_exp_quads(x);
    DMT_QUADS_EACH vst1q_f32(y + i + 4 * q, x[q]);
  }
  for (; i < n; i++) {
    y[i] = dmt_exp(y[i]);
  }
}

static void softmax_below(const float *x, float *y, uint32_t count) {
  float most = x[0];
  for (uint32_t i = 1; i < count; i++) {
    most = x[i] > most ? x[i] : most;
  }
  for (uint32_t i = 0; i < count; i++) {
    y[i] = x[i] - most;
  }
}

static void softmax_share(float *y, uint32_t count) {
  float sum = 0.0f;
  for (uint32_t i = 0; i < count; i++) {
    sum += y[i];
  }
  for (uint32_t i = 0; i < count; i++) {
    y[i] = y[i] / sum;
  }
}

/* Lines one behind the other share their exponentials, a few at a time so that they stay in the
 * cache. */
static void softmax_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  uint32_t count = ((const softmax_job *)context)->count, lines = 1 + 512 / count;
  if (step[0] != count * sizeof(float)) {
    lines = 1;
  }
  for (uint32_t begin = 0; begin < n; begin += lines) {
    uint32_t end = n - begin < lines ? n : begin + lines;
    float *y = (float *)(void *)(at[0] + begin * step[0]);
    for (uint32_t i = begin; i < end; i++) {
      softmax_below((const float *)(const void *)(at[1] + i * step[1]),
                    (float *)(void *)(at[0] + i * step[0]), count);
    }
    softmax_exp(y, (size_t)(end - begin) * count);
    for (uint32_t i = begin; i < end; i++) {
      softmax_share((float *)(void *)(at[0] + i * step[0]), count);
    }
  }
}

static void softmax_run(const dmt_call *call) { softmax_go(call, softmax_line); }

#endif

const dmt_operator dmt_op_softmax_f32_neon = {
    DMT_OP_SOFTMAX, DMT_F32, 1, softmax_dense_check, NULL, DMT_NEON_RUN(softmax_run),
};
