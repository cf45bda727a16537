/* The same elements in another shape or other strides: what its kernels share. */
#ifndef DMT_COPY_AXES_H
#define DMT_COPY_AXES_H

#include "dmt_loop.h"

static inline uint32_t copy_count(const dmt_view *view) {
  uint32_t count = 1;
  for (uint32_t i = 0; i < view->rank; i++) {
    count *= view->dim[i];
  }
  return count;
}

static inline dmt_status copy_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  int good = dmt_has(call, 1, 1, call->dtype, 0) && copy_count(x) == copy_count(y) &&
             x->scale == y->scale && x->zero_point == y->zero_point;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

/* The next outer axis of both; 0 where there is no room for it. */
static inline int copy_axis(dmt_loop *loop, uint32_t dim, size_t y, size_t x) {
  uint32_t last = loop->rank - 1;
  if (loop->rank > 0 && y == loop->stride[last][0] * loop->dim[last] &&
      x == loop->stride[last][1] * loop->dim[last]) {
    loop->dim[last] *= dim;
    return 1;
  }
  if (loop->rank == DMT_MAX_RANK) {
    return 0;
  }
  loop->dim[loop->rank] = dim;
  loop->stride[loop->rank][0] = y;
  loop->stride[loop->rank++][1] = x;
  return 1;
}

/* Axes of which those of both views are made, from the last to the first, so that the output can be
 * written in the order of its memory. 0 where one view's axes cut through the other's. */
static inline int copy_common(const dmt_view *x, const dmt_view *y, dmt_loop *loop) {
  uint32_t i = x->rank, j = y->rank, xs = 1, ys = 1;
  size_t at = 0, to = 0;
  loop->rank = 0;
  for (;;) {
    while (xs == 1 && i > 0) {
      xs = x->dim[--i];
      at = x->stride[i];
    }
    while (ys == 1 && j > 0) {
      ys = y->dim[--j];
      to = y->stride[j];
    }
    if (xs == 1 && ys == 1) {
      break;
    }
    uint32_t dim = xs < ys ? xs : ys;
    if (xs % dim || ys % dim || !copy_axis(loop, dim, to, at)) {
      return 0;
    }
    xs /= dim;
    ys /= dim;
    at *= dim;
    to *= dim;
  }
  return loop->rank > 0 || copy_axis(loop, 1, 0, 0);
}

#endif
