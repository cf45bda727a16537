/* Another scale for each channel of an integer image, or a slope (PReLU): eight channels at a time.
 */
#include "../generic/dmt_grid.h"
#include "../generic/dmt_rescale.h"
#include "dmt_neon.h"

static dmt_status rescale_channels_check(const dmt_call *call) {
  dmt_grid in, out;
  dmt_status status = rescale_check(call);
  int fits = status == DMT_OK && dmt_word(call, 0) > 1 && dmt_as_grid(&call->in[0], &in) &&
             dmt_as_grid(&call->out, &out);
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define RESCALE_HALVES for (uint32_t h = 0; h < 2; h++)
#define RESCALE_INLINE static inline __attribute__((always_inline))

/* Arrays of multipliers, lefts and rights, three for negative values behind them. */
typedef struct {
  const dmt_call *call;
  dmt_grid in, out;
  const int32_t *arrays;
  size_t words; /* of one array */
  uint32_t slopes, tasks;
  int32_t zero, to_zero, low, high;
} rescale_job;

/* n <= 8 values; past the last one it is the stack that is read. */
RESCALE_INLINE int16x8_t rescale_load(const uint8_t *from, uint32_t n, uint32_t dtype) {
  int16_t some[8] = {0};
  const void *at = from;
  if (n < 8) {
    memcpy(some, from, n * dmt_item(dtype));
    at = some;
  }
  return dtype == DMT_S8 ? vmovl_s8(vld1_s8(at)) : vld1q_s16(at);
}

RESCALE_INLINE void rescale_store(uint8_t *to, uint32_t n, int16x8_t y, uint32_t dtype) {
  int16_t some[8];
  void *at = n < 8 ? (void *)some : to;
  if (dtype == DMT_S8) {
    vst1_s8(at, vmovn_s16(y));
  } else {
    vst1q_s16(at, y);
  }
  if (n < 8) {
    memcpy(to, some, n * dmt_item(dtype));
  }
}

/* rq of four values by the arrays from a channel on. */
RESCALE_INLINE int32x4_t rescale_rq(const int32_t *array, size_t words, int32x4_t a) {
  a = vqrdmulhq_s32(vqshlq_s32(a, vld1q_s32(array + words)), vld1q_s32(array));
  return vrshlq_s32(a, vnegq_s32(vld1q_s32(array + 2 * words)));
}

RESCALE_INLINE void rescale_pixel(const rescale_job *job, const uint8_t *x, uint8_t *y,
                                  uint32_t dtype, uint32_t to_dtype) {
  for (uint32_t c = 0; c < job->in.c; c += 8) {
    uint32_t n = job->in.c - c;
    int16x8_t v = rescale_load(x + (size_t)c * dmt_item(dtype), n, dtype);
    int32x4_t a[2] = {vmovl_s16(vget_low_s16(v)), vmovl_s16(vget_high_s16(v))};
    RESCALE_HALVES {
      const int32_t *array = job->arrays + c + 4 * h;
      a[h] = vsubq_s32(a[h], vdupq_n_s32(job->zero));
      uint32x4_t below = vcltq_s32(a[h], vdupq_n_s32(0));
      int32x4_t above = rescale_rq(array, job->words, a[h]);
      if (job->slopes) {
        a[h] = vbslq_s32(below, rescale_rq(array + 3 * job->words, job->words, a[h]), above);
      } else {
        a[h] = above;
      }
      a[h] = vminq_s32(vmaxq_s32(a[h], vdupq_n_s32(job->low)), vdupq_n_s32(job->high));
      a[h] = vaddq_s32(a[h], vdupq_n_s32(job->to_zero));
    }
    rescale_store(y + (size_t)c * dmt_item(to_dtype), n,
                  vcombine_s16(vmovn_s32(a[0]), vmovn_s32(a[1])), to_dtype);
  }
}

RESCALE_INLINE void rescale_rows(const rescale_job *job, uint32_t index, uint32_t dtype,
                                 uint32_t to_dtype) {
  dmt_range rows = dmt_share(job->in.n * job->in.h, index, job->tasks);
  for (uint32_t i = rows.begin; i < rows.end; i++) {
    for (uint32_t x = 0; x < job->in.w; x++) {
      rescale_pixel(job, dmt_at(&job->in, i / job->in.h, i % job->in.h, x),
                    dmt_at(&job->out, i / job->in.h, i % job->in.h, x), dtype, to_dtype);
    }
  }
}

static void rescale_task(void *argument, uint32_t index) {
  const rescale_job *job = argument;
  if (job->call->dtype == DMT_S8 && job->call->out.dtype == DMT_S8) {
    rescale_rows(job, index, DMT_S8, DMT_S8);
  } else if (job->call->dtype == DMT_S8) {
    rescale_rows(job, index, DMT_S8, DMT_S16);
  } else if (job->call->out.dtype == DMT_S8) {
    rescale_rows(job, index, DMT_S16, DMT_S8);
  } else {
    rescale_rows(job, index, DMT_S16, DMT_S16);
  }
}

static void rescale_run(const dmt_call *call) {
  uint32_t count = dmt_word(call, 0);
  rescale_job job = {.call = call,
                     .arrays = dmt_array(call, dmt_word(call, 4), 0, count),
                     .words = dmt_up8(count),
                     .slopes = dmt_word(call, 8),
                     .zero = call->in[0].zero_point,
                     .to_zero = call->out.zero_point,
                     .low = dmt_signed(call, 12) - call->out.zero_point,
                     .high = dmt_signed(call, 16) - call->out.zero_point};
  dmt_as_grid(&call->in[0], &job.in);
  dmt_as_grid(&call->out, &job.out);
  uint32_t rows = job.in.n * job.in.h;
  job.tasks = dmt_tasks(call, (uint64_t)rows * job.in.w * job.in.c, 16384, rows);
  dmt_parallel(call, job.tasks, rescale_task, &job);
}

#endif

const dmt_operator dmt_op_rescale_channels_s8_neon = {
    DMT_OP_RESCALE, DMT_S8, 1, rescale_channels_check, NULL, DMT_NEON_RUN(rescale_run),
};
const dmt_operator dmt_op_rescale_channels_s16_neon = {
    DMT_OP_RESCALE, DMT_S16, 1, rescale_channels_check, NULL, DMT_NEON_RUN(rescale_run),
};
