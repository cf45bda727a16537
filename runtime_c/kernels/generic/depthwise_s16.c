/* Depthwise convolution and deconvolution, int16: one input and one output a group, packing 2.
 *
 * The blocks of 16 products are taps 0-15, 16-31, ... of the kernel; a tap that is outside adds
 * nothing, so it is left out.
 */
#include "dmt_conv_int.h"

/* B blocks of eight channels (or n of one) of one pixel. */
DMT_INLINE void depthwise_s16_tile(const uint32_t B, const dmt_conv_job *job, const dmt_segment *g,
                                   const dmt_strip *s, uint32_t pixel, uint32_t first, uint32_t n) {
  const dmt_conv *c = &job->conv;
  const int16_t *x0 = (const int16_t *)s->x + (ptrdiff_t)pixel * s->x_pixel + first;
  const int16_t *w0 = (const int16_t *)(const void *)c->weights + s->w_first + first;
  dmt_i8 total[4], acc[4];
  uint32_t open = 0; /* the block that acc sums */
  for (uint32_t b = 0; b < B; b++) {
    total[b] = dmt_i8_load(c->channels + first + 8 * b);
    acc[b] = dmt_i8_set(0);
  }
  for (uint32_t row = 0; row < s->rows; row++) {
    uint32_t kh = (uint32_t)(g->rows.first + (int32_t)row * g->rows.every);
    for (uint32_t col = 0; col < s->cols; col++) {
      uint32_t kw = (uint32_t)(g->cols.first + (int32_t)col * g->cols.every);
      uint32_t block = (kh * (uint32_t)c->x.kernel + kw) / 16;
      for (uint32_t b = 0; block != open && b < B; b++) {
        total[b] = dmt_i8_flush(total[b], acc[b]);
        acc[b] = dmt_i8_set(0);
      }
      open = block;
      const int16_t *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col;
      const int16_t *w = w0 + row * s->w_row + col * s->w_col;
      int16_t some[8] = {0};
      for (uint32_t i = 0; n < 8 && i < n; i++) {
        some[i] = x[i];
      }
      for (uint32_t b = 0; b < B; b++) {
        acc[b] = dmt_i8_add_products_s16(acc[b], n < 8 ? some : x + 8 * b, w + 8 * b);
      }
    }
  }
  for (uint32_t b = 0; b < B; b++) {
    total[b] = dmt_i8_flush(total[b], acc[b]);
    dmt_finish(c, job->call, DMT_S16, first + 8 * b, n, total[b],
               s->y + pixel * s->y_pixel + 2 * (first + 8 * b));
  }
}

static void depthwise_s16_segment(const dmt_conv_job *job, const dmt_segment *segment,
                                  dmt_range blocks, void *scratch) {
  const dmt_conv *c = &job->conv;
  dmt_strip s = dmt_strip_depthwise(job, segment);
  dmt_strip_direct(&s, segment, sizeof(int16_t));
  uint32_t end = 8 * blocks.end < c->out.c ? 8 * blocks.end : c->out.c;
  (void)scratch;
  for (uint32_t p = 0; p < s.count; p++) {
    uint32_t o = 8 * blocks.begin;
    for (; !DMT_SMALL && o + 32 <= end; o += 32) {
      depthwise_s16_tile(4, job, segment, &s, p, o, 8);
    }
    for (; o < end; o += 8) {
      depthwise_s16_tile(1, job, segment, &s, p, o, end - o < 8 ? end - o : 8);
    }
  }
}

static void depthwise_s16(const dmt_call *call, int transposed) {
  dmt_conv_job job = {
      .call = call, .segment = depthwise_s16_segment, .most = UINT32_MAX, .clipped = 1};
  dmt_conv_read(call, transposed, &job.conv);
  dmt_conv_go(&job, dmt_up8(job.conv.out.c) / 8);
}

static dmt_status depthwise_s16_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 0, &c);
}

static dmt_status dedepthwise_s16_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_depthwise(call, 1, &c);
}

static void depthwise_s16_run(const dmt_call *call) { depthwise_s16(call, 0); }
static void dedepthwise_s16_run(const dmt_call *call) { depthwise_s16(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_depthwise_s16) = {
    DMT_OP_CONV, DMT_S16, 1, depthwise_s16_check, NULL, depthwise_s16_run,
};
const dmt_operator DMT_KERNEL(dmt_op_dedepthwise_s16) = {
    DMT_OP_DECONV, DMT_S16, 1, dedepthwise_s16_check, NULL, dedepthwise_s16_run,
};
