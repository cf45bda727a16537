/* A value that stands in the file. */
#include "dmt_copy.h"
#include "dmt_loop.h"

static uint64_t constant_bytes(const dmt_view *y) {
  uint64_t bytes = dmt_item(y->dtype);
  for (uint32_t i = 0; i < y->rank; i++) {
    bytes *= y->dim[i]; /* fits: the core has proven it for every tensor */
  }
  return bytes;
}

static dmt_status constant_check(const dmt_call *call) {
  int good = dmt_has(call, 0, 0, call->dtype, 4) &&
             dmt_holds(call->data, dmt_word(call, 0), constant_bytes(&call->out));
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void constant_run(const dmt_call *call) {
  uint32_t item = dmt_item(call->dtype);
  size_t dense[DMT_MAX_RANK] = {0}, step = item;
  for (uint32_t i = call->out.rank; i-- > 0; step *= call->out.dim[i]) {
    dense[i] = step;
  }
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_array(&loop, call->data.data + dmt_word(call, 0), dense);
  dmt_loop_go(&loop, call, dmt_copy_line, &item);
}

const dmt_operator dmt_op_constant_f32 = {
    DMT_OP_CONSTANT, DMT_F32, 1, constant_check, NULL, constant_run,
};
const dmt_operator dmt_op_constant_s8 = {
    DMT_OP_CONSTANT, DMT_S8, 1, constant_check, NULL, constant_run,
};
const dmt_operator dmt_op_constant_s16 = {
    DMT_OP_CONSTANT, DMT_S16, 1, constant_check, NULL, constant_run,
};
