/* Sums over the last axes, and the largest values along one. */
#include "dmt_fixed.h"
#include "dmt_loop.h"
#include "dmt_math.h"

enum { REDUCE_SUM, REDUCE_SIZES, REDUCE_SQUARES };

static dmt_status reduce_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  if (!dmt_has(call, 1, 1, call->dtype, 28) || y->rank >= x->rank ||
      dmt_word(call, 0) > REDUCE_SQUARES) {
    return DMT_E_OPERATOR;
  }
  for (uint32_t i = 0; i < y->rank; i++) {
    if (x->dim[i] != y->dim[i]) {
      return DMT_E_OPERATOR;
    }
  }
  int good = call->dtype == DMT_F32 ||
             (dmt_word(call, 12) <= 31 && dmt_word(call, 16) <= 31 &&
              dmt_is_range(dmt_signed(call, 20), dmt_signed(call, 24), call->dtype));
  return good ? DMT_OK : DMT_E_OPERATOR;
}

/* The rows (last axis) of what one element sums, in Caffe's order. */
typedef struct {
  const dmt_view *x;
  uint32_t first, at[DMT_MAX_RANK];
  const uint8_t *row; /* NULL after the last one */
} reduce_rows;

static void reduce_next(reduce_rows *rows) {
  for (uint32_t axis = rows->x->rank - 1; axis-- > rows->first;) {
    rows->row += rows->x->stride[axis];
    if (++rows->at[axis] < rows->x->dim[axis]) {
      return;
    }
    rows->row -= (size_t)rows->x->dim[axis] * rows->x->stride[axis];
    rows->at[axis] = 0;
  }
  rows->row = NULL;
}

static void reduce_f32(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_call *call = context;
  const dmt_view *x = &call->in[0];
  uint32_t kind = dmt_word(call, 0), last = x->rank - 1;
  for (uint32_t i = 0; i < n; i++) {
    float total = 0.0f;
    reduce_rows rows = {x, call->out.rank, {0}, at[1] + i * step[1]};
    for (; rows.row != NULL; reduce_next(&rows)) {
      float sum = 0.0f;
      for (uint32_t k = 0; k < x->dim[last]; k++) {
        float v = dmt_f32(rows.row + (size_t)k * x->stride[last]);
        sum = sum + (kind == REDUCE_SUM       ? v
                     : kind == REDUCE_SQUARES ? v * v
                                              : dmt_from_bits(dmt_to_bits(v) & 0x7FFFFFFFu));
      }
      total = total + sum;
    }
    *(float *)(void *)(at[0] + i * step[0]) = total * dmt_float(call, 4);
  }
}

/* Apart, so that the compiler does not write a loop for each kind and type. */
static __attribute__((noinline)) uint32_t reduce_term(const dmt_call *call, const uint8_t *at) {
  uint32_t kind = dmt_word(call, 0);
  int32_t v = call->dtype == DMT_S8 ? *(const int8_t *)at : (int16_t)dmt_u16(at);
  v -= call->in[0].zero_point;
  uint32_t size = (uint32_t)(v < 0 ? -v : v);
  return kind == REDUCE_SUM ? (uint32_t)v : kind == REDUCE_SQUARES ? size * size : size;
}

static void reduce_int(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_call *call = context;
  const dmt_view *x = &call->in[0];
  uint32_t last = x->rank - 1;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t total = 0;
    reduce_rows rows = {x, call->out.rank, {0}, at[1] + i * step[1]};
    for (; rows.row != NULL; reduce_next(&rows)) {
      const uint8_t *from = rows.row;
      for (uint32_t k = 0; k < x->dim[last]; k++, from += x->stride[last]) {
        total += reduce_term(call, from);
      }
    }
    int32_t y =
        dmt_rq((int32_t)total, dmt_signed(call, 8), dmt_signed(call, 12), dmt_signed(call, 16));
    int32_t zero = call->out.zero_point;
    y = zero + dmt_clamp(y, dmt_signed(call, 20) - zero, dmt_signed(call, 24) - zero);
    if (call->dtype == DMT_S8) {
      *(int8_t *)(at[0] + i * step[0]) = (int8_t)y;
    } else {
      *(int16_t *)(void *)(at[0] + i * step[0]) = (int16_t)y;
    }
  }
}

/* The elements of y with those of the input, whose further axes are the line's matter. */
static __attribute__((noinline)) void reduce_go(const dmt_call *call, const dmt_view *y,
                                                dmt_line line) {
  dmt_loop loop;
  dmt_loop_open(&loop, y);
  dmt_loop_view(&loop, y);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_go(&loop, call, line, call);
}

static void reduce_run(const dmt_call *call) {
  reduce_go(call, &call->out, call->dtype == DMT_F32 ? reduce_f32 : reduce_int);
}

static dmt_status argmax_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  if (!dmt_has(call, 1, 1, DMT_F32, 8) || x->rank != y->rank) {
    return DMT_E_OPERATOR;
  }
  uint32_t axis = dmt_word(call, 0);
  for (uint32_t i = 0; i < x->rank; i++) {
    if (i == axis ? y->dim[i] > x->dim[i] : y->dim[i] != x->dim[i]) {
      return DMT_E_OPERATOR;
    }
  }
  return axis < x->rank && dmt_word(call, 4) <= 1 ? DMT_OK : DMT_E_OPERATOR;
}

/* In each pass the largest value behind that of the pass before; of equal ones the last. */
static void argmax_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_call *call = context;
  const float most = dmt_from_bits(0x7F800000u);
  uint32_t axis = dmt_word(call, 0), size = call->in[0].dim[axis];
  for (uint32_t i = 0; i < n; i++) {
    float before = most;
    uint32_t from = size;
    for (uint32_t k = 0; k < call->out.dim[axis]; k++) {
      float best = -most;
      uint32_t found = 0;
      for (uint32_t j = 0; j < size; j++) {
        float v = dmt_f32(at[1] + i * step[1] + (size_t)j * call->in[0].stride[axis]);
        v = v == v ? v : -most;
        if (v >= best && (v < before || (v == before && j < from))) {
          best = v;
          found = j;
        }
      }
      before = best;
      from = found;
      *(float *)(void *)(at[0] + i * step[0] + (size_t)k * call->out.stride[axis]) =
          dmt_word(call, 4) ? best : (float)found;
    }
  }
}

static void argmax_run(const dmt_call *call) {
  dmt_view y = call->out;
  y.dim[dmt_word(call, 0)] = 1;
  reduce_go(call, &y, argmax_line);
}

const dmt_operator dmt_op_reduce_f32 = {
    DMT_OP_REDUCE, DMT_F32, 1, reduce_check, NULL, reduce_run,
};
const dmt_operator dmt_op_reduce_s8 = {
    DMT_OP_REDUCE, DMT_S8, 1, reduce_check, NULL, reduce_run,
};
const dmt_operator dmt_op_reduce_s16 = {
    DMT_OP_REDUCE, DMT_S16, 1, reduce_check, NULL, reduce_run,
};
const dmt_operator dmt_op_argmax_f32 = {
    DMT_OP_ARGMAX, DMT_F32, 1, argmax_check, NULL, argmax_run,
};
