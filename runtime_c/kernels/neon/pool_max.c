/* Max pooling: up to four registers of channels of one window at a time. */
#include "../generic/dmt_pooling.h"
#include "dmt_neon.h"

/* Channels of the narrowest register that each type has. */
enum { POOL_LEAST_F32 = 4, POOL_LEAST_S8 = 8, POOL_LEAST_S16 = 4 };

static dmt_status pool_check(const dmt_call *call) {
  dmt_status status = pool_max_check(call);
  uint32_t least = call->dtype == DMT_F32  ? POOL_LEAST_F32
                   : call->dtype == DMT_S8 ? POOL_LEAST_S8
                                           : POOL_LEAST_S16;
  return status == DMT_OK && call->out.dim[1] < least ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define POOL_INLINE static inline __attribute__((always_inline))

/* What exceeds takes over, as in portable C: neither NaN nor another zero does. */
POOL_INLINE float32x4_t pool_larger_f32(float32x4_t a, float32x4_t b) {
  return vbslq_f32(dmt_greater_f32(b, a), b, a);
}

/* The maxima of `quads` registers of channels. */
#define POOL_BLOCK(name, element, vector, lanes, load, store, lowest, larger)                      \
  POOL_INLINE void pool_##name(const dmt_grid *in, const uint8_t *x, pool_span rows,               \
                               pool_span cols, uint8_t *y, uint32_t quads) {                       \
    vector most[4];                                                                                \
    for (uint32_t q = 0; q < quads; q++) {                                                         \
      most[q] = lowest;                                                                            \
    }                                                                                              \
    for (int32_t r = rows.begin; r < rows.end; r++) {                                              \
      const uint8_t *at = x + (size_t)r * in->row + (size_t)cols.begin * in->pixel;                \
      for (int32_t c = cols.begin; c < cols.end; c++, at += in->pixel) {                           \
        const element *from = (const element *)(const void *)at;                                   \
        for (uint32_t q = 0; q < quads; q++) {                                                     \
          most[q] = larger(most[q], load(from + (lanes) * q));                                     \
        }                                                                                          \
      }                                                                                            \
    }                                                                                              \
    for (uint32_t q = 0; q < quads; q++) {                                                         \
      store((element *)(void *)y + (lanes) * q, most[q]);                                          \
    }                                                                                              \
  }

POOL_BLOCK(q_s8, int8_t, int8x16_t, 16, vld1q_s8, vst1q_s8, vdupq_n_s8(INT8_MIN), vmaxq_s8)
POOL_BLOCK(d_s8, int8_t, int8x8_t, 8, vld1_s8, vst1_s8, vdup_n_s8(INT8_MIN), vmax_s8)
POOL_BLOCK(q_s16, int16_t, int16x8_t, 8, vld1q_s16, vst1q_s16, vdupq_n_s16(INT16_MIN), vmaxq_s16)
POOL_BLOCK(d_s16, int16_t, int16x4_t, 4, vld1_s16, vst1_s16, vdup_n_s16(INT16_MIN), vmax_s16)
POOL_BLOCK(q_f32, float, float32x4_t, 4, vld1q_f32, vst1q_f32, vdupq_n_f32(-3.402823466e38f),
           pool_larger_f32)

/* All channels of one window; the last block overlaps the one before, for no bytes are read or
 * written behind the last channel. `wide` and `narrow`: channels of a register of each kind. */
#define POOL_KERNEL(type, dtype, wide, narrow, wide_block, narrow_block)                           \
  static void pool_window_##type(const dmt_grid *in, const uint8_t *x, pool_span rows,             \
                                 pool_span cols, uint8_t *y) {                                     \
    uint32_t c = 0, item = dmt_item(dtype);                                                        \
    for (; in->c - c >= 4 * (wide); c += 4 * (wide)) {                                             \
      wide_block(in, x + c * item, rows, cols, y + c * item, 4);                                   \
    }                                                                                              \
    for (; in->c - c >= (wide); c += (wide)) {                                                     \
      wide_block(in, x + c * item, rows, cols, y + c * item, 1);                                   \
    }                                                                                              \
    while (c < in->c) {                                                                            \
      c = in->c - c < (narrow) ? in->c - (narrow) : c;                                             \
      narrow_block(in, x + c * item, rows, cols, y + c * item, 1);                                 \
      c += (narrow);                                                                               \
    }                                                                                              \
  }                                                                                                \
  static void pool_task_##type(void *argument, uint32_t index) {                                   \
    const pool_job *job = argument;                                                                \
    const dmt_grid *in = &job->in, *out = &job->out;                                               \
    dmt_range all = dmt_share(out->n * out->h, index, job->tasks);                                 \
    for (uint32_t i = all.begin; i < all.end; i++) {                                               \
      uint32_t n = i / out->h, row = i % out->h;                                                   \
      pool_span rows = pool_span_at(job, 0, row);                                                  \
      for (uint32_t col = 0; col < out->w; col++) {                                                \
        pool_window_##type(in, in->data + (size_t)n * in->sample, rows, pool_span_at(job, 1, col), \
                           dmt_at(out, n, row, col));                                              \
      }                                                                                            \
    }                                                                                              \
  }                                                                                                \
  static void pool_run_##type(const dmt_call *call) {                                              \
    pool_job job;                                                                                  \
    pool_open(call, &job);                                                                         \
    dmt_parallel(call, job.tasks, pool_task_##type, &job);                                         \
  }

POOL_KERNEL(f32, DMT_F32, 4, POOL_LEAST_F32, pool_q_f32, pool_q_f32)
POOL_KERNEL(s8, DMT_S8, 16, POOL_LEAST_S8, pool_q_s8, pool_d_s8)
POOL_KERNEL(s16, DMT_S16, 8, POOL_LEAST_S16, pool_q_s16, pool_d_s16)

#endif

const dmt_operator dmt_op_pool_max_f32_neon = {
    DMT_OP_POOL_MAX, DMT_F32, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_f32),
};
const dmt_operator dmt_op_pool_max_s8_neon = {
    DMT_OP_POOL_MAX, DMT_S8, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_s8),
};
const dmt_operator dmt_op_pool_max_s16_neon = {
    DMT_OP_POOL_MAX, DMT_S16, 1, pool_check, NULL, DMT_NEON_RUN(pool_run_s16),
};
