/* Convolution and deconvolution, float32, packing 1: straight from the input, no copies. */
#include "dmt_conv.h"

/* The sums of `pixels` by `blocks` of eight. Apart from the tiles: it is long, and rare. */
static __attribute__((noinline)) void conv_f32_finish(const dmt_strip *s, uint32_t pixel,
                                                      uint32_t block, uint32_t pixels,
                                                      uint32_t blocks, const dmt_f8 *acc) {
  const dmt_conv *c = &s->job->conv;
  const float *slopes = (const float *)(const void *)c->channels + dmt_up8(c->out.c);
  float low = dmt_float(s->job->call, 56), high = dmt_float(s->job->call, 60);
  for (uint32_t p = 0; p < pixels; p++) {
    for (uint32_t b = 0; b < blocks; b++) {
      uint32_t first = 8 * (block + b), left = c->og - first, n = left < 8 ? left : 8;
      dmt_f8 y = acc[p * blocks + b];
      if (c->slopes) {
        y = dmt_f8_leak(y, dmt_f8_words(slopes + s->group * c->og + first, n));
      }
      float *to = (float *)(void *)(s->y + (pixel + p) * s->y_pixel) + first;
      dmt_f8_put(to, n, dmt_f8_clamp(y, low, high));
    }
  }
}

DMT_INLINE void conv_f32_tile(const uint32_t P, const uint32_t B, const dmt_strip *s,
                              uint32_t pixel, uint32_t block) {
  const dmt_conv *c = &s->job->conv;
  const float *bias = (const float *)(const void *)c->channels + s->group * c->og;
  dmt_f8 acc[4][4], out[16];
  for (uint32_t b = 0; b < B; b++) {
    uint32_t left = c->og - 8 * (block + b);
    dmt_f8 first = dmt_f8_words(bias + 8 * (block + b), left < 8 ? left : 8);
    for (uint32_t p = 0; p < P; p++) {
      acc[p][b] = first;
    }
  }
  const float *x0 = (const float *)s->x + (ptrdiff_t)pixel * s->x_pixel;
  const float *w0 = (const float *)(const void *)c->weights + s->w_first +
                    (s->group * c->blocks + block) * s->w_block;
  const ptrdiff_t x_pixel = s->x_pixel;
  const size_t w_block = s->w_block, run = s->run;
  for (uint32_t row = 0; row < s->rows; row++) {
    for (uint32_t col = 0; col < s->cols; col++) {
      const float *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col;
      const float *w = w0 + row * s->w_row + col * s->w_col;
      for (size_t i = 0; i < run; i++) {
        dmt_f8 wb[4];
        for (uint32_t b = 0; b < B; b++) {
          wb[b] = dmt_f8_load(w + b * w_block + 8 * i);
        }
        for (uint32_t p = 0; p < P; p++) {
          for (uint32_t b = 0; b < B; b++) {
            acc[p][b] = dmt_f8_add_scaled(acc[p][b], x + (ptrdiff_t)p * x_pixel + i, wb[b]);
          }
        }
      }
    }
  }
  for (uint32_t p = 0; p < P; p++) {
    for (uint32_t b = 0; b < B; b++) {
      out[p * B + b] = acc[p][b];
    }
  }
  conv_f32_finish(s, pixel, block, P, B, out);
}

DMT_STRIP(conv_f32_strip, conv_f32_tile)

static void conv_f32_segment(const dmt_conv_job *job, const dmt_segment *segment, dmt_range blocks,
                             void *scratch) {
  const dmt_conv *c = &job->conv;
  (void)scratch;
  for (uint32_t g = blocks.begin / c->blocks; g * c->blocks < blocks.end; g++) {
    dmt_range part = dmt_group_blocks(c, blocks, g);
    dmt_strip strip = dmt_strip_open(job, segment, g);
    dmt_strip_direct(&strip, segment, sizeof(float));
    if (c->groups == 1 && segment->cols.every == 1 && strip.x_col == (ptrdiff_t)strip.run) {
      strip.run *= strip.cols; /* taps of a row stand one behind the other */
      strip.cols = 1;
    }
    conv_f32_strip(&strip, part.begin, part.end);
  }
}

static void conv_f32_any(const dmt_call *call, int transposed) {
  dmt_conv_job job = {.call = call, .segment = conv_f32_segment, .most = UINT32_MAX, .clipped = 1};
  dmt_conv_read(call, transposed, &job.conv);
  dmt_conv_flatten(&job.conv);
  dmt_conv_go(&job, job.conv.groups * job.conv.blocks);
}

static dmt_status conv_f32_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_lanes(call, 0, &c);
}

static dmt_status deconv_f32_check(const dmt_call *call) {
  dmt_conv c;
  return dmt_conv_lanes(call, 1, &c);
}

static void conv_f32_run(const dmt_call *call) { conv_f32_any(call, 0); }
static void deconv_f32_run(const dmt_call *call) { conv_f32_any(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_conv_f32) = {
    DMT_OP_CONV, DMT_F32, 1, conv_f32_check, NULL, conv_f32_run,
};
const dmt_operator DMT_KERNEL(dmt_op_deconv_f32) = {
    DMT_OP_DECONV, DMT_F32, 1, deconv_f32_check, NULL, deconv_f32_run,
};
