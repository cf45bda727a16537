/* Normalizations by sums over whole axes: MVN and Normalize. */
#include "dmt_fixed.h"
#include "dmt_loop.h"
#include "dmt_math.h"

#define NORM_LANES 8u /* neighbours whose sums are made together */

/* What a sum runs over: rows, columns and channels; axes that it does not have count 1. */
typedef struct {
  const dmt_call *call;
  uint32_t h, w, c;
  size_t x[3], y[3]; /* strides of the three in the input and the output */
  float eps;
  uint32_t variance;
} norm_job;

/* Takes the axes from `first` on out of the loop's views and into the job. */
static void norm_axes(norm_job *job, dmt_view *x, dmt_view *y, uint32_t first, uint32_t end) {
  uint32_t *dim[3] = {&job->h, &job->w, &job->c};
  static const uint32_t axis[3] = {2, 3, 1};
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t a = axis[i];
    int inside = a >= first && a < end;
    *dim[i] = inside ? x->dim[a] : 1;
    job->x[i] = inside ? x->stride[a] : 0;
    job->y[i] = inside ? y->stride[a] : 0;
    if (inside) {
      x->dim[a] = y->dim[a] = 1;
    }
  }
}

static __attribute__((noinline)) void norm_go(norm_job *job, const dmt_call *call, uint32_t first,
                                              uint32_t end, dmt_line line) {
  dmt_view x = call->in[0], y = call->out;
  dmt_loop loop;
  job->call = call;
  norm_axes(job, &x, &y, first, end);
  dmt_loop_open(&loop, &y);
  dmt_loop_view(&loop, &y);
  dmt_loop_view(&loop, &x);
  dmt_loop_go(&loop, call, line, job);
}

static float norm_at(const uint8_t *x) { return *(const float *)(const void *)x; }

/* Sums of x - mean, or of its squares: of the channels of a pixel, of a row, of all rows. */
static __attribute__((noinline)) void norm_sum(const norm_job *job, const uint8_t *x, size_t step,
                                               uint32_t n, const float *mean, int square,
                                               float *total) {
  for (uint32_t l = 0; l < n; l++) {
    total[l] = 0.0f;
  }
  for (uint32_t h = 0; h < job->h; h++) {
    float row[NORM_LANES] = {0};
    for (uint32_t w = 0; w < job->w; w++) {
      const uint8_t *pixel = x + h * job->x[0] + w * job->x[1];
      float sum[NORM_LANES] = {0};
      for (uint32_t c = 0; c < job->c; c++, pixel += job->x[2]) {
        for (uint32_t l = 0; l < n; l++) {
          float v = norm_at(pixel + l * step) - mean[l];
          sum[l] += square ? v * v : v;
        }
      }
      for (uint32_t l = 0; l < n; l++) {
        row[l] += sum[l];
      }
    }
    for (uint32_t l = 0; l < n; l++) {
      total[l] += row[l];
    }
  }
}

/* y = (x - mean) / deviation * scale, what is NULL left out; one scale, or one a channel. */
static __attribute__((noinline)) void norm_apply(const norm_job *job, const uint8_t *x,
                                                 size_t x_step, uint8_t *y, size_t y_step,
                                                 uint32_t n, const float *mean,
                                                 const float *deviation, const float *scale,
                                                 uint32_t scales) {
  for (uint32_t h = 0; h < job->h; h++) {
    for (uint32_t w = 0; w < job->w; w++) {
      const uint8_t *from = x + h * job->x[0] + w * job->x[1];
      uint8_t *to = y + h * job->y[0] + w * job->y[1];
      for (uint32_t c = 0; c < job->c; c++, from += job->x[2], to += job->y[2]) {
        for (uint32_t l = 0; l < n; l++) {
          float v = norm_at(from + l * x_step) - mean[l];
          v = deviation != NULL ? v / deviation[l] : v;
          v = scale != NULL ? v * scale[scales == 1 ? 0 : c] : v;
          *(float *)(void *)(to + l * y_step) = v;
        }
      }
    }
  }
}

/* --- MVN --- */

static dmt_status mvn_check(const dmt_call *call) {
  int good = dmt_has(call, 1, 1, DMT_F32, 12) && dmt_same_shape(&call->in[0], &call->out) &&
             call->out.rank == 4;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void mvn_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const norm_job *job = context;
  float count = (float)job->h * (float)job->w * (float)job->c;
  for (uint32_t i = 0; i < n; i += NORM_LANES) {
    const uint8_t *x = at[1] + i * step[1];
    uint32_t some = n - i < NORM_LANES ? n - i : NORM_LANES;
    float mean[NORM_LANES] = {0}, deviation[NORM_LANES], sum[NORM_LANES];
    norm_sum(job, x, step[1], some, mean, 0, sum);
    for (uint32_t l = 0; l < some; l++) {
      mean[l] = sum[l] / count;
    }
    if (job->variance) {
      norm_sum(job, x, step[1], some, mean, 1, sum);
      for (uint32_t l = 0; l < some; l++) {
        deviation[l] = dmt_sqrt(sum[l] / count) + job->eps;
      }
    }
    norm_apply(job, x, step[1], at[0] + i * step[0], step[0], some, mean,
               job->variance ? deviation : NULL, NULL, 0);
  }
}

static void mvn_run(const dmt_call *call) {
  norm_job job = {.eps = dmt_float(call, 8), .variance = dmt_word(call, 4)};
  norm_go(&job, call, dmt_word(call, 0) ? 1 : 2, 4, mvn_line);
}

const dmt_operator dmt_op_mvn_f32 = {DMT_OP_MVN, DMT_F32, 1, mvn_check, NULL, mvn_run};

/* --- Normalize --- */

static dmt_status normalize_check(const dmt_call *call) {
  const dmt_view *y = &call->out;
  if (!dmt_has(call, 1, 1, call->dtype, 36) || !dmt_same_shape(&call->in[0], y) || y->rank < 2 ||
      y->rank > 4) {
    return DMT_E_OPERATOR;
  }
  uint32_t count = dmt_word(call, 8), channels = dmt_word(call, 12), bits = dmt_word(call, 20);
  int floats = call->dtype == DMT_F32;
  if ((count != 1 && count != y->dim[1]) ||
      !dmt_has_arrays(call, channels, floats ? 1 : 3, count)) {
    return DMT_E_OPERATOR;
  }
  if (floats) {
    return DMT_OK;
  }
  if (bits < 5 || bits > 9 || !dmt_rescales(call, channels, 0, count) ||
      !dmt_holds(call->data, dmt_word(call, 16), 2 * ((3u << (bits - 2)) + 1)) ||
      !dmt_is_range(dmt_signed(call, 28), dmt_signed(call, 32), call->dtype)) {
    return DMT_E_OPERATOR;
  }
  return DMT_OK;
}

static void normalize_line_f32(const void *context, uint32_t n, uint8_t *const *at,
                               const size_t *step) {
  static const float zero[NORM_LANES] = {0};
  const norm_job *job = context;
  const dmt_call *call = job->call;
  uint32_t count = dmt_word(call, 8);
  const float *scale = (const float *)(const void *)dmt_array(call, dmt_word(call, 12), 0, count);
  for (uint32_t i = 0; i < n; i += NORM_LANES) {
    const uint8_t *x = at[1] + i * step[1];
    uint32_t some = n - i < NORM_LANES ? n - i : NORM_LANES;
    float norm[NORM_LANES];
    norm_sum(job, x, step[1], some, zero, 1, norm);
    for (uint32_t l = 0; l < some; l++) {
      norm[l] = dmt_sqrt(job->eps + norm[l]);
    }
    norm_apply(job, x, step[1], at[0] + i * step[0], step[0], some, zero, norm, scale, count);
  }
}

static int32_t normalize_centred(const dmt_call *call, const uint8_t *x) {
  const void *at = x;
  return call->dtype == DMT_S8 ? *(const int8_t *)at - call->in[0].zero_point
                               : *(const int16_t *)at;
}

/* 1 / sqrt(s) = factor * 2^-half: a line between entries over the leading bits of s. */
static int32_t normalize_factor(const dmt_call *call, uint64_t s, uint32_t *half) {
  const int16_t *table = (const int16_t *)(const void *)(call->data.data + dmt_word(call, 16));
  uint32_t bits = dmt_word(call, 20), e = 0;
  s = s > 0 ? s : 1;
  while (s >> e > 3) {
    e += 2;
  }
  uint32_t v = (uint32_t)(e <= 30 ? s << (30 - e) : s >> (e - 30)); /* 1 to 4 times 2^30 */
  uint32_t i = (v >> (32 - bits)) - (1u << (bits - 2));
  int32_t f = (int32_t)(v >> (17 - bits) & 32767u), t = table[i];
  *half = e / 2;
  return t + (((table[i + 1] - t) * f + (1 << 14)) >> 15);
}

/* d / sqrt(s) in units of 2^-29 (nearly): no shift left overflows, for d * d is a part of s. */
static int32_t normalize_unit(int32_t d, int32_t factor, uint32_t half) {
  int32_t a = d * factor;
  return half <= 14 ? (int32_t)((uint32_t)a << (14 - half)) : dmt_rshr(a, (int32_t)half - 14);
}

static void normalize_one(const norm_job *job, const uint8_t *x, uint8_t *y) {
  const dmt_call *call = job->call;
  uint32_t count = dmt_word(call, 8), half;
  uint64_t sum = dmt_word(call, 24);
  const int32_t *m[3];
  for (uint32_t i = 0; i < 3; i++) {
    m[i] = dmt_array(call, dmt_word(call, 12), i, count);
  }
  int32_t z = call->out.zero_point, low = dmt_signed(call, 28) - z, high = dmt_signed(call, 32) - z;
  for (uint32_t h = 0; h < job->h; h++) {
    for (uint32_t w = 0; w < job->w; w++) {
      for (uint32_t c = 0; c < job->c; c++) {
        int32_t d = normalize_centred(call, x + h * job->x[0] + w * job->x[1] + c * job->x[2]);
        sum += (uint64_t)((int64_t)d * d);
      }
    }
  }
  int32_t factor = normalize_factor(call, sum, &half);
  for (uint32_t h = 0; h < job->h; h++) {
    for (uint32_t w = 0; w < job->w; w++) {
      for (uint32_t c = 0; c < job->c; c++) {
        int32_t d = normalize_centred(call, x + h * job->x[0] + w * job->x[1] + c * job->x[2]);
        void *to = y + h * job->y[0] + w * job->y[1] + c * job->y[2];
        uint32_t k = count == 1 ? 0 : c;
        int32_t q = dmt_rq(normalize_unit(d, factor, half), m[0][k], m[1][k], m[2][k]);
        q = z + dmt_clamp(q, low, high);
        if (call->dtype == DMT_S8) {
          *(int8_t *)to = (int8_t)q;
        } else {
          *(int16_t *)to = (int16_t)q;
        }
      }
    }
  }
}

static void normalize_line_int(const void *context, uint32_t n, uint8_t *const *at,
                               const size_t *step) {
  for (uint32_t i = 0; i < n; i++) {
    normalize_one(context, at[1] + i * step[1], at[0] + i * step[0]);
  }
}

static void normalize_run(const dmt_call *call) {
  norm_job job = {.eps = dmt_float(call, 4)};
  norm_go(&job, call, 1, dmt_word(call, 0) ? call->out.rank : 2,
          call->dtype == DMT_F32 ? normalize_line_f32 : normalize_line_int);
}

#define NORMALIZE(type, dtype)                                                                     \
  const dmt_operator dmt_op_normalize_##type = {                                                   \
      DMT_OP_NORMALIZE, dtype, 1, normalize_check, NULL, normalize_run,                            \
  };

NORMALIZE(f32, DMT_F32)
NORMALIZE(s8, DMT_S8)
NORMALIZE(s16, DMT_S16)
