/* Softmax along one axis, float32, in the order of the axis. */
#include "dmt_softmax.h"

static void softmax_one(const softmax_job *job, const uint8_t *x, uint8_t *y) {
  float most = *(const float *)(const void *)x, sum = 0.0f;
  for (uint32_t i = 1; i < job->count; i++) {
    float v = *(const float *)(const void *)(x + i * job->x_step);
    most = v > most ? v : most;
  }
  for (uint32_t i = 0; i < job->count; i++) {
    float e = dmt_exp(*(const float *)(const void *)(x + i * job->x_step) - most);
    *(float *)(void *)(y + i * job->y_step) = e;
    sum += e;
  }
  for (uint32_t i = 0; i < job->count; i++) {
    float *e = (float *)(void *)(y + i * job->y_step);
    *e = *e / sum;
  }
}

static void softmax_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  for (uint32_t i = 0; i < n; i++) {
    softmax_one(context, at[1] + i * step[1], at[0] + i * step[0]);
  }
}

static void softmax_run(const dmt_call *call) { softmax_go(call, softmax_line); }

const dmt_operator DMT_KERNEL(dmt_op_softmax_f32) = {
    DMT_OP_SOFTMAX, DMT_F32, 1, softmax_check, NULL, softmax_run,
};
