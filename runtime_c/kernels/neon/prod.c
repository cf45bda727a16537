/* Products of two integer tensors, sixteen values at a time. */
#include "../generic/dmt_eltwise.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

typedef struct {
  int32_t multiplier, left, right, low, high;
  int16_t zero, zeros[2];
} prod_job;

static dmt_status prod_check_s8(const dmt_call *call) { return eltwise_prod_check(call); }

/* x - z of int16 would not fit it. */
static dmt_status prod_check_s16(const dmt_call *call) {
  dmt_status status = eltwise_prod_check(call);
  int fits = !call->in[0].zero_point && !call->in[1].zero_point && !call->out.zero_point;
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define PROD_EACH for (uint32_t q = 0; q < 4; q++)
#define PROD_INLINE static inline __attribute__((always_inline))

static prod_job prod_read(const dmt_call *call) {
  uint32_t record = eltwise_record(0);
  prod_job job = {.multiplier = dmt_signed(call, record),
                  .left = dmt_signed(call, record + 4),
                  .right = dmt_signed(call, record + 8),
                  .low = dmt_signed(call, 0),
                  .high = dmt_signed(call, 4),
                  .zero = (int16_t)call->out.zero_point,
                  .zeros = {(int16_t)call->in[0].zero_point, (int16_t)call->in[1].zero_point}};
  return job;
}

/* x - z of sixteen values. */
PROD_INLINE int16x8x2_t prod_load(const uint8_t *from, uint32_t i, int16_t zero, uint32_t dtype) {
  const int16x8_t minus = vdupq_n_s16((int16_t)-zero);
  int16x8x2_t x;
  for (uint32_t h = 0; h < 2; h++) {
    x.val[h] = dtype == DMT_S8 ? vaddw_s8(minus, vld1_s8((const int8_t *)from + i + 8 * h))
                               : vld1q_s16((const int16_t *)(const void *)from + i + 8 * h);
  }
  return x;
}

PROD_INLINE void prod_dense(const prod_job *job, uint32_t n, uint8_t *to, uint8_t *const *from,
                            uint32_t dtype) {
  const int32x4_t left = vdupq_n_s32(job->left), right = vdupq_n_s32(-job->right);
  const int32x2_t multiplier = vdup_n_s32(job->multiplier);
  const int16x8_t zero = vdupq_n_s16(job->zero);
  for (uint32_t i = 0; i < n; i += 16) {
    int16x8x2_t a = prod_load(from[0], i, job->zeros[0], dtype);
    int16x8x2_t b = prod_load(from[1], i, job->zeros[1], dtype);
    int32x4_t p[4];
    for (uint32_t h = 0; h < 2; h++) {
      p[2 * h] = vmull_s16(vget_low_s16(a.val[h]), vget_low_s16(b.val[h]));
      p[2 * h + 1] = vmull_s16(vget_high_s16(a.val[h]), vget_high_s16(b.val[h]));
    }
    PROD_EACH p[q] = vqrdmulhq_lane_s32(vqshlq_s32(p[q], left), multiplier, 0);
    PROD_EACH p[q] = vrshlq_s32(p[q], right);
    for (uint32_t h = 0; h < 2; h++) {
      int16x8_t y = vcombine_s16(vqmovn_s32(p[2 * h]), vqmovn_s32(p[2 * h + 1]));
      y = vqaddq_s16(y, zero);
      y = vmaxq_s16(y, vdupq_n_s16((int16_t)job->low));
      y = vminq_s16(y, vdupq_n_s16((int16_t)job->high));
      if (dtype == DMT_S8) {
        vst1_s8((int8_t *)to + i + 8 * h, vmovn_s16(y));
      } else {
        vst1q_s16((int16_t *)(void *)to + i + 8 * h, y);
      }
    }
  }
}

#define PROD(type, dtype)                                                                          \
  static void prod_##type(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {    \
    prod_dense(context, n, to, from, dtype);                                                       \
  }                                                                                                \
  static void prod_line_##type(const void *context, uint32_t n, uint8_t *const *at,                \
                               const size_t *step) {                                               \
    dmt_dense_line(context, n, at, step, 2, dmt_item(dtype), dmt_item(dtype), prod_##type);        \
  }                                                                                                \
  static void prod_run_##type(const dmt_call *call) {                                              \
    const prod_job job = prod_read(call);                                                          \
    eltwise_go(call, prod_line_##type, &job);                                                      \
  }

PROD(s8, DMT_S8)
PROD(s16, DMT_S16)

#endif

const dmt_operator dmt_op_prod_s8_neon = {
    DMT_OP_PROD, DMT_S8, 1, prod_check_s8, NULL, DMT_NEON_RUN(prod_run_s8),
};
const dmt_operator dmt_op_prod_s16_neon = {
    DMT_OP_PROD, DMT_S16, 1, prod_check_s16, NULL, DMT_NEON_RUN(prod_run_s16),
};
