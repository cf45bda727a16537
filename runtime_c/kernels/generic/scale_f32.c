/* x * scale + bias in float32, both spanning some axes; one of them may be a tensor. */
#include "dmt_loop.h"

enum { SCALE_NONE, SCALE_SCALE, SCALE_BIAS };

static dmt_status scale_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *second = &call->in[1];
  if (!dmt_has(call, 1, 2, DMT_F32, 20) || !dmt_same_shape(x, &call->out)) {
    return DMT_E_OPERATOR;
  }
  uint32_t axis = dmt_word(call, 0), span = dmt_word(call, 4), what = dmt_word(call, 16);
  if (axis > x->rank || span > x->rank - axis || what > SCALE_BIAS ||
      (what != SCALE_NONE) != (call->inputs == 2)) {
    return DMT_E_OPERATOR;
  }
  uint32_t words = 1;
  for (uint32_t i = 0; i < span; i++) {
    words *= x->dim[axis + i];
  }
  for (uint32_t i = 0; i < 2; i++) { /* the arrays; what is a tensor has none */
    uint32_t array = dmt_word(call, 8 + 4 * i);
    if (array != DMT_NONE && (what == i + 1 || !dmt_has_arrays(call, array, 1, words))) {
      return DMT_E_OPERATOR;
    }
  }
  if (what != SCALE_NONE) {
    int good = second->rank == (span ? span : 1) && (span || second->dim[0] == 1);
    for (uint32_t i = 0; good && i < span; i++) {
      good = second->dim[i] == x->dim[axis + i];
    }
    return good ? DMT_OK : DMT_E_OPERATOR;
  }
  return DMT_OK;
}

static void scale_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step,
                       uint32_t scale, uint32_t bias) {
  (void)context;
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    if (scale) {
      x = x * *(const float *)(const void *)(at[scale] + i * step[scale]);
    }
    if (bias) {
      x = x + *(const float *)(const void *)(at[bias] + i * step[bias]);
    }
    *(float *)(void *)(at[0] + i * step[0]) = x;
  }
}

static void scale_copy(const void *c, uint32_t n, uint8_t *const *at, const size_t *step) {
  scale_line(c, n, at, step, 0, 0);
}

static void scale_scale(const void *c, uint32_t n, uint8_t *const *at, const size_t *step) {
  scale_line(c, n, at, step, 2, 0);
}

static void scale_bias(const void *c, uint32_t n, uint8_t *const *at, const size_t *step) {
  scale_line(c, n, at, step, 0, 2);
}

static void scale_both(const void *c, uint32_t n, uint8_t *const *at, const size_t *step) {
  scale_line(c, n, at, step, 2, 3);
}

/* Adds the scale (0) or bias (1) to the loop; 0 where there is none. */
static uint32_t scale_operand(const dmt_call *call, dmt_loop *loop, uint32_t which) {
  uint32_t axis = dmt_word(call, 0), span = dmt_word(call, 4), what = dmt_word(call, 16);
  uint32_t array = dmt_word(call, 8 + 4 * which);
  size_t along[DMT_MAX_RANK] = {0}, step = sizeof(float);
  if (what == which + 1) {
    for (uint32_t i = 0; i < span; i++) {
      along[axis + i] = call->in[1].stride[i];
    }
    dmt_loop_array(loop, call->in[1].data, along);
    return 1;
  }
  if (array == DMT_NONE) {
    return 0;
  }
  for (uint32_t i = span; i-- > 0;) {
    along[axis + i] = step;
    step *= call->out.dim[axis + i];
  }
  dmt_loop_array(loop, call->chan.data + array, along);
  return 1;
}

static void scale_run(const dmt_call *call) {
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  uint32_t scale = scale_operand(call, &loop, 0), bias = scale_operand(call, &loop, 1);
  dmt_line line = scale && bias ? scale_both : scale ? scale_scale : bias ? scale_bias : scale_copy;
  dmt_loop_go(&loop, call, line, NULL);
}

const dmt_operator DMT_KERNEL(dmt_op_scale_f32) = {
    DMT_OP_SCALE, DMT_F32, 1, scale_check, NULL, scale_run,
};
