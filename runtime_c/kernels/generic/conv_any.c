/* Convolution and deconvolution of every type and packing, one output at a time.
 *
 * For what the fast kernels do not take: grouped convolutions of few channels, mostly. Also the
 * shortest statement of what they compute.
 */
#include "dmt_conv_int.h"

/* Weights of output channel o, for input i of tap t: w[(t * ig + i) * step]. */
typedef struct {
  size_t first, step;
} conv_any_weights;

static conv_any_weights conv_any_find(const dmt_conv *c, uint32_t o) {
  size_t taps = dmt_taps(c), group = o / c->og, og = o % c->og;
  conv_any_weights plain = {o * taps, 1};
  conv_any_weights lanes = {(group * c->blocks + og / 8) * taps * 8 + og % 8, 8};
  conv_any_weights depthwise = {o, dmt_up8(c->out.c)};
  return c->packing == DMT_PACKING_PLAIN   ? plain
         : c->packing == DMT_PACKING_LANES ? lanes
                                           : depthwise;
}

/* Called for each tap of an output: the inputs, NULL outside, and the tap's position. */
#define CONV_ANY_TAPS(c, s, pixel, o, body)                                                        \
  for (int32_t kh = 0; kh < (c)->y.kernel; kh++) {                                                 \
    int32_t y = dmt_tap_at(&(c)->y, (s)->y, kh);                                                   \
    for (int32_t kw = 0; kw < (c)->x.kernel; kw++) {                                               \
      int32_t x = dmt_tap_at(&(c)->x, (s)->x + (pixel), kw);                                       \
      size_t tap = ((size_t)(uint32_t)kh * (uint32_t)(c)->x.kernel + (uint32_t)kw) * (c)->ig;      \
      const void *at = NULL;                                                                       \
      if (y >= 0 && x >= 0) {                                                                      \
        at = dmt_at(&(c)->in, (s)->n, (uint32_t)y, (uint32_t)x) +                                  \
             (size_t)((o) / (c)->og) * (c)->ig * sizeof(*in);                                      \
      }                                                                                            \
      in = at;                                                                                     \
      body                                                                                         \
    }                                                                                              \
  }

/* Packing 5: where the weight for input i of tap t stands. */
static size_t conv_any_dot(const dmt_conv *c, uint32_t o, size_t tap, uint32_t i) {
  dmt_dots d = dmt_dots_of(c);
  size_t block = o / c->og * ((c->og + 3) / 4) + o % c->og / 4, run = (size_t)d.run;
  size_t row = c->ig < 8 ? 0 : tap, at = c->ig < 8 ? tap * c->ig + i : i, start = at / 16 * 16;
  size_t length = run - start < 16 ? 8 : 16;
  return ((block * (size_t)d.rows + row) * run + start) * 4 + o % c->og % 4 * length + at - start;
}

static float conv_any_sum_f32(const dmt_conv *c, const dmt_segment *s, uint32_t pixel, uint32_t o) {
  conv_any_weights find = conv_any_find(c, o);
  const float *w = (const float *)(const void *)c->weights + find.first, *in;
  const float *bias = (const float *)(const void *)c->channels;
  float sum = bias[o];
  CONV_ANY_TAPS(c, s, pixel, o, {
    for (uint32_t i = 0; in != NULL && i < c->ig; i++) {
      sum += in[i] * w[(tap + i) * find.step];
    }
  })
  return sum;
}

static int32_t conv_any_sum_s8(const dmt_conv *c, const dmt_segment *s, uint32_t pixel, uint32_t o,
                               int32_t zero) {
  conv_any_weights find = conv_any_find(c, o);
  const int8_t *w = (const int8_t *)c->weights, *in;
  int32_t sum = c->channels[o];
  int32_t less = c->y.transposed ? zero : 0, outside = c->y.transposed ? 0 : zero;
  CONV_ANY_TAPS(c, s, pixel, o, {
    for (uint32_t i = 0; i < c->ig; i++) {
      int32_t value = in != NULL ? in[i] - less : outside;
      size_t index = c->packing == DMT_PACKING_DOTS ? conv_any_dot(c, o, tap / c->ig, i)
                                                    : find.first + (tap + i) * find.step;
      int32_t weight = c->halves ? dmt_half(c->weights, index) : w[index];
      sum = dmt_wrap_add(sum, value * weight);
    }
  })
  return sum;
}

static int32_t conv_any_sum_s16(const dmt_conv *c, const dmt_segment *s, uint32_t pixel,
                                uint32_t o) {
  conv_any_weights find = conv_any_find(c, o);
  const int16_t *w = (const int16_t *)(const void *)c->weights + find.first, *in;
  int32_t sum = c->channels[o], block = 0;
  size_t end = 0; /* of the block that is being summed */
  CONV_ANY_TAPS(c, s, pixel, o, {
    for (uint32_t i = 0; in != NULL && i < c->ig; i++) {
      if (tap + i >= end || (c->ig >= 16 && i % 16 == 0)) {
        sum = dmt_wrap_add(sum, dmt_rshr(block, 9));
        block = 0;
        end = c->ig >= 16 ? tap + i + 16 : (tap + i) / 16 * 16 + 16;
      }
      block = dmt_wrap_add(block, in[i] * w[(tap + i) * find.step]);
    }
  })
  return dmt_wrap_add(sum, dmt_rshr(block, 9));
}

static void conv_any_f32(const dmt_conv_job *job, const dmt_segment *s, uint32_t pixel, uint32_t o,
                         uint8_t *y) {
  const dmt_conv *c = &job->conv;
  const float *slopes = (const float *)(const void *)c->channels + dmt_up8(c->out.c);
  float low = dmt_float(job->call, 56), high = dmt_float(job->call, 60);
  float value = conv_any_sum_f32(c, s, pixel, o);
  if (c->slopes) {
    value = value > 0.0f ? value : value * slopes[o];
  }
  value = low > value ? low : value;
  *(float *)(void *)y = high < value ? high : value;
}

static void conv_any_int(const dmt_conv_job *job, const dmt_segment *s, uint32_t pixel, uint32_t o,
                         uint8_t *y) {
  const dmt_conv *c = &job->conv;
  uint32_t dtype = job->call->dtype;
  int32_t sum = dtype == DMT_S8 ? conv_any_sum_s8(c, s, pixel, o, job->call->in[0].zero_point)
                                : conv_any_sum_s16(c, s, pixel, o);
  dmt_finish(c, job->call, dtype, o, 1, dmt_i8_set(sum), y);
}

static void conv_any_segment(const dmt_conv_job *job, const dmt_segment *s, dmt_range outputs,
                             void *scratch) {
  const dmt_conv *c = &job->conv;
  uint32_t dtype = job->call->dtype;
  (void)scratch;
  for (uint32_t p = 0; p < s->count; p++) {
    uint8_t *y = dmt_at(&c->out, s->n, s->y, s->x + p);
    for (uint32_t o = outputs.begin; o < outputs.end; o++) {
      if (dtype == DMT_F32) {
        conv_any_f32(job, s, p, o, y + o * sizeof(float));
      } else {
        conv_any_int(job, s, p, o, y + o * dmt_item(dtype));
      }
    }
  }
}

static void conv_any(const dmt_call *call, int transposed) {
  dmt_conv_job job = {.call = call, .segment = conv_any_segment, .most = UINT32_MAX};
  dmt_conv_read(call, transposed, &job.conv);
  dmt_conv_go(&job, job.conv.out.c);
}

static dmt_status conv_any_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_read(call, 0, &c);
}

static dmt_status deconv_any_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_read(call, 1, &c);
}

static void conv_any_run(const dmt_call *call) { conv_any(call, 0); }
static void deconv_any_run(const dmt_call *call) { conv_any(call, 1); }

#define CONV_ANY(type, dtype)                                                                      \
  const dmt_operator DMT_KERNEL(dmt_op_conv_any_##type) = {                                        \
      DMT_OP_CONV, dtype, 1, conv_any_check, NULL, conv_any_run,                                   \
  };                                                                                               \
  const dmt_operator DMT_KERNEL(dmt_op_deconv_any_##type) = {                                      \
      DMT_OP_DECONV, dtype, 1, deconv_any_check, NULL, deconv_any_run,                             \
  };

CONV_ANY(f32, DMT_F32)
CONV_ANY(s8, DMT_S8)
CONV_ANY(s16, DMT_S16)
