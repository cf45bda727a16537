/* y = (a * x + b) * x + c, with a, b and c for each channel. */
#include "dmt_loop.h"

enum { OP_QUADRATIC = DMT_OP_CUSTOM + 1 };

/* Everything that the run relies on: the model's bytes may be anything. */
static dmt_status quadratic_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0];
  int good = dmt_has(call, 1, 1, DMT_F32, 8) && dmt_same_shape(x, &call->out) && x->rank >= 2 &&
             dmt_word(call, 0) == x->dim[1] &&
             dmt_has_arrays(call, dmt_word(call, 4), 3, x->dim[1]);
  return good ? DMT_OK : DMT_E_OPERATOR;
}

/* The loop gives pointers and steps of its operands: y, x, a, b, c. */
static void quadratic_line(const void *context, uint32_t n, uint8_t *const *at,
                           const size_t *step) {
  (void)context;
  for (uint32_t i = 0; i < n; i++) {
    float operand[5];
    for (uint32_t k = 1; k < 5; k++) {
      operand[k] = *(const float *)(const void *)(at[k] + i * step[k]);
    }
    float x = operand[1];
    *(float *)(void *)(at[0] + i * step[0]) = (operand[2] * x + operand[3]) * x + operand[4];
  }
}

static void quadratic_run(const dmt_call *call) {
  uint32_t channels = dmt_word(call, 0);
  size_t along_channels[DMT_MAX_RANK] = {0, sizeof(float)}; /* 0 along all other axes */
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  for (uint32_t array = 0; array < 3; array++) {
    dmt_loop_array(&loop, dmt_array(call, dmt_word(call, 4), array, channels), along_channels);
  }
  dmt_loop_go(&loop, call, quadratic_line, NULL);
}

static const dmt_operator quadratic_f32 = {
    OP_QUADRATIC, DMT_F32, 1, quadratic_check, NULL, quadratic_run,
};

DMT_OPERATOR_LIBRARY(&quadratic_f32);
