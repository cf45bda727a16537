/* A function of one variable from a table. */
#include "dmt_loop.h"

static dmt_status lookup_check(const dmt_call *call) {
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

static void lookup_s8(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const uint8_t *table = context;
  for (uint32_t i = 0; i < n; i++) {
    at[0][i * step[0]] = table[at[1][i * step[1]] ^ 0x80];
  }
}

static void lookup_s16(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_call *call = context;
  const int16_t *table = (const int16_t *)(const void *)(call->data.data + dmt_word(call, 0));
  uint32_t right = 16 - dmt_word(call, 8);
  for (uint32_t i = 0; i < n; i++) {
    int32_t x = *(const int16_t *)(const void *)(at[1] + i * step[1]);
    uint32_t u = (uint32_t)(x + 32768), whole = u >> right;
    int32_t part = (int32_t)(u & ((1u << right) - 1)), t = table[whole];
    t += ((table[whole + 1] - t) * part + (1 << (right - 1))) >> right;
    *(int16_t *)(void *)(at[0] + i * step[0]) = (int16_t)t;
  }
}

static void lookup_run(const dmt_call *call) {
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  if (call->dtype == DMT_S8) {
    dmt_loop_go(&loop, call, lookup_s8, call->data.data + dmt_word(call, 0));
  } else {
    dmt_loop_go(&loop, call, lookup_s16, call);
  }
}

const dmt_operator DMT_KERNEL(dmt_op_lookup_s8) = {
    DMT_OP_LOOKUP, DMT_S8, 1, lookup_check, NULL, lookup_run,
};
const dmt_operator DMT_KERNEL(dmt_op_lookup_s16) = {
    DMT_OP_LOOKUP, DMT_S16, 1, lookup_check, NULL, lookup_run,
};
