/* Softmax along one axis, float32, in the order of the axis. */
#include "dmt_loop.h"
#include "dmt_math.h"

typedef struct {
  uint32_t count;
  size_t x_step, y_step;
} softmax_job;

static dmt_status softmax_check(const dmt_call *call) {
  int good = dmt_has(call, 1, 1, DMT_F32, 4) && dmt_same_shape(&call->in[0], &call->out) &&
             dmt_word(call, 0) < call->out.rank;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

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

/* A loop over the other axes, whose elements are lines along this one. */
static void softmax_run(const dmt_call *call) {
  uint32_t axis = dmt_word(call, 0);
  dmt_view x = call->in[0], y = call->out;
  softmax_job job = {y.dim[axis], x.stride[axis], y.stride[axis]};
  x.dim[axis] = y.dim[axis] = 1;
  dmt_loop loop;
  dmt_loop_open(&loop, &y);
  dmt_loop_view(&loop, &y);
  dmt_loop_view(&loop, &x);
  dmt_loop_go(&loop, call, softmax_line, &job);
}

const dmt_operator DMT_KERNEL(dmt_op_softmax_f32) = {
    DMT_OP_SOFTMAX, DMT_F32, 1, softmax_check, NULL, softmax_run,
};
