/* Local response normalisation: across channels, or within a channel. */
#include "dmt_lrn.h"

/* Calls for the elements of the window around channel c of pixel (y, x), in order. */
#define LRN_WINDOW(job, n, y, x, c, type, body)                                                    \
  do {                                                                                             \
    lrn_span rows = {y, y + 1}, cols = {x, x + 1}, chans = {c, c + 1};                             \
    if ((job)->region == LRN_ACROSS) {                                                             \
      chans = lrn_span_at(job, c, (job)->in.c);                                                    \
    } else {                                                                                       \
      rows = lrn_span_at(job, y, (job)->in.h);                                                     \
      cols = lrn_span_at(job, x, (job)->in.w);                                                     \
    }                                                                                              \
    for (uint32_t row = rows.begin; row < rows.end; row++) {                                       \
      for (uint32_t col = cols.begin; col < cols.end; col++) {                                     \
        const type *at = (const type *)(const void *)dmt_at(&(job)->in, n, row, col);              \
        for (uint32_t chan = chans.begin; chan < chans.end; chan++) {                              \
          body                                                                                     \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
  } while (0)

static float lrn_f32(const lrn_job *job, uint32_t n, uint32_t y, uint32_t x, uint32_t c) {
  float sum = 0.0f;
  LRN_WINDOW(job, n, y, x, c, float, { sum += at[chan] * at[chan]; });
  float base = job->k + job->scale * sum;
  float value = ((const float *)(const void *)dmt_at(&job->in, n, y, x))[c];
  return value * dmt_exp(-job->beta * dmt_log(base));
}

static uint32_t lrn_sum_s8(const lrn_job *job, uint32_t n, uint32_t y, uint32_t x, uint32_t c) {
  int32_t shift = dmt_signed(job->call, 28), zero = job->call->in[0].zero_point;
  uint32_t sum = 0;
  LRN_WINDOW(job, n, y, x, c, int8_t, {
    int32_t d = at[chan] - zero;
    sum += (uint32_t)dmt_rshr(d * d, shift);
  });
  return sum;
}

static uint32_t lrn_sum_s16(const lrn_job *job, uint32_t n, uint32_t y, uint32_t x, uint32_t c) {
  int32_t shift = dmt_signed(job->call, 28);
  uint32_t sum = 0;
  LRN_WINDOW(job, n, y, x, c, int16_t,
             { sum += (uint32_t)dmt_rshr((int32_t)at[chan] * at[chan], shift); });
  return sum;
}

/* The factor of a sum of squares: a line between entries that stand on its leading bits. */
static int32_t lrn_factor(const dmt_call *call, uint32_t sum) {
  const int16_t *table = (const int16_t *)(const void *)(call->data.data + dmt_word(call, 20));
  uint32_t bits = dmt_word(call, 24), i = sum, f = 0, e = 0;
  if (sum >> bits) {
    while (sum >> e >> bits > 1) {
      e++;
    }
    uint32_t low = sum & ((1u << e) - 1);
    i = (e << bits) + (sum >> e);
    f = e <= 15 ? low << (15 - e) : low >> (e - 15);
  }
  int32_t t = table[i];
  return t + (((table[i + 1] - t) * (int32_t)f + (1 << 14)) >> 15);
}

static void lrn_pixel(const lrn_job *job, uint32_t n, uint32_t y, uint32_t x) {
  const dmt_call *call = job->call;
  const void *from = dmt_at(&job->in, n, y, x);
  void *to = dmt_at(&job->out, n, y, x);
  int32_t z = call->out.zero_point;
  for (uint32_t c = 0; c < job->in.c; c++) {
    if (call->dtype == DMT_F32) {
      ((float *)to)[c] = lrn_f32(job, n, y, x, c);
      continue;
    }
    int s8 = call->dtype == DMT_S8;
    uint32_t sum = s8 ? lrn_sum_s8(job, n, y, x, c) : lrn_sum_s16(job, n, y, x, c);
    int32_t d =
        s8 ? ((const int8_t *)from)[c] - call->in[0].zero_point : ((const int16_t *)from)[c];
    int32_t q = dmt_rq(dmt_wrap_mul(d, lrn_factor(call, sum)), dmt_signed(call, 32),
                       dmt_signed(call, 36), dmt_signed(call, 40));
    q = z + dmt_clamp(q, dmt_signed(call, 44) - z, dmt_signed(call, 48) - z);
    if (s8) {
      ((int8_t *)to)[c] = (int8_t)q;
    } else {
      ((int16_t *)to)[c] = (int16_t)q;
    }
  }
}

static void lrn_task(void *argument, uint32_t index) {
  const lrn_job *job = argument;
  dmt_range rows = dmt_share(job->in.n * job->in.h, index, job->tasks);
  for (uint32_t i = rows.begin; i < rows.end; i++) {
    for (uint32_t x = 0; x < job->in.w; x++) {
      lrn_pixel(job, i / job->in.h, i % job->in.h, x);
    }
  }
}

static void lrn_run(const dmt_call *call) {
  lrn_job job;
  lrn_open(call, &job);
  dmt_parallel(call, job.tasks, lrn_task, &job);
}

const dmt_operator DMT_KERNEL(dmt_op_lrn_f32) = {
    DMT_OP_LRN, DMT_F32, 1, lrn_check, NULL, lrn_run,
};
const dmt_operator DMT_KERNEL(dmt_op_lrn_s8) = {
    DMT_OP_LRN, DMT_S8, 1, lrn_check, NULL, lrn_run,
};
const dmt_operator DMT_KERNEL(dmt_op_lrn_s16) = {
    DMT_OP_LRN, DMT_S16, 1, lrn_check, NULL, lrn_run,
};
