/* Slices of a tensor, or rows of a table, by their index. */
#include "dmt_copy.h"
#include "dmt_loop.h"

/* Cut to a whole number below size; NaN gives 0. */
static uint32_t gather_whole(float x, uint32_t size) {
  if (!(x > 0.0f)) {
    return 0;
  }
  uint32_t index = x < 2147483648.0f ? (uint32_t)x : size;
  return index < size ? index : size - 1;
}

static dmt_status gather_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out, *indices = &call->in[1];
  if (!dmt_has(call, 1, 2, call->dtype, 8) || x->rank != y->rank || x->scale != y->scale ||
      x->zero_point != y->zero_point || dmt_word(call, 0) >= x->rank) {
    return DMT_E_OPERATOR;
  }
  uint32_t axis = dmt_word(call, 0), array = dmt_word(call, 4), count = y->dim[axis];
  for (uint32_t i = 0; i < x->rank; i++) {
    if (i != axis && x->dim[i] != y->dim[i]) {
      return DMT_E_OPERATOR;
    }
  }
  if (call->inputs == 2) {
    int good = call->dtype == DMT_F32 && array == DMT_NONE && indices->rank == 1 &&
               indices->dim[0] == count;
    return good ? DMT_OK : DMT_E_OPERATOR;
  }
  if (!dmt_has_arrays(call, array, 1, count)) {
    return DMT_E_OPERATOR;
  }
  const int32_t *index = dmt_array(call, array, 0, count);
  for (uint32_t i = 0; i < count; i++) {
    if ((uint32_t)index[i] >= x->dim[axis]) {
      return DMT_E_OPERATOR;
    }
  }
  return DMT_OK;
}

static uint8_t *gather_at(const dmt_view *view, uint32_t axis, uint32_t index) {
  return (uint8_t *)view->data + (size_t)index * view->stride[axis];
}

static __attribute__((noinline)) void gather_go(const dmt_call *call, const dmt_view *shape,
                                                const dmt_view *to, const dmt_view *from,
                                                dmt_line line, const void *context) {
  dmt_loop loop;
  dmt_loop_open(&loop, shape);
  dmt_loop_view(&loop, to);
  dmt_loop_view(&loop, from);
  dmt_loop_go(&loop, call, line, context);
}

static void gather_run(const dmt_call *call) {
  uint32_t axis = dmt_word(call, 0), count = call->out.dim[axis], item = dmt_item(call->dtype);
  dmt_view from = call->in[0], to = call->out;
  to.dim[axis] = 1;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t index;
    if (call->inputs == 2) {
      index = gather_whole(dmt_f32(gather_at(&call->in[1], 0, i)), from.dim[axis]);
    } else {
      index = (uint32_t)dmt_array(call, dmt_word(call, 4), 0, count)[i];
    }
    from.data = gather_at(&call->in[0], axis, index);
    to.data = gather_at(&call->out, axis, i);
    gather_go(call, &to, &to, &from, dmt_copy_line, &item);
  }
}

static dmt_status embed_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  if (!dmt_has(call, 1, 1, DMT_F32, 12) || y->rank != x->rank + 1) {
    return DMT_E_OPERATOR;
  }
  for (uint32_t i = 0; i < x->rank; i++) {
    if (x->dim[i] != y->dim[i]) {
      return DMT_E_OPERATOR;
    }
  }
  uint32_t rows = dmt_word(call, 0), channels = y->dim[x->rank], bias = dmt_word(call, 8);
  uint64_t bytes = dmt_times(dmt_times(rows, channels), sizeof(float));
  int good = rows > 0 && dmt_holds(call->data, dmt_word(call, 4), bytes) &&
             (bias == DMT_NONE || dmt_has_arrays(call, bias, 1, channels));
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void embed_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_call *call = context;
  uint32_t rows = dmt_word(call, 0), last = call->out.rank - 1, channels = call->out.dim[last];
  const float *table = (const float *)(const void *)(call->data.data + dmt_word(call, 4));
  const float *bias = NULL;
  if (dmt_word(call, 8) != DMT_NONE) {
    bias = (const float *)(const void *)(call->chan.data + dmt_word(call, 8));
  }
  for (uint32_t i = 0; i < n; i++) {
    const float *row = table;
    row += (size_t)gather_whole(dmt_f32(at[1] + i * step[1]), rows) * channels;
    uint8_t *y = at[0] + i * step[0];
    for (uint32_t c = 0; c < channels; c++, y += call->out.stride[last]) {
      *(float *)(void *)y = bias != NULL ? row[c] + bias[c] : row[c];
    }
  }
}

static void embed_run(const dmt_call *call) {
  /* the output's first axes are the input's */
  gather_go(call, &call->in[0], &call->out, &call->in[0], embed_line, call);
}

const dmt_operator dmt_op_gather_f32 = {
    DMT_OP_GATHER, DMT_F32, 1, gather_check, NULL, gather_run,
};
const dmt_operator dmt_op_gather_s8 = {
    DMT_OP_GATHER, DMT_S8, 1, gather_check, NULL, gather_run,
};
const dmt_operator dmt_op_gather_s16 = {
    DMT_OP_GATHER, DMT_S16, 1, gather_check, NULL, gather_run,
};
const dmt_operator dmt_op_embed_f32 = {
    DMT_OP_EMBED, DMT_F32, 1, embed_check, NULL, embed_run,
};
