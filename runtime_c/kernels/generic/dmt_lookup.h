/* A function of one variable from a table: what its kernels share. */
#ifndef DMT_LOOKUP_H
#define DMT_LOOKUP_H

#include "dmt_loop.h"

static inline dmt_status lookup_check(const dmt_call *call) {
  if (!dmt_has(call, 1, 1, call->dtype, 12) || !dmt_same_shape(&call->in[0], &call->out)) {
    return DMT_E_OPERATOR;
  }
  uint32_t size = dmt_word(call, 4), bits = dmt_word(call, 8);
  int s8 = call->dtype == DMT_S8;
  if (bits < (s8 ? 8u : 7u) || bits > (s8 ? 8u : 12u) ||
      size != (s8 ? 256u : 2 * ((1u << bits) + 1)) ||
      !dmt_holds(call->data, dmt_word(call, 0), size)) {
    return DMT_E_OPERATOR;
  }
  return DMT_OK;
}

#endif
