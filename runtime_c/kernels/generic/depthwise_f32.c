/* Depthwise convolution and deconvolution, float32: one input and one output a group, packing 2. */
#include "dmt_conv.h"

/* B blocks of eight channels of one pixel; the last block has n. */
DMT_INLINE void depthwise_f32_tile(const uint32_t B, uint32_t n, const dmt_conv *c,
                                   const dmt_call *call, const dmt_strip *s, const float *x0,
                                   uint32_t first, float *y) {
  const float *bias = (const float *)(const void *)c->channels + first;
  const float *w0 = (const float *)(const void *)c->weights + s->w_first + first;
  dmt_f8 acc[4];
  for (uint32_t b = 0; b < B; b++) {
    acc[b] = dmt_f8_load(bias + 8 * b);
  }
  for (uint32_t row = 0; row < s->rows; row++) {
    for (uint32_t col = 0; col < s->cols; col++) {
      const float *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col + first;
      const float *w = w0 + row * s->w_row + col * s->w_col;
      for (uint32_t b = 0; b < B; b++) {
        dmt_f8 xb = dmt_f8_words(x + 8 * b, n);
        acc[b] = dmt_f8_add_products(acc[b], xb, dmt_f8_load(w + 8 * b));
      }
    }
  }
  const float *slopes = bias + dmt_up8(c->out.c);
  for (uint32_t b = 0; b < B; b++) {
    if (c->slopes) {
      acc[b] = dmt_f8_leak(acc[b], dmt_f8_load(slopes + 8 * b));
    }
    acc[b] = dmt_f8_clamp(acc[b], dmt_float(call, 56), dmt_float(call, 60));
    dmt_f8_put(y + first + 8 * b, n, acc[b]);
  }
}

static void depthwise_f32_segment(const dmt_conv_job *job, const dmt_segment *segment,
                                  dmt_range blocks, void *scratch) {
  const dmt_conv *c = &job->conv;
  dmt_strip s = dmt_strip_depthwise(job, segment);
  dmt_strip_direct(&s, segment, sizeof(float));
  uint32_t end = 8 * blocks.end < c->out.c ? 8 * blocks.end : c->out.c;
  (void)scratch;
  for (uint32_t p = 0; p < s.count; p++) {
    const float *x = (const float *)s.x + (ptrdiff_t)p * s.x_pixel;
    float *y = (float *)(void *)(s.y + p * s.y_pixel);
    uint32_t o = 8 * blocks.begin;
    for (; !DMT_SMALL && o + 32 <= end; o += 32) {
      depthwise_f32_tile(4, 8, c, job->call, &s, x, o, y);
    }
    for (; o + 8 <= end; o += 8) {
      depthwise_f32_tile(1, 8, c, job->call, &s, x, o, y);
    }
    if (o < end) {
      depthwise_f32_tile(1, end - o, c, job->call, &s, x, o, y);
    }
  }
}

static void depthwise_f32(const dmt_call *call, int transposed) {
  dmt_conv_job job = {
      .call = call, .segment = depthwise_f32_segment, .most = UINT32_MAX, .clipped = 1};
  dmt_conv_read(call, transposed, &job.conv);
  dmt_conv_go(&job, dmt_up8(job.conv.out.c) / 8);
}

static dmt_status depthwise_f32_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 0, &c);
}

static dmt_status dedepthwise_f32_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 1, &c);
}

static void depthwise_f32_run(const dmt_call *call) { depthwise_f32(call, 0); }
static void dedepthwise_f32_run(const dmt_call *call) { depthwise_f32(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_depthwise_f32) = {
    DMT_OP_CONV, DMT_F32, 1, depthwise_f32_check, NULL, depthwise_f32_run,
};
const dmt_operator DMT_KERNEL(dmt_op_dedepthwise_f32) = {
    DMT_OP_DECONV, DMT_F32, 1, dedepthwise_f32_check, NULL, dedepthwise_f32_run,
};
