/* Local response normalisation of float32 across channels: the operations of dmt_math.h, sixteen
 * channels at a time, where nothing can become subnormal; the portable form for all else. */
#include "../generic/dmt_lrn.h"
#include "dmt_math_neon.h"

/* Channels whose squares stand on the stack, and the largest half of a window. */
enum { LRN_RUN = 64, LRN_HALF = 8, LRN_ROOM = LRN_RUN + 2 * LRN_HALF };

static int lrn_is_between(float value, float low, float high) {
  return value >= low && value <= high;
}

/* With values of 0 or 2^-30 to 2^30, the base is 2^-30 to 2^65 and the result at least 2^-95. */
static dmt_status lrn_across_check(const dmt_call *call) {
  dmt_status status = lrn_check(call);
  uint32_t size = dmt_word(call, 4);
  int fits = dmt_word(call, 0) == LRN_ACROSS && size <= 2 * LRN_HALF + 1 &&
             lrn_is_between(dmt_float(call, 8) / (float)size, 0x1p-20f, 1.0f) &&
             lrn_is_between(dmt_float(call, 12), 0x1p-10f, 1.0f) &&
             lrn_is_between(dmt_float(call, 16), 0x1p-30f, 0x1p30f);
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

/* The squares of LRN_RUN channels from `begin` on and of LRN_HALF around them, zeros outside the
 * tensor. 0 where a value is neither 0 nor 2^-30 to 2^30. */
static int lrn_squares(const float *x, uint32_t begin, uint32_t channels, float *room) {
  uint32x4_t bad = vdupq_n_u32(0);
  for (uint32_t i = 0; i < LRN_ROOM; i += 4) {
    uint32_t c = begin + i - LRN_HALF; /* wraps before channel 0 */
    float32x4_t v = vdupq_n_f32(0.0f);
    if (c < channels) {
      float some[4] = {0};
      if (channels - c < 4) {
        memcpy(some, x + c, (channels - c) * sizeof *x);
      }
      v = vld1q_f32(channels - c < 4 ? some : x + c);
    }
    uint32x4_t size = vshlq_n_u32(vreinterpretq_u32_f32(v), 1);
    uint32x4_t over = vsubq_u32(size, vdupq_n_u32(97u << 24)); /* 2^-30 */
    over = vcgtq_u32(over, vdupq_n_u32(60u << 24));
    bad = vorrq_u32(bad, vandq_u32(over, vtstq_u32(size, size)));
    vst1q_f32(room + i, vmulq_f32(v, v));
  }
  uint32x2_t any = vorr_u32(vget_low_u32(bad), vget_high_u32(bad));
  return (vget_lane_u32(any, 0) | vget_lane_u32(any, 1)) == 0;
}

/* Sixteen factors from the sums around room[0], added in the order of the channels. */
static inline void lrn_factors(const lrn_job *job, const float *room, float32x4_t *sum) {
  const float *at = room - job->half;
  DMT_QUADS_EACH sum[q] = vld1q_f32(at + 4 * q);
  for (int32_t j = 0; j < 2 * job->half; j++) {
    at++;
    DMT_QUADS_EACH sum[q] = vaddq_f32(sum[q], vld1q_f32(at + 4 * q));
  }
  DMT_QUADS_EACH sum[q] = vmlaq_f32(vdupq_n_f32(job->k), vdupq_n_f32(job->scale), sum[q]);
  dmt_log_quads(sum);
  DMT_QUADS_EACH sum[q] = vmulq_f32(vdupq_n_f32(-job->beta), sum[q]);
  dmt_exp_quads(sum);
}

/* Any value, as the portable kernel does it. */
static float lrn_one(const lrn_job *job, const float *x, uint32_t c) {
  lrn_span span = lrn_span_at(job, c, job->in.c);
  float sum = 0.0f;
  for (uint32_t i = span.begin; i < span.end; i++) {
    sum += x[i] * x[i];
  }
  float base = job->k + job->scale * sum;
  return x[c] * dmt_exp(-job->beta * dmt_log(base));
}

/* At most LRN_RUN channels from `begin` on. */
static void lrn_run_of(const lrn_job *job, const float *x, float *y, uint32_t begin) {
  float room[LRN_ROOM];
  float32x4_t factor[DMT_QUADS];
  uint32_t channels = job->in.c, end = channels - begin < LRN_RUN ? channels : begin + LRN_RUN;
  if (!lrn_squares(x, begin, channels, room)) {
    for (uint32_t c = begin; c < end; c++) {
      y[c] = lrn_one(job, x, c);
    }
    return;
  }
  for (uint32_t c = begin; c < end; c += 4 * DMT_QUADS) {
    lrn_factors(job, room + LRN_HALF + (c - begin), factor);
    for (uint32_t q = 0, i = c; q < DMT_QUADS && i < end; q++, i += 4) {
      if (end - i >= 4) {
        vst1q_f32(y + i, vmulq_f32(vld1q_f32(x + i), factor[q]));
        continue;
      }
      float some[4];
      vst1q_f32(some, factor[q]);
      for (uint32_t l = 0; i + l < end; l++) {
        y[i + l] = x[i + l] * some[l];
      }
    }
  }
}

static void lrn_task(void *argument, uint32_t index) {
  const lrn_job *job = argument;
  dmt_range rows = dmt_share(job->in.n * job->in.h, index, job->tasks);
  for (uint32_t i = rows.begin; i < rows.end; i++) {
    for (uint32_t x = 0; x < job->in.w; x++) {
      const void *from = dmt_at(&job->in, i / job->in.h, i % job->in.h, x);
      void *to = dmt_at(&job->out, i / job->in.h, i % job->in.h, x);
      for (uint32_t c = 0; c < job->in.c; c += LRN_RUN) {
        lrn_run_of(job, from, to, c);
      }
    }
  }
}

static void lrn_run(const dmt_call *call) {
  lrn_job job;
  lrn_open(call, &job);
  dmt_parallel(call, job.tasks, lrn_task, &job);
}

#endif

const dmt_operator dmt_op_lrn_f32_neon = {
    DMT_OP_LRN, DMT_F32, 1, lrn_across_check, NULL, DMT_NEON_RUN(lrn_run),
};
