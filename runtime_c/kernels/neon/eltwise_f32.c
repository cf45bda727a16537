/* Sums, products and maxima of float32 tensors, sixteen values at a time. */
#include "../generic/dmt_eltwise.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

#ifdef DMT_NEON

#define ELTWISE_EACH for (uint32_t q = 0; q < 4; q++)
#define ELTWISE_INLINE static inline __attribute__((always_inline))

typedef struct {
  uint32_t inputs;
  int clamps;
  float low, high, factors[DMT_MAX_INPUTS];
} eltwise_job;

static eltwise_job eltwise_read(const dmt_call *call) {
  eltwise_job job = {.inputs = call->inputs, .low = dmt_float(call, 0), .high = dmt_float(call, 4)};
  const float most = 3.402823466e38f; /* beyond it nothing is clamped */
  job.clamps = !(job.low < -most && job.high > most);
  for (uint32_t k = 0; k < call->inputs; k++) {
    job.factors[k] =
        call->param_size >= eltwise_record(k) + 4 ? dmt_float(call, eltwise_record(k)) : 1.0f;
  }
  return job;
}

/* Sixteen values joined with those before. */
ELTWISE_INLINE void eltwise_join(float32x4_t *y, const float32x4_t *x, float factor,
                                 uint32_t opcode) {
  if (opcode == DMT_OP_SUM) {
    ELTWISE_EACH y[q] = vmlaq_n_f32(y[q], x[q], factor);
  } else if (opcode == DMT_OP_PROD) {
    ELTWISE_EACH y[q] = vmulq_f32(y[q], x[q]);
  } else {
    ELTWISE_EACH y[q] = vbslq_f32(dmt_greater_f32(x[q], y[q]), x[q], y[q]);
  }
}

ELTWISE_INLINE void eltwise_dense(const eltwise_job *job, uint32_t n, uint8_t *to,
                                  uint8_t *const *from, uint32_t opcode) {
  const float32x4_t low = vdupq_n_f32(job->low), high = vdupq_n_f32(job->high);
  for (uint32_t i = 0; i < n; i += 16) {
    float32x4_t x[4], y[4];
    ELTWISE_EACH y[q] = vld1q_f32((const float *)(const void *)from[0] + i + 4 * q);
    if (opcode == DMT_OP_SUM) {
      ELTWISE_EACH y[q] = vmulq_n_f32(y[q], job->factors[0]);
    }
    for (uint32_t k = 1; k < job->inputs; k++) {
      ELTWISE_EACH x[q] = vld1q_f32((const float *)(const void *)from[k] + i + 4 * q);
      eltwise_join(y, x, job->factors[k], opcode);
    }
    if (job->clamps) {
      ELTWISE_EACH y[q] = vbslq_f32(dmt_greater_f32(low, y[q]), low, y[q]);
      ELTWISE_EACH y[q] = vbslq_f32(dmt_greater_f32(y[q], high), high, y[q]);
    }
    ELTWISE_EACH vst1q_f32((float *)(void *)to + i + 4 * q, y[q]);
  }
}

#define ELTWISE(name, opcode)                                                                      \
  static void name##_dense(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {   \
    eltwise_dense(context, n, to, from, opcode);                                                   \
  }                                                                                                \
  static void name##_line(const void *context, uint32_t n, uint8_t *const *at,                     \
                          const size_t *step) {                                                    \
    dmt_dense_line(context, n, at, step, ((const eltwise_job *)context)->inputs, 4, 4,             \
                   name##_dense);                                                                  \
  }                                                                                                \
  static void name##_run(const dmt_call *call) {                                                   \
    const eltwise_job job = eltwise_read(call);                                                    \
    eltwise_go(call, name##_line, &job);                                                           \
  }

ELTWISE(sum, DMT_OP_SUM)
ELTWISE(prod, DMT_OP_PROD)
ELTWISE(max, DMT_OP_MAX)

#endif

const dmt_operator dmt_op_sum_f32_neon = {
    DMT_OP_SUM, DMT_F32, 1, eltwise_check, NULL, DMT_NEON_RUN(sum_run),
};
const dmt_operator dmt_op_prod_f32_neon = {
    DMT_OP_PROD, DMT_F32, 1, eltwise_prod_check, NULL, DMT_NEON_RUN(prod_run),
};
const dmt_operator dmt_op_max_f32_neon = {
    DMT_OP_MAX, DMT_F32, 1, eltwise_check, NULL, DMT_NEON_RUN(max_run),
};
