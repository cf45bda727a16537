/* A function of one int16 variable from a table, sixteen values at a time. */
#include "../generic/dmt_lookup.h"
#include "dmt_dense.h"
#include "dmt_neon.h"

#ifdef DMT_NEON

typedef struct {
  const int16_t *table;
  int16_t right;
} lookup_job;

/* The two entries around eight values, by way of the core's registers. */
static inline __attribute__((always_inline)) int16x8x2_t lookup_pairs(const lookup_job *job,
                                                                      uint16x8_t whole) {
  uint16_t index[8];
  uint32_t pair[8];
  vst1q_u16(index, whole);
  for (uint32_t l = 0; l < 8; l++) {
    memcpy(&pair[l], job->table + index[l], sizeof *pair);
  }
  return vld2q_s16((const int16_t *)(const void *)pair);
}

static inline __attribute__((always_inline)) int16x4_t lookup_line(int16x4_t t, int16x4_t next,
                                                                   uint16x4_t part,
                                                                   int32x4_t right) {
  int32x4_t f = vreinterpretq_s32_u32(vmovl_u16(part));
  return vmovn_s32(vaddw_s16(vrshlq_s32(vmulq_s32(vsubl_s16(next, t), f), right), t));
}

static void lookup_dense(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from) {
  const lookup_job *job = context;
  const int16_t *x = (const int16_t *)(const void *)from[0];
  int16_t *y = (int16_t *)(void *)to;
  const int16x8_t down = vdupq_n_s16((int16_t)-job->right);
  const int32x4_t right = vdupq_n_s32(-job->right);
  const uint16x8_t mask = vdupq_n_u16((uint16_t)((1u << job->right) - 1));
  for (uint32_t i = 0; i < n; i += 8) {
    uint16x8_t u = veorq_u16(vreinterpretq_u16_s16(vld1q_s16(x + i)), vdupq_n_u16(0x8000));
    int16x8x2_t t = lookup_pairs(job, vshlq_u16(u, down));
    uint16x8_t part = vandq_u16(u, mask);
    int16x4_t a =
        lookup_line(vget_low_s16(t.val[0]), vget_low_s16(t.val[1]), vget_low_u16(part), right);
    int16x4_t b =
        lookup_line(vget_high_s16(t.val[0]), vget_high_s16(t.val[1]), vget_high_u16(part), right);
    vst1q_s16(y + i, vcombine_s16(a, b));
  }
}

static void lookup_each(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  dmt_dense_line(context, n, at, step, 1, 2, 2, lookup_dense);
}

static void lookup_run(const dmt_call *call) {
  const lookup_job job = {(const int16_t *)(const void *)(call->data.data + dmt_word(call, 0)),
                          (int16_t)(16 - dmt_word(call, 8))};
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_go(&loop, call, lookup_each, &job);
}

#endif

const dmt_operator dmt_op_lookup_s16_neon = {
    DMT_OP_LOOKUP, DMT_S16, 1, lookup_check, NULL, DMT_NEON_RUN(lookup_run),
};
