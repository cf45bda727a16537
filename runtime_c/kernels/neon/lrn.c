/* Local response normalisation of integers across channels, eight at a time. */
#include "../generic/dmt_lrn.h"
#include "dmt_neon.h"

/* Channels whose squares stand on the stack, and the largest half of a window. */
enum { LRN_RUN = 64, LRN_HALF = 8, LRN_ROOM = LRN_RUN + 2 * LRN_HALF };

static dmt_status lrn_across_check(const dmt_call *call) {
  dmt_status status = lrn_check(call);
  int wide = dmt_word(call, 0) != LRN_ACROSS || dmt_word(call, 4) > 2 * LRN_HALF + 1;
  return status == DMT_OK && wide ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

#define LRN_EACH for (uint32_t q = 0; q < 4; q++)

typedef struct {
  const lrn_job *job;
  const int16_t *table;
  int32_t bits, shift, multiplier, left, right, zero, low, high;
} lrn_constants;

static lrn_constants lrn_read(const lrn_job *job) {
  const dmt_call *call = job->call;
  lrn_constants k = {job,
                     (const int16_t *)(const void *)(call->data.data + dmt_word(call, 20)),
                     dmt_signed(call, 24),
                     dmt_signed(call, 28),
                     dmt_signed(call, 32),
                     dmt_signed(call, 36),
                     dmt_signed(call, 40),
                     call->out.zero_point,
                     dmt_signed(call, 44),
                     dmt_signed(call, 48)};
  return k;
}

/* x - z of the next n channels, then zeros. */
static inline int16x8_t lrn_load_s8(const uint8_t *from, uint32_t n, int8_t zero) {
  int8_t some[8];
  int8x8_t z = vdup_n_s8(zero);
  if (n >= 8) {
    return vsubl_s8(vld1_s8((const int8_t *)from), z);
  }
  vst1_s8(some, z);
  memcpy(some, from, n);
  return vsubl_s8(vld1_s8(some), z);
}

static inline int16x8_t lrn_load_s16(const uint8_t *from, uint32_t n) {
  int16_t some[8] = {0};
  if (n >= 8) {
    return vld1q_s16((const int16_t *)(const void *)from);
  }
  memcpy(some, from, n * sizeof *some);
  return vld1q_s16(some);
}

static inline int16x8_t lrn_load(const lrn_constants *k, const uint8_t *from, uint32_t c,
                                 uint32_t dtype) {
  uint32_t channels = k->job->in.c, n = c < channels ? channels - c : 0;
  return dtype == DMT_S8 ? lrn_load_s8(from + c, n, (int8_t)k->job->call->in[0].zero_point)
                         : lrn_load_s16(from + (size_t)c * 2, n);
}

/* The shifted squares of channels `from` to `end`, eight at a time, and zeros around the tensor. */
static inline void lrn_squares(const lrn_constants *k, const uint8_t *x, uint32_t begin,
                               int32_t *room, uint32_t dtype) {
  const int32x4_t down = vdupq_n_s32(-k->shift), none = vdupq_n_s32(0);
  for (uint32_t i = 0; i < LRN_ROOM; i += 8) {
    uint32_t c = begin + i - LRN_HALF; /* wraps before channel 0 */
    int32x4_t low = none, high = none;
    if (c < k->job->in.c) {
      int16x8_t d = lrn_load(k, x, c, dtype);
      low = vrshlq_s32(vmull_s16(vget_low_s16(d), vget_low_s16(d)), down);
      high = vrshlq_s32(vmull_s16(vget_high_s16(d), vget_high_s16(d)), down);
    }
    vst1q_s32(room + i, low);
    vst1q_s32(room + i + 4, high);
  }
}

/* Of sixteen sums around room[0]: where the two table entries on their leading bits stand, and how
 * far it is from the first to the second, in 2^-15. */
static inline void lrn_places(const lrn_constants *k, const int32_t *room, uint32_t *index,
                              int32_t *fraction) {
  uint32x4_t sum[4], whole[4], part[4];
  int32x4_t e[4];
  const int32_t *at = room - k->job->half;
  LRN_EACH sum[q] = vreinterpretq_u32_s32(vld1q_s32(at + 4 * q));
  for (int32_t j = 0; j < 2 * k->job->half; j++) {
    at++;
    LRN_EACH sum[q] = vaddq_u32(sum[q], vreinterpretq_u32_s32(vld1q_s32(at + 4 * q)));
  }
  LRN_EACH e[q] = vreinterpretq_s32_u32(vclzq_u32(sum[q]));
  LRN_EACH e[q] = vsubq_s32(vdupq_n_s32(31 - k->bits), e[q]);
  LRN_EACH e[q] = vmaxq_s32(e[q], vdupq_n_s32(0));
  LRN_EACH whole[q] = vshlq_u32(sum[q], vnegq_s32(e[q]));
  LRN_EACH part[q] = vsubq_u32(sum[q], vshlq_u32(whole[q], e[q]));
  LRN_EACH part[q] = vshlq_u32(part[q], vsubq_s32(vdupq_n_s32(15), e[q]));
  LRN_EACH vst1q_s32(fraction + 4 * q, vreinterpretq_s32_u32(part[q]));
  LRN_EACH {
    int32x4_t first = vshlq_s32(e[q], vdupq_n_s32(k->bits));
    vst1q_u32(index + 4 * q, vaddq_u32(whole[q], vreinterpretq_u32_s32(first)));
  }
}

/* FORMAT.md: sixteen lines between two entries each, the second in the upper half of a pair. */
static inline void lrn_factors(const uint32_t *pair, const int32_t *fraction, int32x4_t *factor) {
  int16x4_t t[4];
  LRN_EACH factor[q] = vreinterpretq_s32_u32(vld1q_u32(pair + 4 * q));
  LRN_EACH t[q] = vmovn_s32(factor[q]);
  LRN_EACH factor[q] = vsubl_s16(vshrn_n_s32(factor[q], 16), t[q]);
  LRN_EACH factor[q] = vmulq_s32(factor[q], vld1q_s32(fraction + 4 * q));
  LRN_EACH factor[q] = vrshrq_n_s32(factor[q], 15);
  LRN_EACH factor[q] = vaddw_s16(factor[q], t[q]);
}

/* Of d * factor. */
static inline void lrn_rescale(const lrn_constants *k, int32x4_t *a) {
  const int32x4_t left = vdupq_n_s32(k->left), right = vdupq_n_s32(-k->right);
  const int32x4_t low = vdupq_n_s32(k->low - k->zero), high = vdupq_n_s32(k->high - k->zero);
  LRN_EACH a[q] = vqshlq_s32(a[q], left);
  LRN_EACH a[q] = vqrdmulhq_n_s32(a[q], k->multiplier);
  LRN_EACH a[q] = vrshlq_s32(a[q], right);
  LRN_EACH a[q] = vmaxq_s32(a[q], low);
  LRN_EACH a[q] = vminq_s32(a[q], high);
  LRN_EACH a[q] = vaddq_s32(a[q], vdupq_n_s32(k->zero));
}

static inline void lrn_store(uint8_t *to, uint32_t n, int16x8_t y, uint32_t dtype) {
  int16_t some[8];
  if (dtype == DMT_S8) {
    vst1_s8(n >= 8 ? (int8_t *)to : (int8_t *)some, vmovn_s16(y));
  } else {
    vst1q_s16(n >= 8 ? (int16_t *)(void *)to : some, y);
  }
  if (n < 8) {
    memcpy(to, some, n * dmt_item(dtype));
  }
}

/* At most LRN_RUN channels from `begin` on. */
static inline void lrn_run_of(const lrn_constants *k, const uint8_t *x, uint8_t *y, uint32_t begin,
                              uint32_t dtype) {
  int32_t room[LRN_ROOM], fraction[LRN_RUN];
  uint32_t index[LRN_RUN], channels = k->job->in.c, item = dmt_item(dtype);
  lrn_squares(k, x, begin, room, dtype);
  for (uint32_t i = 0; i < LRN_RUN && begin + i < channels; i += 16) {
    lrn_places(k, room + LRN_HALF + i, index + i, fraction + i);
    for (uint32_t l = i; l < i + 16; l++) {
      memcpy(&index[l], k->table + index[l], sizeof *index); /* now both entries stand there */
    }
  }
  for (uint32_t i = 0; i < LRN_RUN && begin + i < channels; i += 16) {
    uint32_t c = begin + i;
    int32x4_t a[4];
    int16x8_t d[2] = {lrn_load(k, x, c, dtype), lrn_load(k, x, c + 8, dtype)};
    lrn_factors(index + i, fraction + i, a);
    LRN_EACH a[q] =
        vmulq_s32(a[q], vmovl_s16(q % 2 ? vget_high_s16(d[q / 2]) : vget_low_s16(d[q / 2])));
    lrn_rescale(k, a);
    for (uint32_t h = 0; h < 2 && c < channels; h++, c += 8) {
      lrn_store(y + (size_t)c * item, channels - c,
                vcombine_s16(vmovn_s32(a[2 * h]), vmovn_s32(a[2 * h + 1])), dtype);
    }
  }
}

static inline void lrn_rows(const lrn_job *job, uint32_t index, uint32_t dtype) {
  const lrn_constants k = lrn_read(job);
  dmt_range rows = dmt_share(job->in.n * job->in.h, index, job->tasks);
  for (uint32_t i = rows.begin; i < rows.end; i++) {
    for (uint32_t x = 0; x < job->in.w; x++) {
      const uint8_t *from = dmt_at(&job->in, i / job->in.h, i % job->in.h, x);
      uint8_t *to = dmt_at(&job->out, i / job->in.h, i % job->in.h, x);
      for (uint32_t c = 0; c < job->in.c; c += LRN_RUN) {
        lrn_run_of(&k, from, to, c, dtype);
      }
    }
  }
}

#define LRN(type, dtype)                                                                           \
  static void lrn_task_##type(void *argument, uint32_t index) {                                    \
    lrn_rows(argument, index, dtype);                                                              \
  }                                                                                                \
  static void lrn_run_##type(const dmt_call *call) {                                               \
    lrn_job job;                                                                                   \
    lrn_open(call, &job);                                                                          \
    dmt_parallel(call, job.tasks, lrn_task_##type, &job);                                          \
  }

LRN(s8, DMT_S8)
LRN(s16, DMT_S16)

#endif

const dmt_operator dmt_op_lrn_s8_neon = {
    DMT_OP_LRN, DMT_S8, 1, lrn_across_check, NULL, DMT_NEON_RUN(lrn_run_s8),
};
const dmt_operator dmt_op_lrn_s16_neon = {
    DMT_OP_LRN, DMT_S16, 1, lrn_across_check, NULL, DMT_NEON_RUN(lrn_run_s16),
};
