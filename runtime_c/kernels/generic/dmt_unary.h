/* Functions of one variable in float32: what their kernels share. */
#ifndef DMT_UNARY_H
#define DMT_UNARY_H

#include "dmt_loop.h"

enum {
  UNARY_LEAKY,
  UNARY_CLIP,
  UNARY_ELU,
  UNARY_SIGMOID,
  UNARY_TANH,
  UNARY_ABS,
  UNARY_POWER,
  UNARY_PRELU,
  UNARY_EXP,
  UNARY_LOG,
  UNARY_BNLL,
  UNARY_THRESHOLD,
  UNARY_SWISH,
  UNARY_MISH,
  UNARY_HARD_SWISH,
  UNARY_HARD_SIGMOID
};

typedef struct {
  uint32_t function;
  float a, b, c;
} unary_job;

static inline dmt_status unary_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0];
  if (!dmt_has(call, 1, 1, DMT_F32, 24) || !dmt_same_shape(x, &call->out)) {
    return DMT_E_OPERATOR;
  }
  uint32_t function = dmt_word(call, 0), count = dmt_word(call, 16);
  if (function > UNARY_HARD_SIGMOID) {
    return DMT_E_UNSUPPORTED;
  }
  if (function == UNARY_PRELU && ((count != 1 && (x->rank < 2 || count != x->dim[1])) ||
                                  !dmt_has_arrays(call, dmt_word(call, 20), 1, count))) {
    return DMT_E_OPERATOR;
  }
  return DMT_OK;
}

#endif
