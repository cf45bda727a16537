/* Another scale and zero point: what its kernels share. */
#ifndef DMT_RESCALE_H
#define DMT_RESCALE_H

#include "dmt_loop.h"

static inline dmt_status rescale_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  if ((y->dtype != DMT_S8 && y->dtype != DMT_S16) || !dmt_has(call, 1, 1, y->dtype, 20) ||
      !dmt_same_shape(x, y)) {
    return DMT_E_OPERATOR;
  }
  uint32_t count = dmt_word(call, 0), chan = dmt_word(call, 4), slopes = dmt_word(call, 8);
  if ((count != 1 && (x->rank < 2 || count != x->dim[1])) || slopes > 1 ||
      !dmt_has_arrays(call, chan, 3 + 3 * slopes, count) || !dmt_rescales(call, chan, 0, count) ||
      (slopes && !dmt_rescales(call, chan, 3, count)) ||
      !dmt_is_range(dmt_signed(call, 12), dmt_signed(call, 16), y->dtype)) {
    return DMT_E_OPERATOR;
  }
  return DMT_OK;
}

#endif
