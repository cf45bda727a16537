/* Average pooling: up to four groups of channels of one window at a time. */
#include "../generic/dmt_pooling.h"
#include "dmt_neon.h"

/* Windows no larger than this have sums of s8 that fit s16, and areas that float32 holds. */
enum { POOL_ROW = 255, POOL_AREA = 1 << 24 };

static dmt_status pool_check(const dmt_call *call) {
  dmt_status status = pool_average_check(call);
  uint32_t height = dmt_word(call, 0), width = dmt_word(call, 4);
  int fits = call->out.dim[1] >= (call->dtype == DMT_S8 ? 8 : 4) && width <= POOL_ROW &&
             height <= POOL_AREA / width;
  return status == DMT_OK && !fits ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define POOL_INLINE static inline __attribute__((always_inline))

typedef struct {
  const pool_job *job;
  pool_span rows, cols;
  int32_t bias;          /* -zero point, as often as there are pixels */
  const int32_t *record; /* NULL where there is no pixel */
} pool_window;

static pool_window pool_open_window(const pool_job *job, pool_span rows, pool_span cols,
                                    const pool_window *before) {
  pool_window w = {job, rows, cols, 0, NULL};
  uint32_t pixels = (uint32_t)(rows.end - rows.begin) * (uint32_t)(cols.end - cols.begin);
  w.bias = (int32_t)(0 - pixels * (uint32_t)job->call->in[0].zero_point);
  if (pixels > 0 && job->call->dtype != DMT_F32) {
    int alike = before->record != NULL && before->rows.length == rows.length &&
                before->cols.length == cols.length;
    w.record = alike ? before->record : pool_divisor(job, rows, cols);
  }
  return w;
}

/* Each pixel of a window once: `body` sees its channels as `from`. */
#define POOL_PIXELS(w, x, element, before_row, body)                                               \
  do {                                                                                             \
    const dmt_grid *in = &(w)->job->in;                                                            \
    for (int32_t r = (w)->rows.begin; r < (w)->rows.end; r++) {                                    \
      const uint8_t *at = (x) + (size_t)r * in->row + (size_t)(w)->cols.begin * in->pixel;         \
      before_row for (int32_t c = (w)->cols.begin; c < (w)->cols.end; c++, at += in->pixel) {      \
        const element *from = (const element *)(const void *)at;                                   \
        body                                                                                       \
      }                                                                                            \
    }                                                                                              \
  } while (0)

/* What all sums of a window are rounded by. */
typedef struct {
  int32x4_t bias, left, right, low, high, zero;
  int32x2_t multiplier;
} pool_rounding;

POOL_INLINE pool_rounding pool_open_rounding(const pool_window *w) {
  const dmt_call *call = w->job->call;
  int32_t z = call->out.zero_point, none[4] = {0};
  const int32_t *record = w->record != NULL ? w->record : none;
  pool_rounding k = {vdupq_n_s32(w->bias),
                     vdupq_n_s32(record[2]),
                     vdupq_n_s32(-record[3]),
                     vdupq_n_s32(dmt_signed(call, 32) - z),
                     vdupq_n_s32(dmt_signed(call, 36) - z),
                     vdupq_n_s32(z),
                     vdup_n_s32(record[1])};
  return k;
}

/* clamp(z + rq(sum)), of four values, narrowed. */
POOL_INLINE int16x4_t pool_round(const pool_rounding *k, int32x4_t sum) {
  sum = vqshlq_s32(vaddq_s32(sum, k->bias), k->left);
  sum = vrshlq_s32(vqrdmulhq_lane_s32(sum, k->multiplier, 0), k->right);
  sum = vminq_s32(vmaxq_s32(sum, k->low), k->high);
  return vmovn_s32(vaddq_s32(sum, k->zero));
}

/* Sums in s16, added to those in s32 before a row that might be too much. */
POOL_INLINE void pool_s8(const pool_window *w, const pool_rounding *k, const uint8_t *x, uint8_t *y,
                         uint32_t groups) {
  int16x8_t some[4];
  int32x4_t sum[8];
  int32_t pixels = 0, width = w->cols.end - w->cols.begin;
  for (uint32_t g = 0; g < groups; g++) {
    some[g] = vdupq_n_s16(0);
    sum[2 * g] = sum[2 * g + 1] = vdupq_n_s32(0);
  }
  POOL_PIXELS(
      w, x, int8_t,
      {
        pixels += width;
        if (pixels > POOL_ROW) {
          pixels = width;
          for (uint32_t g = 0; g < groups; g++) {
            sum[2 * g] = vaddw_s16(sum[2 * g], vget_low_s16(some[g]));
            sum[2 * g + 1] = vaddw_s16(sum[2 * g + 1], vget_high_s16(some[g]));
            some[g] = vdupq_n_s16(0);
          }
        }
      },
      {
        for (uint32_t g = 0; g < groups; g++) {
          some[g] = vaddw_s8(some[g], vld1_s8(from + 8 * g));
        }
      });
  for (uint32_t g = 0; g < groups; g++) {
    sum[2 * g] = vaddw_s16(sum[2 * g], vget_low_s16(some[g]));
    sum[2 * g + 1] = vaddw_s16(sum[2 * g + 1], vget_high_s16(some[g]));
    int16x8_t words = vcombine_s16(pool_round(k, sum[2 * g]), pool_round(k, sum[2 * g + 1]));
    vst1_s8((int8_t *)y + 8 * g, vmovn_s16(words));
  }
}

POOL_INLINE void pool_s16(const pool_window *w, const pool_rounding *k, const uint8_t *x,
                          uint8_t *y, uint32_t groups) {
  int32x4_t sum[4];
  for (uint32_t g = 0; g < groups; g++) {
    sum[g] = vdupq_n_s32(0);
  }
  POOL_PIXELS(w, x, int16_t, , {
    for (uint32_t g = 0; g < groups; g++) {
      sum[g] = vaddw_s16(sum[g], vld1_s16(from + 4 * g));
    }
  });
  for (uint32_t g = 0; g < groups; g++) {
    vst1_s16((int16_t *)(void *)y + 4 * g, pool_round(k, sum[g]));
  }
}

POOL_INLINE void pool_f32(const pool_window *w, const pool_rounding *k, const uint8_t *x,
                          uint8_t *y, uint32_t groups) {
  float32x4_t sum[4];
  (void)k;
  const float area = (float)(w->rows.length * w->cols.length);
  for (uint32_t g = 0; g < groups; g++) {
    sum[g] = vdupq_n_f32(0.0f);
  }
  POOL_PIXELS(w, x, float, , {
    for (uint32_t g = 0; g < groups; g++) {
      sum[g] = vaddq_f32(sum[g], vld1q_f32(from + 4 * g));
    }
  });
  for (uint32_t g = 0; g < groups; g++) {
    float some[4];
    vst1q_f32(some, sum[g]);
    for (uint32_t l = 0; l < 4; l++) {
      ((float *)(void *)y)[4 * g + l] = some[l] / area;
    }
  }
}

/* All channels of one window; the last group overlaps the one before, for no bytes are read or
 * written behind the last channel. */
#define POOL_KERNEL(type, dtype, group)                                                            \
  static void pool_channels_##type(const pool_window *w, const uint8_t *x, uint8_t *y) {           \
    const pool_rounding k = pool_open_rounding(w);                                                 \
    uint32_t c = 0, channels = w->job->in.c, item = dmt_item(dtype);                               \
    for (; channels - c >= 4 * (group); c += 4 * (group)) {                                        \
      pool_##type(w, &k, x + c * item, y + c * item, 4);                                           \
    }                                                                                              \
    while (c < channels) {                                                                         \
      c = channels - c < (group) ? channels - (group) : c;                                         \
      pool_##type(w, &k, x + c * item, y + c * item, 1);                                           \
      c += (group);                                                                                \
    }                                                                                              \
  }                                                                                                \
  static void pool_task_##type(void *argument, uint32_t index) {                                   \
    const pool_job *job = argument;                                                                \
    const dmt_grid *in = &job->in, *out = &job->out;                                               \
    dmt_range all = dmt_share(out->n * out->h, index, job->tasks);                                 \
    pool_window w = {job, {0, 0, 0}, {0, 0, 0}, 0, NULL};                                          \
    for (uint32_t i = all.begin; i < all.end; i++) {                                               \
      uint32_t n = i / out->h, row = i % out->h;                                                   \
      pool_span rows = pool_span_at(job, 0, row);                                                  \
      for (uint32_t col = 0; col < out->w; col++) {                                                \
        w = pool_open_window(job, rows, pool_span_at(job, 1, col), &w);                            \
        pool_channels_##type(&w, in->data + (size_t)n * in->sample, dmt_at(out, n, row, col));     \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
  static void pool_run_##type(const dmt_call *call) {                                              \
    pool_job job;                                                                                  \
    pool_open(call, &job);                                                                         \
    dmt_parallel(call, job.tasks, pool_task_##type, &job);                                         \
  }

POOL_KERNEL(f32, DMT_F32, 4)
POOL_KERNEL(s8, DMT_S8, 8)
POOL_KERNEL(s16, DMT_S16, 4)

#endif

const dmt_operator dmt_op_pool_average_f32_neon = {
    DMT_OP_POOL_AVERAGE, DMT_F32, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_f32),
};
const dmt_operator dmt_op_pool_average_s8_neon = {
    DMT_OP_POOL_AVERAGE, DMT_S8, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_s8),
};
const dmt_operator dmt_op_pool_average_s16_neon = {
    DMT_OP_POOL_AVERAGE, DMT_S16, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_s16),
};
