/* Sums of two integer tensors, sixteen values at a time. */
#include "../generic/dmt_eltwise.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

/* Two inputs, and multipliers that can be negated. */
static int sum_fits(const dmt_call *call) {
  return call->inputs == 2 && dmt_signed(call, eltwise_record(0)) != INT32_MIN &&
         dmt_signed(call, eltwise_record(1)) != INT32_MIN;
}

/* Values of nine bits, shifted by 0 to 7 in s16 and then by 16 into s32. */
static dmt_status sum_check_s8(const dmt_call *call) {
  dmt_status status = eltwise_check(call);
  int fits =
      status == DMT_OK && sum_fits(call) && dmt_word(call, 8) >= 16 && dmt_word(call, 8) <= 23;
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

static dmt_status sum_check_s16(const dmt_call *call) {
  dmt_status status = eltwise_check(call);
  int fits = status == DMT_OK && sum_fits(call) && dmt_word(call, 8) <= 15;
  fits = fits && !call->in[0].zero_point && !call->in[1].zero_point && !call->out.zero_point;
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define SUM_INLINE static inline __attribute__((always_inline))
#define SUM_EACH for (uint32_t k = 0; k < 4; k++)

/* (z - x) << left times -m is (x - z) << left times m, and a factor of -2^k shifts further than one
 * of 2^k could. */
typedef struct {
  int32_t right, low, high;
  int16_t zero, factor, zeros[2];
  int32_t multipliers[2];
} sum_job;

static sum_job sum_read(const dmt_call *call) {
  int32_t left = dmt_signed(call, 8) - (call->dtype == DMT_S8 ? 16 : 0);
  sum_job job = {.right = dmt_signed(call, 12),
                 .low = dmt_signed(call, 0),
                 .high = dmt_signed(call, 4),
                 .zero = (int16_t)call->out.zero_point,
                 .factor = (int16_t)(-1 * (1 << left))};
  for (uint32_t k = 0; k < 2; k++) {
    job.zeros[k] = (int16_t)(call->in[k].zero_point * (1 << left));
    job.multipliers[k] = -dmt_signed(call, eltwise_record(k));
  }
  return job;
}

/* The three stages of eight values: widened, scaled and added, narrowed. Each works on other values
 * than the next one, for none could wait for the one before. */
typedef struct {
  int32x4_t a[2], b[2];
} sum_wide;

typedef struct {
  int32x4_t right;
  int32x2_t multiplier;
  int16x8_t zero_a, zero_b, zero;
  int8x8_t factor, low, high;
} sum_constants;

SUM_INLINE sum_wide sum_widen(const sum_constants *k, const int8_t *a, const int8_t *b) {
  int16x8_t x = vaddq_s16(vmull_s8(vld1_s8(a), k->factor), k->zero_a);
  int16x8_t y = vaddq_s16(vmull_s8(vld1_s8(b), k->factor), k->zero_b);
  sum_wide wide = {{vshll_n_s16(vget_low_s16(x), 16), vshll_n_s16(vget_high_s16(x), 16)},
                   {vshll_n_s16(vget_low_s16(y), 16), vshll_n_s16(vget_high_s16(y), 16)}};
  return wide;
}

SUM_INLINE int32x4x2_t sum_scale(const sum_constants *k, sum_wide wide) {
  int32x4x2_t sum;
  for (uint32_t h = 0; h < 2; h++) {
    sum.val[h] = vaddq_s32(vqrdmulhq_lane_s32(wide.a[h], k->multiplier, 0),
                           vqrdmulhq_lane_s32(wide.b[h], k->multiplier, 1));
  }
  return sum;
}

SUM_INLINE int8x8_t sum_narrow(const sum_constants *k, int32x4x2_t sum) {
  int16x4_t low = vqmovn_s32(vrshlq_s32(sum.val[0], k->right));
  int16x4_t high = vqmovn_s32(vrshlq_s32(sum.val[1], k->right));
  int8x8_t y = vqmovn_s16(vqaddq_s16(vcombine_s16(low, high), k->zero));
  return vmin_s8(vmax_s8(y, k->low), k->high);
}

static void sum_s8(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const sum_job *job = context;
  const int8_t *a = (const int8_t *)from[0], *b = (const int8_t *)from[1];
  int8_t *y = (int8_t *)to;
  const sum_constants k = {vdupq_n_s32(-job->right),    vld1_s32(job->multipliers),
                           vdupq_n_s16(job->zeros[0]),  vdupq_n_s16(job->zeros[1]),
                           vdupq_n_s16(job->zero),      vdup_n_s8((int8_t)job->factor),
                           vdup_n_s8((int8_t)job->low), vdup_n_s8((int8_t)job->high)};
  int32x4x2_t sum = sum_scale(&k, sum_widen(&k, a, b));
  sum_wide wide = sum_widen(&k, a + 8, b + 8);
  for (uint32_t i = 16; i < n; i += 8) {
    int8x8_t done = sum_narrow(&k, sum);
    sum = sum_scale(&k, wide);
    wide = sum_widen(&k, a + i, b + i);
    vst1_s8(y + i - 16, done);
  }
  vst1_s8(y + n - 16, sum_narrow(&k, sum));
  vst1_s8(y + n - 8, sum_narrow(&k, sum_scale(&k, wide)));
}

static void sum_s16(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const sum_job *job = context;
  const int16_t *a = (const int16_t *)(const void *)from[0];
  const int16_t *b = (const int16_t *)(const void *)from[1];
  const int32x2_t multiplier = vld1_s32(job->multipliers);
  const int16x4_t factor = vdup_n_s16(job->factor);
  const int32x4_t right = vdupq_n_s32(-job->right);
  const int16x8_t low = vdupq_n_s16((int16_t)job->low), high = vdupq_n_s16((int16_t)job->high);
  for (uint32_t i = 0; i < n; i += 16) {
    int32x4_t x[4], y[4];
    SUM_EACH x[k] = vmull_s16(vld1_s16(a + i + 4 * k), factor);
    SUM_EACH y[k] = vmull_s16(vld1_s16(b + i + 4 * k), factor);
    SUM_EACH x[k] = vqrdmulhq_lane_s32(x[k], multiplier, 0);
    SUM_EACH y[k] = vqrdmulhq_lane_s32(y[k], multiplier, 1);
    SUM_EACH x[k] = vrshlq_s32(vaddq_s32(x[k], y[k]), right);
    for (uint32_t h = 0; h < 2; h++) {
      int16x8_t z = vcombine_s16(vqmovn_s32(x[2 * h]), vqmovn_s32(x[2 * h + 1]));
      vst1q_s16((int16_t *)(void *)to + i + 8 * h, vminq_s16(vmaxq_s16(z, low), high));
    }
  }
}

#define SUM(type, dtype)                                                                           \
  static void sum_line_##type(const void *context, uint32_t n, uint8_t *const *at,                 \
                              const size_t *step) {                                                \
    dmt_dense_line(context, n, at, step, 2, dmt_item(dtype), dmt_item(dtype), sum_##type);         \
  }                                                                                                \
  static void sum_run_##type(const dmt_call *call) {                                               \
    const sum_job job = sum_read(call);                                                            \
    eltwise_go(call, sum_line_##type, &job);                                                       \
  }

SUM(s8, DMT_S8)
SUM(s16, DMT_S16)

#endif

const dmt_operator dmt_op_sum_s8_neon = {
    DMT_OP_SUM, DMT_S8, 1, sum_check_s8, NULL, DMT_NEON_RUN(sum_run_s8),
};
const dmt_operator dmt_op_sum_s16_neon = {
    DMT_OP_SUM, DMT_S16, 1, sum_check_s16, NULL, DMT_NEON_RUN(sum_run_s16),
};
