/* Convolution and deconvolution, int16, packing 1: blocks of at most 16 products.
 *
 * With 16 inputs or more a tap is cut by itself, so taps outside can be left out and the input is
 * read where it stands. With fewer the blocks run over all taps: they come from patches.
 */
#include "dmt_patch.h"

/* The accumulators of `pixels` by `blocks` of eight. Apart from the tiles: it is long, and rare. */
static __attribute__((noinline)) void conv_s16_finish(const dmt_strip *s, uint32_t pixel,
                                                      uint32_t block, uint32_t pixels,
                                                      uint32_t blocks, const dmt_i8 *acc) {
  const dmt_conv *c = &s->job->conv;
  for (uint32_t p = 0; p < pixels; p++) {
    for (uint32_t b = 0; b < blocks; b++) {
      uint32_t first = 8 * (block + b), left = c->og - first;
      uint8_t *y = s->y + (pixel + p) * s->y_pixel + first * sizeof(int16_t);
      dmt_finish(c, s->job->call, DMT_S16, s->group * c->og + first, left < 8 ? left : 8,
                 acc[p * blocks + b], y);
    }
  }
}

/* The biases of `blocks` of eight. */
DMT_INLINE void conv_s16_biases(const dmt_strip *s, uint32_t block, uint32_t blocks, dmt_i8 *bias) {
  const dmt_conv *c = &s->job->conv;
  for (uint32_t b = 0; b < blocks; b++) {
    uint32_t first = 8 * (block + b), left = c->og - first;
    bias[b] = dmt_i8_words(c->channels + s->group * c->og + first, left < 8 ? left : 8);
  }
}

DMT_INLINE void conv_s16_tile(const uint32_t P, const uint32_t B, const dmt_strip *s,
                              uint32_t pixel, uint32_t block) {
  const dmt_conv *c = &s->job->conv;
  dmt_i8 total[4][4], bias[4], out[16];
  conv_s16_biases(s, block, B, bias);
  for (uint32_t p = 0; p < P; p++) {
    for (uint32_t b = 0; b < B; b++) {
      total[p][b] = bias[b];
    }
  }
  const int16_t *x0 = (const int16_t *)s->x + (ptrdiff_t)pixel * s->x_pixel;
  const int16_t *w0 = (const int16_t *)(const void *)c->weights + s->w_first +
                      (s->group * c->blocks + block) * s->w_block;
  const ptrdiff_t x_pixel = s->x_pixel;
  const size_t w_block = s->w_block, run = s->run;
  for (uint32_t row = 0; row < s->rows; row++) {
    for (uint32_t col = 0; col < s->cols; col++) {
      const int16_t *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col;
      const int16_t *w = w0 + row * s->w_row + col * s->w_col;
      for (size_t start = 0; start < run; start += 16) {
        size_t end = run - start < 16 ? run : start + 16, i = start;
        dmt_i8 acc[4][4];
        dmt_w2 wb[4];
        for (uint32_t p = 0; p < P; p++) {
          for (uint32_t b = 0; b < B; b++) {
            acc[p][b] = dmt_i8_set(0);
          }
        }
        for (; i + 2 <= end; i += 2) {
          for (uint32_t b = 0; b < B; b++) {
            wb[b] = dmt_w2_load_s16(w + b * w_block + 8 * i);
          }
          for (uint32_t p = 0; p < P; p++) {
            for (uint32_t b = 0; b < B; b++) {
              acc[p][b] = dmt_i8_dot(acc[p][b], x + (ptrdiff_t)p * x_pixel + i, wb[b]);
            }
          }
        }
        for (uint32_t b = 0; i < end && b < B; b++) {
          wb[b] = dmt_w2_last_s16(w + b * w_block + 8 * i);
          for (uint32_t p = 0; p < P; p++) {
            acc[p][b] = dmt_i8_dot_last(acc[p][b], x + (ptrdiff_t)p * x_pixel + i, wb[b]);
          }
        }
        for (uint32_t p = 0; p < P; p++) {
          for (uint32_t b = 0; b < B; b++) {
            total[p][b] = dmt_i8_flush(total[p][b], acc[p][b]);
          }
        }
      }
    }
  }
  for (uint32_t p = 0; p < P; p++) {
    for (uint32_t b = 0; b < B; b++) {
      out[p * B + b] = total[p][b];
    }
  }
  conv_s16_finish(s, pixel, block, P, B, out);
}

DMT_STRIP(conv_s16_strip, conv_s16_tile)

static int conv_s16_is_direct(const dmt_conv *c) {
  return c->ig >= 16 || (c->y.kernel == 1 && c->x.kernel == 1);
}

static void conv_s16_segment(const dmt_conv_job *job, const dmt_segment *segment, dmt_range blocks,
                             void *scratch) {
  const dmt_conv *c = &job->conv;
  for (uint32_t g = blocks.begin / c->blocks; g * c->blocks < blocks.end; g++) {
    dmt_range part = dmt_group_blocks(c, blocks, g);
    dmt_strip strip = dmt_strip_open(job, segment, g);
    if (job->clipped) {
      dmt_strip_direct(&strip, segment, sizeof(int16_t));
    } else {
      size_t tap = c->ig * sizeof(int16_t);
      dmt_patch_whole(c, segment, g, scratch, sizeof(int16_t), 0, tap,
                      dmt_taps(c) * sizeof(int16_t));
      strip.x = scratch;
      strip.w_first = 0;
      strip.rows = strip.cols = 1;
      strip.run = (uint32_t)dmt_taps(c);
      strip.x_pixel = (ptrdiff_t)strip.run;
    }
    conv_s16_strip(&strip, part.begin, part.end);
  }
}

/* Bytes of a pixel's patch. */
static uint64_t conv_s16_patch(const dmt_conv *c) {
  uint64_t taps = dmt_times((uint32_t)c->y.kernel, (uint32_t)c->x.kernel);
  return dmt_times(taps, c->ig) * sizeof(int16_t);
}

static uint64_t conv_s16_bytes(const dmt_conv *c) {
  return conv_s16_is_direct(c) ? 0 : dmt_patch_bytes(c, conv_s16_patch(c));
}

static dmt_status conv_s16_open(const dmt_call *call, int transposed, dmt_conv *c) {
  dmt_status status = dmt_conv_lanes(call, transposed, c);
  if (status == DMT_OK) {
    dmt_conv_flatten(c);
    status = conv_s16_bytes(c) <= DMT_PATCH_MOST ? DMT_OK : DMT_E_UNSUPPORTED;
  }
  return status;
}

static void conv_s16_any(const dmt_call *call, int transposed) {
  dmt_conv_job job = {.call = call, .segment = conv_s16_segment};
  conv_s16_open(call, transposed, &job.conv);
  job.clipped = (uint32_t)conv_s16_is_direct(&job.conv);
  job.most = job.clipped ? UINT32_MAX : dmt_patch_pixels(&job.conv, conv_s16_patch(&job.conv));
  job.scratch = (uint32_t)conv_s16_bytes(&job.conv);
  dmt_conv_go(&job, job.conv.groups * job.conv.blocks);
}

static dmt_status conv_s16_check(const dmt_call *call) {
  dmt_conv c;
  return conv_s16_open(call, 0, &c);
}

static dmt_status deconv_s16_check(const dmt_call *call) {
  dmt_conv c;
  return conv_s16_open(call, 1, &c);
}

static uint32_t conv_s16_scratch(const dmt_call *call) {
  dmt_conv c;
  conv_s16_open(call, 0, &c);
  return (uint32_t)conv_s16_bytes(&c);
}

static uint32_t deconv_s16_scratch(const dmt_call *call) {
  dmt_conv c;
  conv_s16_open(call, 1, &c);
  return (uint32_t)conv_s16_bytes(&c);
}

static void conv_s16_run(const dmt_call *call) { conv_s16_any(call, 0); }
static void deconv_s16_run(const dmt_call *call) { conv_s16_any(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_conv_s16) = {
    DMT_OP_CONV, DMT_S16, 1, conv_s16_check, conv_s16_scratch, conv_s16_run,
};
const dmt_operator DMT_KERNEL(dmt_op_deconv_s16) = {
    DMT_OP_DECONV, DMT_S16, 1, deconv_s16_check, deconv_s16_scratch, deconv_s16_run,
};
