/* Between float32 and stored integers. */
#include "dmt_loop.h"

static dmt_status quantize_check(const dmt_call *call) {
  uint32_t to = call->out.dtype;
  int good = (to == DMT_S8 || to == DMT_S16) && dmt_has(call, 1, 1, to, 0) &&
             dmt_same_shape(&call->in[0], &call->out);
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static dmt_status dequantize_check(const dmt_call *call) {
  int good = dmt_has(call, 1, 1, DMT_F32, 0) && dmt_same_shape(&call->in[0], &call->out);
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void quantize_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const dmt_view *y = context;
  int32_t low = dmt_lowest(y->dtype), high = dmt_highest(y->dtype);
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    int32_t q = dmt_quantize(x, y->inv_scale, y->zero_point, low, high);
    void *to = at[0] + i * step[0];
    if (y->dtype == DMT_S8) {
      *(int8_t *)to = (int8_t)q;
    } else {
      *(int16_t *)to = (int16_t)q;
    }
  }
}

static void dequantize_line(const void *context, uint32_t n, uint8_t *const *at,
                            const size_t *step) {
  const dmt_view *x = context;
  for (uint32_t i = 0; i < n; i++) {
    const void *from = at[1] + i * step[1];
    int32_t q = x->dtype == DMT_S8 ? *(const int8_t *)from : *(const int16_t *)from;
    *(float *)(void *)(at[0] + i * step[0]) = dmt_dequantize(q, x->scale, x->zero_point);
  }
}

static void quantize_go(const dmt_call *call, dmt_line line, const dmt_view *integers) {
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_go(&loop, call, line, integers);
}

static void quantize_run(const dmt_call *call) { quantize_go(call, quantize_line, &call->out); }

static void dequantize_run(const dmt_call *call) {
  quantize_go(call, dequantize_line, &call->in[0]);
}

const dmt_operator DMT_KERNEL(dmt_op_quantize_f32) = {
    DMT_OP_QUANTIZE, DMT_F32, 1, quantize_check, NULL, quantize_run,
};
const dmt_operator DMT_KERNEL(dmt_op_dequantize_s8) = {
    DMT_OP_DEQUANTIZE, DMT_S8, 1, dequantize_check, NULL, dequantize_run,
};
const dmt_operator DMT_KERNEL(dmt_op_dequantize_s16) = {
    DMT_OP_DEQUANTIZE, DMT_S16, 1, dequantize_check, NULL, dequantize_run,
};
