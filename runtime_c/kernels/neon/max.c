/* The largest of integer tensors, each with its own scale, sixteen values at a time. */
#include "../generic/dmt_eltwise.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

#ifdef DMT_NEON

typedef struct {
  uint32_t inputs;
  int32_t zero, low, high;
  int32_t zeros[DMT_MAX_INPUTS], multiplier[DMT_MAX_INPUTS], left[DMT_MAX_INPUTS];
  int32_t right[DMT_MAX_INPUTS];
} max_job;

#define MAX_EACH for (uint32_t q = 0; q < 4; q++)
#define MAX_INLINE static inline __attribute__((always_inline))

static max_job max_read(const dmt_call *call) {
  max_job job = {.inputs = call->inputs,
                 .zero = call->out.zero_point,
                 .low = dmt_signed(call, 0) - call->out.zero_point,
                 .high = dmt_signed(call, 4) - call->out.zero_point};
  for (uint32_t k = 0; k < call->inputs; k++) {
    uint32_t record = eltwise_record(k);
    job.zeros[k] = call->in[k].zero_point;
    job.multiplier[k] = dmt_signed(call, record);
    job.left[k] = dmt_signed(call, record + 4);
    job.right[k] = dmt_signed(call, record + 8);
  }
  return job;
}

/* rq(x - z) of sixteen values of input k. */
MAX_INLINE void max_take(const max_job *job, const uint8_t *from, uint32_t i, uint32_t k,
                         uint32_t dtype, int32x4_t *a) {
  const int32x4_t zero = vdupq_n_s32(job->zeros[k]), left = vdupq_n_s32(job->left[k]);
  const int32x4_t right = vdupq_n_s32(-job->right[k]);
  const int32x2_t multiplier = vdup_n_s32(job->multiplier[k]);
  for (uint32_t h = 0; h < 2; h++) {
    int16x8_t v = dtype == DMT_S8 ? vmovl_s8(vld1_s8((const int8_t *)from + i + 8 * h))
                                  : vld1q_s16((const int16_t *)(const void *)from + i + 8 * h);
    a[2 * h] = vmovl_s16(vget_low_s16(v));
    a[2 * h + 1] = vmovl_s16(vget_high_s16(v));
  }
  MAX_EACH a[q] = vqshlq_s32(vsubq_s32(a[q], zero), left);
  MAX_EACH a[q] = vqrdmulhq_lane_s32(a[q], multiplier, 0);
  MAX_EACH a[q] = vrshlq_s32(a[q], right);
}

MAX_INLINE void max_dense(const max_job *job, uint32_t n, uint8_t *to, uint8_t *const *from,
                          uint32_t dtype) {
  const int32x4_t low = vdupq_n_s32(job->low), high = vdupq_n_s32(job->high);
  for (uint32_t i = 0; i < n; i += 16) {
    int32x4_t most[4], a[4];
    max_take(job, from[0], i, 0, dtype, most);
    for (uint32_t k = 1; k < job->inputs; k++) {
      max_take(job, from[k], i, k, dtype, a);
      MAX_EACH most[q] = vmaxq_s32(most[q], a[q]);
    }
    MAX_EACH most[q] = vminq_s32(vmaxq_s32(most[q], low), high);
    MAX_EACH most[q] = vaddq_s32(most[q], vdupq_n_s32(job->zero));
    for (uint32_t h = 0; h < 2; h++) {
      int16x8_t y = vcombine_s16(vmovn_s32(most[2 * h]), vmovn_s32(most[2 * h + 1]));
      if (dtype == DMT_S8) {
        vst1_s8((int8_t *)to + i + 8 * h, vmovn_s16(y));
      } else {
        vst1q_s16((int16_t *)(void *)to + i + 8 * h, y);
      }
    }
  }
}

#define MAX(type, dtype)                                                                           \
  static void max_##type(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {     \
    max_dense(context, n, to, from, dtype);                                                        \
  }                                                                                                \
  static void max_line_##type(const void *context, uint32_t n, uint8_t *const *at,                 \
                              const size_t *step) {                                                \
    uint32_t item = dmt_item(dtype), inputs = ((const max_job *)context)->inputs;                  \
    dmt_dense_line(context, n, at, step, inputs, item, item, max_##type);                          \
  }                                                                                                \
  static void max_run_##type(const dmt_call *call) {                                               \
    const max_job job = max_read(call);                                                            \
    eltwise_go(call, max_line_##type, &job);                                                       \
  }

MAX(s8, DMT_S8)
MAX(s16, DMT_S16)

#endif

const dmt_operator dmt_op_max_s8_neon = {
    DMT_OP_MAX, DMT_S8, 1, eltwise_check, NULL, DMT_NEON_RUN(max_run_s8),
};
const dmt_operator dmt_op_max_s16_neon = {
    DMT_OP_MAX, DMT_S16, 1, eltwise_check, NULL, DMT_NEON_RUN(max_run_s16),
};
