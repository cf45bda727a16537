/* From the accumulators of the integer convolutions to their outputs. */
#ifndef DMT_CONV_INT_H
#define DMT_CONV_INT_H

#include "dmt_conv.h"

/* Rescale, clamp and store n channels from `first` on. */
DMT_INLINE void dmt_finish(const dmt_conv *c, const dmt_call *call, uint32_t dtype, uint32_t first,
                           uint32_t n, dmt_i8 acc, uint8_t *y) {
  size_t words = dmt_up8(c->out.c);
  const int32_t *at = c->channels + first;
  dmt_i8 multiplier = dmt_i8_words(at + words, n), left = dmt_i8_words(at + 2 * words, n);
  dmt_i8 right = dmt_i8_words(at + 3 * words, n);
  if (c->slopes) {
    multiplier = dmt_i8_pick(acc, dmt_i8_words(at + 4 * words, n), multiplier);
    left = dmt_i8_pick(acc, dmt_i8_words(at + 5 * words, n), left);
    right = dmt_i8_pick(acc, dmt_i8_words(at + 6 * words, n), right);
  }
  acc = dmt_i8_rq(acc, multiplier, left, right);
  acc = dmt_i8_place(acc, call->out.zero_point, dmt_signed(call, 56), dmt_signed(call, 60));
  dmt_i8_put(y, dmt_item(dtype), n, dtype, acc);
}

#endif
