/* Sum, product and maximum of tensors of one shape. */
#include "dmt_eltwise.h"
#include "dmt_lanes.h"

enum { ELTWISE_RUN = 64 };

/* n <= ELTWISE_RUN elements one behind the other: loops over these are loops over vectors. */
static const float *eltwise_dense(const uint8_t *x, size_t step, uint32_t n, float *room) {
  if (step == sizeof(float)) {
    return (const float *)(const void *)x;
  }
  for (uint32_t i = 0; i < n; i++) {
    room[i] = *(const float *)(const void *)(x + i * step);
  }
  return room;
}

static float eltwise_one(uint32_t opcode, float a, float b) {
  return opcode == DMT_OP_SUM ? a + b : opcode == DMT_OP_PROD ? a * b : b > a ? b : a;
}

static void eltwise_f32(const void *context, uint32_t n, uint8_t *const *at, const size_t *step,
                        uint32_t opcode) {
  const dmt_call *call = context;
  float low = dmt_float(call, 0), high = dmt_float(call, 4), y[ELTWISE_RUN], room[ELTWISE_RUN];
  for (uint32_t begin = 0; begin < n; begin += ELTWISE_RUN) {
    uint32_t count = n - begin < ELTWISE_RUN ? n - begin : ELTWISE_RUN;
    const float *x = eltwise_dense(at[1] + begin * step[1], step[1], count, y);
    float c = opcode == DMT_OP_SUM ? dmt_float(call, eltwise_record(0)) : 1.0f;
    for (uint32_t i = 0; i < count; i++) {
      y[i] = opcode == DMT_OP_SUM ? c * x[i] : x[i];
    }
    for (uint32_t k = 1; k < call->inputs; k++) {
      x = eltwise_dense(at[k + 1] + begin * step[k + 1], step[k + 1], count, room);
      c = opcode == DMT_OP_SUM ? dmt_float(call, eltwise_record(k)) : 1.0f;
      for (uint32_t i = 0; i < count; i++) {
        y[i] = eltwise_one(opcode, y[i], opcode == DMT_OP_SUM ? c * x[i] : x[i]);
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      float v = low > y[i] ? low : y[i];
      y[i] = high < v ? high : v;
    }
    if (step[0] == sizeof(float)) {
      memcpy(at[0] + begin * sizeof(float), y, count * sizeof(float));
      continue;
    }
    for (uint32_t i = 0; i < count; i++) {
      *(float *)(void *)(at[0] + (begin + i) * step[0]) = y[i];
    }
  }
}

static dmt_i8 eltwise_rq(const dmt_call *call, uint32_t input, dmt_i8 a) {
  uint32_t record = eltwise_record(input);
  return dmt_i8_rq(a, dmt_i8_set(dmt_signed(call, record)),
                   dmt_i8_set(dmt_signed(call, record + 4)),
                   dmt_i8_set(dmt_signed(call, record + 8)));
}

static void eltwise_int(const void *context, uint32_t n, uint8_t *const *at, const size_t *step,
                        uint32_t opcode) {
  const dmt_call *call = context;
  const dmt_i8 left = dmt_i8_set(dmt_signed(call, 8)), right = dmt_i8_set(dmt_signed(call, 12));
  for (uint32_t i = 0; i < n; i += 8) {
    uint32_t some = n - i < 8 ? n - i : 8;
    dmt_i8 sum = dmt_i8_set(0);
    for (uint32_t k = 0; k < call->inputs; k++) {
      dmt_i8 x = dmt_i8_take(at[k + 1] + i * step[k + 1], step[k + 1], some, call->dtype);
      x = dmt_i8_add(x, dmt_i8_set(-call->in[k].zero_point));
      if (opcode == DMT_OP_SUM) {
        dmt_i8 multiplier = dmt_i8_set(dmt_signed(call, eltwise_record(k)));
        sum = dmt_i8_add(sum, dmt_i8_srdhm(dmt_i8_shl(x, left), multiplier));
      } else if (opcode == DMT_OP_PROD) {
        sum = k == 0 ? x : dmt_i8_mul(sum, x);
      } else {
        x = eltwise_rq(call, k, x);
        sum = k == 0 ? x : dmt_i8_max(sum, x);
      }
    }
    if (opcode == DMT_OP_SUM) {
      sum = dmt_i8_rshr(sum, right);
    } else if (opcode == DMT_OP_PROD) {
      sum = eltwise_rq(call, 0, sum);
    }
    sum = dmt_i8_place(sum, call->out.zero_point, dmt_signed(call, 0), dmt_signed(call, 4));
    dmt_i8_put(at[0] + i * step[0], step[0], some, call->dtype, sum);
  }
}

#define ELTWISE(name, type, opcode)                                                                \
  static void eltwise_##name##_##type(const void *context, uint32_t n, uint8_t *const *at,         \
                                      const size_t *step) {                                        \
    eltwise_##type(context, n, at, step, opcode);                                                  \
  }                                                                                                \
  static void eltwise_##name##_##type##_run(const dmt_call *call) {                                \
    eltwise_go(call, eltwise_##name##_##type, call);                                               \
  }

ELTWISE(sum, f32, DMT_OP_SUM)
ELTWISE(prod, f32, DMT_OP_PROD)
ELTWISE(max, f32, DMT_OP_MAX)
ELTWISE(sum, int, DMT_OP_SUM)
ELTWISE(prod, int, DMT_OP_PROD)
ELTWISE(max, int, DMT_OP_MAX)

const dmt_operator DMT_KERNEL(dmt_op_sum_f32) = {
    DMT_OP_SUM, DMT_F32, 1, eltwise_check, NULL, eltwise_sum_f32_run,
};
const dmt_operator DMT_KERNEL(dmt_op_sum_s8) = {
    DMT_OP_SUM, DMT_S8, 1, eltwise_check, NULL, eltwise_sum_int_run,
};
const dmt_operator DMT_KERNEL(dmt_op_sum_s16) = {
    DMT_OP_SUM, DMT_S16, 1, eltwise_check, NULL, eltwise_sum_int_run,
};
const dmt_operator DMT_KERNEL(dmt_op_prod_f32) = {
    DMT_OP_PROD, DMT_F32, 1, eltwise_prod_check, NULL, eltwise_prod_f32_run,
};
const dmt_operator DMT_KERNEL(dmt_op_prod_s8) = {
    DMT_OP_PROD, DMT_S8, 1, eltwise_prod_check, NULL, eltwise_prod_int_run,
};
const dmt_operator DMT_KERNEL(dmt_op_prod_s16) = {
    DMT_OP_PROD, DMT_S16, 1, eltwise_prod_check, NULL, eltwise_prod_int_run,
};
const dmt_operator DMT_KERNEL(dmt_op_max_f32) = {
    DMT_OP_MAX, DMT_F32, 1, eltwise_check, NULL, eltwise_max_f32_run,
};
const dmt_operator DMT_KERNEL(dmt_op_max_s8) = {
    DMT_OP_MAX, DMT_S8, 1, eltwise_check, NULL, eltwise_max_int_run,
};
const dmt_operator DMT_KERNEL(dmt_op_max_s16) = {
    DMT_OP_MAX, DMT_S16, 1, eltwise_check, NULL, eltwise_max_int_run,
};
