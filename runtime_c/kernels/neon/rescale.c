/* Another scale for a whole integer tensor, sixteen values at a time. */
#include "../generic/dmt_rescale.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

static dmt_status rescale_whole_check(const dmt_call *call) {
  dmt_status status = rescale_check(call);
  return status == DMT_OK && dmt_word(call, 0) != 1 ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define RESCALE_EACH for (uint32_t q = 0; q < 4; q++)
#define RESCALE_INLINE static inline __attribute__((always_inline))

/* The second of each is for negative values, and the same without slopes. */
typedef struct {
  int32_t multiplier[2], left[2], right[2];
  int32_t zero, to_zero, low, high;
  int slopes;
} rescale_job;

static rescale_job rescale_read(const dmt_call *call) {
  rescale_job job = {.zero = call->in[0].zero_point,
                     .to_zero = call->out.zero_point,
                     .low = dmt_signed(call, 12) - call->out.zero_point,
                     .high = dmt_signed(call, 16) - call->out.zero_point,
                     .slopes = dmt_word(call, 8) != 0};
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t first = job.slopes ? 3 * i : 0;
    job.multiplier[i] = *dmt_array(call, dmt_word(call, 4), first, 1);
    job.left[i] = *dmt_array(call, dmt_word(call, 4), first + 1, 1);
    job.right[i] = *dmt_array(call, dmt_word(call, 4), first + 2, 1);
  }
  return job;
}

RESCALE_INLINE void rescale_rq(const rescale_job *job, int32x4_t *a, uint32_t side) {
  const int32x4_t left = vdupq_n_s32(job->left[side]), right = vdupq_n_s32(-job->right[side]);
  RESCALE_EACH a[q] = vqshlq_s32(a[q], left);
  RESCALE_EACH a[q] = vqrdmulhq_n_s32(a[q], job->multiplier[side]);
  RESCALE_EACH a[q] = vrshlq_s32(a[q], right);
}

RESCALE_INLINE void rescale_load(const uint8_t *from, uint32_t i, uint32_t dtype, int32x4_t *a) {
  int16x8_t v[2];
  for (uint32_t h = 0; h < 2; h++) {
    v[h] = dtype == DMT_S8 ? vmovl_s8(vld1_s8((const int8_t *)from + i + 8 * h))
                           : vld1q_s16((const int16_t *)(const void *)from + i + 8 * h);
    a[2 * h] = vmovl_s16(vget_low_s16(v[h]));
    a[2 * h + 1] = vmovl_s16(vget_high_s16(v[h]));
  }
}

RESCALE_INLINE void rescale_dense(const rescale_job *job, uint32_t n, uint8_t *to,
                                  const uint8_t *from, uint32_t dtype, uint32_t to_dtype) {
  const int32x4_t zero = vdupq_n_s32(job->zero), to_zero = vdupq_n_s32(job->to_zero);
  const int32x4_t low = vdupq_n_s32(job->low), high = vdupq_n_s32(job->high);
  for (uint32_t i = 0; i < n; i += 16) {
    int32x4_t a[4], b[4];
    rescale_load(from, i, dtype, a);
    RESCALE_EACH b[q] = a[q] = vsubq_s32(a[q], zero);
    rescale_rq(job, a, 0);
    if (job->slopes) {
      int32x4_t negative[4];
      RESCALE_EACH negative[q] = vshrq_n_s32(b[q], 31);
      rescale_rq(job, b, 1);
      RESCALE_EACH a[q] = vbslq_s32(vreinterpretq_u32_s32(negative[q]), b[q], a[q]);
    }
    RESCALE_EACH a[q] = vminq_s32(vmaxq_s32(a[q], low), high);
    RESCALE_EACH a[q] = vaddq_s32(a[q], to_zero);
    for (uint32_t h = 0; h < 2; h++) {
      int16x8_t y = vcombine_s16(vmovn_s32(a[2 * h]), vmovn_s32(a[2 * h + 1]));
      if (to_dtype == DMT_S8) {
        vst1_s8((int8_t *)to + i + 8 * h, vmovn_s16(y));
      } else {
        vst1q_s16((int16_t *)(void *)to + i + 8 * h, y);
      }
    }
  }
}

#define RESCALE(name, dtype, to_dtype)                                                             \
  static void rescale_##name(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) { \
    rescale_dense(context, n, to, from[0], dtype, to_dtype);                                       \
  }                                                                                                \
  static void rescale_line_##name(const void *context, uint32_t n, uint8_t *const *at,             \
                                  const size_t *step) {                                            \
    dmt_dense_line(context, n, at, step, 1, dmt_item(to_dtype), dmt_item(dtype), rescale_##name);  \
  }

RESCALE(s8_s8, DMT_S8, DMT_S8)
RESCALE(s8_s16, DMT_S8, DMT_S16)
RESCALE(s16_s8, DMT_S16, DMT_S8)
RESCALE(s16_s16, DMT_S16, DMT_S16)

static void rescale_run(const dmt_call *call) {
  const rescale_job job = rescale_read(call);
  const dmt_line line[2][2] = {{rescale_line_s8_s8, rescale_line_s8_s16},
                               {rescale_line_s16_s8, rescale_line_s16_s16}};
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_go(&loop, call, line[call->dtype == DMT_S16][call->out.dtype == DMT_S16], &job);
}

#endif

const dmt_operator dmt_op_rescale_s8_neon = {
    DMT_OP_RESCALE, DMT_S8, 1, rescale_whole_check, NULL, DMT_NEON_RUN(rescale_run),
};
const dmt_operator dmt_op_rescale_s16_neon = {
    DMT_OP_RESCALE, DMT_S16, 1, rescale_whole_check, NULL, DMT_NEON_RUN(rescale_run),
};
