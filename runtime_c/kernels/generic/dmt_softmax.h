/* Softmax along one axis: what its kernels share. */
#ifndef DMT_SOFTMAX_H
#define DMT_SOFTMAX_H

#include "dmt_loop.h"
#include "dmt_math.h"

typedef struct {
  uint32_t count;
  size_t x_step, y_step;
} softmax_job;

static inline dmt_status softmax_check(const dmt_call *call) {
  int good = dmt_has(call, 1, 1, DMT_F32, 4) && dmt_same_shape(&call->in[0], &call->out) &&
             dmt_word(call, 0) < call->out.rank;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

/* A loop over the other axes, whose elements are lines along this one. */
static inline void softmax_go(const dmt_call *call, dmt_line run) {
  uint32_t axis = dmt_word(call, 0);
  dmt_view x = call->in[0], y = call->out;
  softmax_job job = {y.dim[axis], x.stride[axis], y.stride[axis]};
  x.dim[axis] = y.dim[axis] = 1;
  dmt_loop loop;
  dmt_loop_open(&loop, &y);
  dmt_loop_view(&loop, &y);
  dmt_loop_view(&loop, &x);
  dmt_loop_go(&loop, call, run, &job);
}

#endif
