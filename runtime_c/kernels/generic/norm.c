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

/* Up to eight neighbours: from where to where, and what was found of each. */
typedef struct {
  const uint8_t *x;
  uint8_t *y;
  size_t x_step, y_step;
  uint32_t n, square, divide;
  float mean[NORM_LANES], deviation[NORM_LANES], sum[NORM_LANES];
  const float *scale; /* of each channel, `scale_step` apart; NULL: 1 */
  uint32_t scale_step;
} norm_strip;

static norm_strip norm_strip_at(uint32_t i, uint32_t n, uint8_t *const *at, const size_t *step) {
  norm_strip strip = {.x = at[1] + i * step[1], .y = at[0] + i * step[0]};
  strip.x_step = step[1];
  strip.y_step = step[0];
  strip.n = n - i < NORM_LANES ? n - i : NORM_LANES;
  return strip;
}

/* The strip's sums of x - mean, or of its squares: of a pixel's channels, of a row, of all rows. */
static __attribute__((noinline)) void norm_sum(const norm_job *job, norm_strip *s) {
  float pixel[NORM_LANES], row[NORM_LANES];
  memset(s->sum, 0, sizeof s->sum);
  for (uint32_t h = 0; h < job->h; h++) {
    memset(row, 0, sizeof row);
    for (uint32_t w = 0; w < job->w; w++) {
      const uint8_t *x = s->x + h * job->x[0] + w * job->x[1];
      memset(pixel, 0, sizeof pixel);
      for (uint32_t c = 0; c < job->c; c++, x += job->x[2]) {
        for (uint32_t l = 0; l < s->n; l++) {
          float v = *(const float *)(const void *)(x + l * s->x_step) - s->mean[l];
          pixel[l] += s->square ? v * v : v;
        }
      }
      for (uint32_t l = 0; l < NORM_LANES; l++) {
        row[l] += pixel[l];
      }
    }
    for (uint32_t l = 0; l < NORM_LANES; l++) {
      s->sum[l] += row[l];
    }
  }
}

/* y = (x - mean) / deviation * scale, what there is of it */
static __attribute__((noinline)) void norm_apply(const norm_job *job, const norm_strip *s) {
  for (uint32_t h = 0; h < job->h; h++) {
    for (uint32_t w = 0; w < job->w; w++) {
      const uint8_t *x = s->x + h * job->x[0] + w * job->x[1];
      uint8_t *y = s->y + h * job->y[0] + w * job->y[1];
      for (uint32_t c = 0; c < job->c; c++, x += job->x[2], y += job->y[2]) {
        for (uint32_t l = 0; l < s->n; l++) {
          float v = *(const float *)(const void *)(x + l * s->x_step) - s->mean[l];
          v = s->divide ? v / s->deviation[l] : v;
          v = s->scale != NULL ? v * s->scale[c * s->scale_step] : v;
          *(float *)(void *)(y + l * s->y_step) = v;
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
  float count = (float)(job->h * job->w * job->c);
  for (uint32_t i = 0; i < n; i += NORM_LANES) {
    norm_strip s = norm_strip_at(i, n, at, step);
    norm_sum(job, &s);
    for (uint32_t l = 0; l < s.n; l++) {
      s.mean[l] = s.sum[l] / count;
    }
    s.square = s.divide = job->variance;
    if (job->variance) {
      norm_sum(job, &s);
    }
    for (uint32_t l = 0; l < s.n; l++) {
      s.deviation[l] = dmt_sqrt(s.sum[l] / count) + job->eps;
    }
    norm_apply(job, &s);
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
  const norm_job *job = context;
  const dmt_call *call = job->call;
  uint32_t count = dmt_word(call, 8);
  for (uint32_t i = 0; i < n; i += NORM_LANES) {
    norm_strip s = norm_strip_at(i, n, at, step);
    s.square = s.divide = 1;
    s.scale = (const float *)(const void *)dmt_array(call, dmt_word(call, 12), 0, count);
    s.scale_step = count > 1;
    norm_sum(job, &s);
    for (uint32_t l = 0; l < s.n; l++) {
      s.deviation[l] = dmt_sqrt(job->eps + s.sum[l]);
    }
    norm_apply(job, &s);
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

/* Bytes from the first pixel of the sum to pixel i. */
static size_t normalize_pixel(const norm_job *job, const size_t *stride, uint32_t i) {
  return i / job->w * stride[0] + i % job->w * stride[1];
}

static uint64_t normalize_squares(const norm_job *job, const uint8_t *x) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < job->h * job->w; i++) {
    const uint8_t *at = x + normalize_pixel(job, job->x, i);
    for (uint32_t c = 0; c < job->c; c++) {
      int64_t d = normalize_centred(job->call, at + c * job->x[2]);
      sum += (uint64_t)(d * d);
    }
  }
  return sum;
}

static void normalize_one(const norm_job *job, const uint8_t *x, uint8_t *y) {
  const dmt_call *call = job->call;
  uint32_t count = dmt_word(call, 8), arrays = dmt_word(call, 12), step = count > 1, half;
  const int32_t *m = dmt_array(call, arrays, 0, count), *left = dmt_array(call, arrays, 1, count);
  const int32_t *right = dmt_array(call, arrays, 2, count);
  int32_t z = call->out.zero_point, low = dmt_signed(call, 28) - z, high = dmt_signed(call, 32) - z;
  int32_t factor = normalize_factor(call, dmt_word(call, 24) + normalize_squares(job, x), &half);
  for (uint32_t i = 0; i < job->h * job->w; i++) {
    const uint8_t *from = x + normalize_pixel(job, job->x, i);
    uint8_t *to = y + normalize_pixel(job, job->y, i);
    for (uint32_t c = 0; c < job->c; c++) {
      int32_t a = normalize_unit(normalize_centred(call, from + c * job->x[2]), factor, half);
      int32_t q = dmt_rq(a, m[c * step], left[c * step], right[c * step]);
      void *at = to + c * job->y[2];
      q = z + dmt_clamp(q, low, high);
      if (call->dtype == DMT_S8) {
        *(int8_t *)at = (int8_t)q;
      } else {
        *(int16_t *)at = (int16_t)q;
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
