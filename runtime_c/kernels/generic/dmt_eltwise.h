/* Sums, products and maxima of tensors: what their kernels share. */
#ifndef DMT_ELTWISE_H
#define DMT_ELTWISE_H

#include "dmt_loop.h"

enum { ELTWISE_HEADER = 16, ELTWISE_RECORD = 12 };

static inline uint32_t eltwise_record(uint32_t input) {
  return ELTWISE_HEADER + ELTWISE_RECORD * input;
}

static inline dmt_status eltwise_check(const dmt_call *call) {
  if (call->inputs > DMT_MAX_INPUTS ||
      !dmt_has(call, 2, DMT_MAX_INPUTS, call->dtype, eltwise_record(call->inputs))) {
    return DMT_E_OPERATOR;
  }
  uint32_t shifts = 0;
  for (uint32_t i = 0; i < call->inputs; i++) {
    if (!dmt_same_shape(&call->in[i], &call->out)) {
      return DMT_E_OPERATOR;
    }
    shifts |= dmt_word(call, eltwise_record(i) + 4) | dmt_word(call, eltwise_record(i) + 8);
  }
  shifts |= dmt_word(call, 8) | dmt_word(call, 12);
  int good = call->dtype == DMT_F32 ||
             (shifts <= 31 && dmt_is_range(dmt_signed(call, 0), dmt_signed(call, 4), call->dtype));
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static inline dmt_status eltwise_prod_check(const dmt_call *call) {
  return call->dtype != DMT_F32 && call->inputs != 2 ? DMT_E_OPERATOR : eltwise_check(call);
}

static inline void eltwise_go(const dmt_call *call, dmt_line run, const void *context) {
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  for (uint32_t i = 0; i < call->inputs; i++) {
    dmt_loop_view(&loop, &call->in[i]);
  }
  dmt_loop_go(&loop, call, run, context);
}

#endif
