/* The same elements in the same order, into another shape or other strides. */
#include "dmt_copy.h"
#include "dmt_copy_axes.h"

/* Where an element stands: axes of more than one element, merged where they continue each other. */
typedef struct {
  uint32_t rank, dim[DMT_MAX_RANK], at[DMT_MAX_RANK];
  size_t stride[DMT_MAX_RANK];
  uint8_t *data;
} copy_cursor;

static void copy_open(copy_cursor *cursor, const dmt_view *view) {
  cursor->rank = 0;
  cursor->data = view->data;
  for (uint32_t i = 0; i < view->rank; i++) {
    uint32_t last = cursor->rank - 1;
    if (view->dim[i] == 1) {
      continue;
    }
    if (cursor->rank > 0 && cursor->stride[last] == (size_t)view->dim[i] * view->stride[i]) {
      cursor->dim[last] *= view->dim[i];
      cursor->stride[last] = view->stride[i];
    } else {
      cursor->dim[cursor->rank] = view->dim[i];
      cursor->stride[cursor->rank] = view->stride[i];
      cursor->at[cursor->rank++] = 0;
    }
  }
  if (cursor->rank == 0) {
    cursor->dim[0] = 1;
    cursor->stride[0] = 0;
    cursor->at[0] = 0;
    cursor->rank = 1;
  }
}

/* n elements further along the last axis, of which n are left at least. */
static void copy_advance(copy_cursor *cursor, uint32_t n) {
  uint32_t axis = cursor->rank - 1;
  cursor->at[axis] += n;
  cursor->data += n * cursor->stride[axis];
  while (axis > 0 && cursor->at[axis] == cursor->dim[axis]) {
    cursor->data -= cursor->dim[axis] * cursor->stride[axis];
    cursor->at[axis--] = 0;
    cursor->at[axis]++;
    cursor->data += cursor->stride[axis];
  }
}

static void copy_run(const dmt_call *call) {
  uint32_t item = dmt_item(call->dtype);
  dmt_loop loop;
  if (copy_common(&call->in[0], &call->out, &loop)) {
    loop.operands = 2;
    loop.base[0] = call->out.data;
    loop.base[1] = call->in[0].data;
    dmt_loop_go(&loop, call, dmt_copy_line, &item);
    return;
  }
  copy_cursor x, y;
  copy_open(&x, &call->in[0]);
  copy_open(&y, &call->out);
  for (uint32_t left = copy_count(&call->out); left > 0;) {
    uint32_t xs = x.dim[x.rank - 1] - x.at[x.rank - 1], ys = y.dim[y.rank - 1] - y.at[y.rank - 1];
    uint32_t n = xs < ys ? xs : ys;
    dmt_copy_elements(y.data, y.stride[y.rank - 1], x.data, x.stride[x.rank - 1], n, item);
    copy_advance(&x, n);
    copy_advance(&y, n);
    left -= n;
  }
}

const dmt_operator DMT_KERNEL(dmt_op_copy_f32) = {
    DMT_OP_COPY, DMT_F32, 1, copy_check, NULL, copy_run,
};
const dmt_operator DMT_KERNEL(dmt_op_copy_s8) = {
    DMT_OP_COPY, DMT_S8, 1, copy_check, NULL, copy_run,
};
const dmt_operator DMT_KERNEL(dmt_op_copy_s16) = {
    DMT_OP_COPY, DMT_S16, 1, copy_check, NULL, copy_run,
};
