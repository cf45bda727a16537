/* A function of one variable from a table. */
#include "dmt_lookup.h"

static void lookup_s8(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const uint8_t *middle = (const uint8_t *)context + 128;
  uint8_t *y = at[0];
  const int8_t *x = (const int8_t *)at[1];
  uint32_t i = 0;
  if (step[0] == 1 && step[1] == 1) { /* no multiplications */
    for (; i + 8 <= n; i += 8) {
      for (uint32_t l = 0; l < 8; l++) {
        y[i + l] = middle[x[i + l]];
      }
    }
  }
  for (; i < n; i++) {
    y[i * step[0]] = middle[x[i * step[1]]];
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
