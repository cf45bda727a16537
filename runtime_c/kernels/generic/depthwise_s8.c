/* Depthwise convolution and deconvolution, int8: one input and one output a group, packing 2. */
#include "dmt_conv_int.h"

/* The products of the taps of a strip's pixel, B blocks of eight channels. */
DMT_INLINE void depthwise_s8_tile(const uint32_t B, const dmt_conv *c, const dmt_strip *s,
                                  const int8_t *x0, uint32_t first, uint32_t n, dmt_i8 *acc) {
  const int8_t *w0 = (const int8_t *)c->weights + s->w_first + first;
  for (uint32_t row = 0; row < s->rows; row++) {
    for (uint32_t col = 0; col < s->cols; col++) {
      const int8_t *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col + first;
      const int8_t *w = w0 + row * s->w_row + col * s->w_col;
      int8_t some[8] = {0};
      for (uint32_t i = 0; n < 8 && i < n; i++) {
        some[i] = x[i];
      }
      for (uint32_t b = 0; b < B; b++) {
        acc[b] = dmt_i8_add_products_s8(acc[b], n < 8 ? some : x + 8 * b, w + 8 * b);
      }
    }
  }
}

/* The sum of the weights of all taps (step 1), or of those that the strip's pixels meet. */
static dmt_i8 depthwise_s8_weights(const dmt_conv *c, const dmt_strip *s, uint32_t first,
                                   int whole) {
  size_t tap = dmt_up8(c->out.c);
  size_t rows = whole ? (size_t)c->y.kernel : s->rows, cols = whole ? (size_t)c->x.kernel : s->cols;
  const int8_t *w = (const int8_t *)c->weights + (whole ? 0 : s->w_first) + first;
  dmt_i8 sum = dmt_i8_set(0);
  for (size_t row = 0; row < rows; row++) {
    for (size_t col = 0; col < cols; col++) {
      size_t at = whole ? (row * cols + col) * tap : row * s->w_row + col * s->w_col;
      sum = dmt_i8_add(sum, dmt_i8_load_s8(w + at));
    }
  }
  return sum;
}

/* The accumulators before any product: the bias holds -z * w of every tap, so those that are
 * outside give z * w back; a deconvolution's bias holds none. */
static dmt_i8 depthwise_s8_start(const dmt_conv *c, const dmt_strip *s, uint32_t first,
                                 int32_t zero) {
  dmt_i8 bias = dmt_i8_load(c->channels + first);
  int whole = s->rows == (uint32_t)c->y.kernel && s->cols == (uint32_t)c->x.kernel;
  if (zero == 0 || (whole && !c->x.transposed)) {
    return bias;
  }
  dmt_i8 less = dmt_i8_mul(depthwise_s8_weights(c, s, first, 0), dmt_i8_set(-zero));
  if (!c->x.transposed) {
    dmt_i8 all = dmt_i8_mul(depthwise_s8_weights(c, s, first, 1), dmt_i8_set(zero));
    less = dmt_i8_add(less, all);
  }
  return dmt_i8_add(bias, less);
}

/* B blocks of eight channels (or n of one) for all pixels of a strip. */
DMT_INLINE void depthwise_s8_strip(const uint32_t B, const dmt_conv *c, const dmt_call *call,
                                   const dmt_strip *s, uint32_t first, uint32_t n) {
  dmt_i8 start[4], acc[4];
  for (uint32_t b = 0; b < B; b++) {
    start[b] = depthwise_s8_start(c, s, first + 8 * b, call->in[0].zero_point);
  }
  for (uint32_t p = 0; p < s->count; p++) {
    const int8_t *x = (const int8_t *)s->x + (ptrdiff_t)p * s->x_pixel;
    for (uint32_t b = 0; b < B; b++) {
      acc[b] = start[b];
    }
    depthwise_s8_tile(B, c, s, x, first, n, acc);
    for (uint32_t b = 0; b < B; b++) {
      uint8_t *y = s->y + p * s->y_pixel + first + 8 * b;
      dmt_finish(c, call, DMT_S8, first + 8 * b, n, acc[b], y);
    }
  }
}

static void depthwise_s8_segment(const dmt_conv_job *job, const dmt_segment *segment,
                                 dmt_range blocks, void *scratch) {
  const dmt_conv *c = &job->conv;
  dmt_strip s = dmt_strip_depthwise(job, segment);
  dmt_strip_direct(&s, segment, sizeof(int8_t));
  uint32_t end = 8 * blocks.end < c->out.c ? 8 * blocks.end : c->out.c, o = 8 * blocks.begin;
  (void)scratch;
  for (; !DMT_SMALL && o + 32 <= end; o += 32) {
    depthwise_s8_strip(4, c, job->call, &s, o, 8);
  }
  for (; o < end; o += 8) {
    depthwise_s8_strip(1, c, job->call, &s, o, end - o < 8 ? end - o : 8);
  }
}

static void depthwise_s8(const dmt_call *call, int transposed) {
  dmt_conv_job job = {
      .call = call, .segment = depthwise_s8_segment, .most = UINT32_MAX, .clipped = 1};
  dmt_conv_read(call, transposed, &job.conv);
  dmt_conv_go(&job, dmt_up8(job.conv.out.c) / 8);
}

static dmt_status depthwise_s8_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 0, &c);
}

static dmt_status dedepthwise_s8_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 1, &c);
}

static void depthwise_s8_run(const dmt_call *call) { depthwise_s8(call, 0); }
static void dedepthwise_s8_run(const dmt_call *call) { depthwise_s8(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_depthwise_s8) = {
    DMT_OP_CONV, DMT_S8, 1, depthwise_s8_check, NULL, depthwise_s8_run,
};
const dmt_operator DMT_KERNEL(dmt_op_dedepthwise_s8) = {
    DMT_OP_DECONV, DMT_S8, 1, dedepthwise_s8_check, NULL, dedepthwise_s8_run,
};
