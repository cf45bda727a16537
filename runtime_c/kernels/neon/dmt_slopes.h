/* The rescaling of PReLU's two branches, eight channels of an output, where nothing is shifted to
 * the left: what one branch makes of zero is zero, so they can be added. */
#ifndef DMT_SLOPES_H
#define DMT_SLOPES_H

#include "../generic/dmt_lanes.h"
#include "dmt_neon.h"

typedef struct {
  int32x4_t multiplier[2], right[2]; /* the halves; shifts to the left, so negative */
} dmt_branch;

DMT_INLINE dmt_branch dmt_branch_of(const int32_t *multiplier, size_t words) {
  const int32_t *right = multiplier + 2 * words;
  dmt_branch b = {{vld1q_s32(multiplier), vld1q_s32(multiplier + 4)},
                  {vnegq_s32(vld1q_s32(right)), vnegq_s32(vld1q_s32(right + 4))}};
  return b;
}

DMT_INLINE int32x4_t dmt_branch_half(const dmt_branch *b, int32x4_t a, uint32_t half) {
  return vrshlq_s32(vqrdmulhq_s32(a, b->multiplier[half]), b->right[half]);
}

DMT_INLINE int16x8_t dmt_branches(const dmt_branch *above, const dmt_branch *below,
                                  const int32_t *sums) {
  int32x4_t zero = vdupq_n_s32(0), low = vld1q_s32(sums), high = vld1q_s32(sums + 4);
  low = vaddq_s32(dmt_branch_half(above, vmaxq_s32(low, zero), 0),
                  dmt_branch_half(below, vminq_s32(low, zero), 0));
  high = vaddq_s32(dmt_branch_half(above, vmaxq_s32(high, zero), 1),
                   dmt_branch_half(below, vminq_s32(high, zero), 1));
  return vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
}

#endif
