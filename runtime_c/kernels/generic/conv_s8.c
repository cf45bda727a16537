/* Convolution and deconvolution, int8, packing 1: from patches, two taps at a time. Weights of half
 * a byte are unpacked behind the patches, a block of eight outputs at a time. */
#include "dmt_patch.h"

DMT_INLINE void conv_s8_tile(const uint32_t P, const uint32_t B, const dmt_strip *s, uint32_t pixel,
                             uint32_t block) {
  dmt_i8 acc[4][4], bias[4], out[16];
  dmt_biases(s, block, B, bias);
  for (uint32_t p = 0; p < P; p++) {
    for (uint32_t b = 0; b < B; b++) {
      acc[p][b] = bias[b];
    }
  }
  const int16_t *x0 = (const int16_t *)s->x + (ptrdiff_t)pixel * s->x_pixel;
  const int8_t *w0 =
      (const int8_t *)s->weights + s->w_first + (block - s->first_block) * s->w_block;
  const ptrdiff_t x_pixel = s->x_pixel;
  const size_t w_block = s->w_block, run = s->run;
  for (uint32_t row = 0; row < s->rows; row++) {
    for (uint32_t col = 0; col < s->cols; col++) {
      const int16_t *x = x0 + (ptrdiff_t)row * s->x_row + (ptrdiff_t)col * s->x_col;
      const int8_t *w = w0 + row * s->w_row + col * s->w_col;
      dmt_w2 wb[4];
      size_t i = 0;
      for (; i + 2 <= run; i += 2) {
        for (uint32_t b = 0; b < B; b++) {
          wb[b] = dmt_w2_load_s8(w + b * w_block + 8 * i);
        }
        for (uint32_t p = 0; p < P; p++) {
          for (uint32_t b = 0; b < B; b++) {
            acc[p][b] = dmt_i8_dot(acc[p][b], x + (ptrdiff_t)p * x_pixel + i, wb[b]);
          }
        }
      }
      for (uint32_t b = 0; i < run && b < B; b++) {
        wb[b] = dmt_w2_last_s8(w + b * w_block + 8 * i);
        for (uint32_t p = 0; p < P; p++) {
          acc[p][b] = dmt_i8_dot_last(acc[p][b], x + (ptrdiff_t)p * x_pixel + i, wb[b]);
        }
      }
    }
  }
  for (uint32_t p = 0; p < P; p++) {
    for (uint32_t b = 0; b < B; b++) {
      out[p * B + b] = acc[p][b];
    }
  }
  dmt_finish_tile(s, DMT_S8, pixel, block, P, B, out);
}

DMT_STRIP(conv_s8_strip, conv_s8_tile)

/* The taps of a deconvolution that the segment's pixels meet. */
static void conv_s8_patch(const dmt_conv *c, const dmt_segment *s, uint32_t group, int16_t *to,
                          int32_t zero) {
  for (uint32_t p = 0; p < s->count; p++) {
    for (int32_t row = 0; row < s->rows.count; row++) {
      for (int32_t col = 0; col < s->cols.count; col++) {
        int32_t y = s->rows.at + row * s->rows.step, x = s->cols.at + col * s->cols.step;
        const uint8_t *from = dmt_at(&c->in, s->n, (uint32_t)y, (uint32_t)x + p);
        to = dmt_patch_copy(to, from + (size_t)group * c->ig, c->ig, DMT_S8, zero);
      }
    }
  }
}

static size_t conv_s8_block_bytes(const dmt_conv *c) {
  return c->halves ? (8 * dmt_taps(c) + DMT_ALIGN - 1) / DMT_ALIGN * DMT_ALIGN : 0;
}

/* Bytes of a task's patches and weights. */
static uint64_t conv_s8_bytes(const dmt_conv *c) {
  return dmt_patch_bytes(c) + conv_s8_block_bytes(c);
}

static void conv_s8_unpack(const uint8_t *from, size_t bytes, int8_t *to) {
  for (size_t i = 0; i < bytes; i++) {
    to[2 * i] = (int8_t)(((from[i] & 15) ^ 8) - 8);
    to[2 * i + 1] = (int8_t)((from[i] >> 4 ^ 8) - 8);
  }
}

static void conv_s8_unpacked_strip(dmt_strip *strip, dmt_range blocks, int8_t *weights) {
  const uint8_t *packed = strip->weights;
  size_t bytes = strip->w_block / 2;
  strip->weights = (const uint8_t *)weights;
  for (uint32_t block = blocks.begin; block < blocks.end; block++) {
    conv_s8_unpack(packed + block * bytes, bytes, weights);
    strip->first_block = block;
    conv_s8_strip(strip, block, block + 1);
  }
}

static void conv_s8_segment(const dmt_conv_job *job, const dmt_segment *segment, dmt_range blocks,
                            void *scratch) {
  const dmt_conv *c = &job->conv;
  int32_t zero = job->call->in[0].zero_point;
  for (uint32_t g = blocks.begin / c->blocks; g * c->blocks < blocks.end; g++) {
    dmt_range part = dmt_group_blocks(c, blocks, g);
    dmt_strip strip = dmt_strip_open(job, segment, g);
    strip.x = scratch;
    if (c->x.transposed) {
      conv_s8_patch(c, segment, g, scratch, zero);
      strip.x_col = (ptrdiff_t)c->ig;
      strip.x_row = (ptrdiff_t)strip.cols * strip.x_col;
      strip.x_pixel = (ptrdiff_t)strip.rows * strip.x_row;
    } else {
      dmt_patch_whole(c, segment, g, scratch, DMT_S8, zero);
      strip.w_first = 0;
      strip.rows = strip.cols = 1;
      strip.run = (uint32_t)dmt_taps(c);
      strip.x_pixel = (ptrdiff_t)strip.run;
    }
    if (c->halves) {
      strip.weights = c->weights + (size_t)g * c->blocks * (strip.w_block / 2);
      conv_s8_unpacked_strip(&strip, part, (int8_t *)scratch + dmt_patch_bytes(c));
    } else {
      conv_s8_strip(&strip, part.begin, part.end);
    }
  }
}

static dmt_status conv_s8_open(const dmt_call *call, int transposed, dmt_conv *c) {
  dmt_status status = dmt_conv_lanes(call, transposed, c);
  if (status == DMT_OK) {
    dmt_conv_flatten(c);
    status = conv_s8_bytes(c) > DMT_PATCH_MOST ? DMT_E_UNSUPPORTED : DMT_OK;
  }
  return status;
}

static void conv_s8_any(const dmt_call *call, int transposed) {
  dmt_conv_job job = {.call = call, .segment = conv_s8_segment, .clipped = (uint32_t)transposed};
  conv_s8_open(call, transposed, &job.conv);
  job.most = dmt_patch_pixels(&job.conv);
  job.scratch = (uint32_t)conv_s8_bytes(&job.conv);
  dmt_conv_go(&job, job.conv.groups * job.conv.blocks);
}

static dmt_status conv_s8_check(const dmt_call *call) {
  dmt_conv c;
  return conv_s8_open(call, 0, &c);
}

static dmt_status deconv_s8_check(const dmt_call *call) {
  dmt_conv c;
  return conv_s8_open(call, 1, &c);
}

static uint32_t conv_s8_scratch(const dmt_call *call) {
  dmt_conv c;
  conv_s8_open(call, 0, &c);
  return (uint32_t)conv_s8_bytes(&c);
}

static uint32_t deconv_s8_scratch(const dmt_call *call) {
  dmt_conv c;
  conv_s8_open(call, 1, &c);
  return (uint32_t)conv_s8_bytes(&c);
}

static void conv_s8_run(const dmt_call *call) { conv_s8_any(call, 0); }
static void deconv_s8_run(const dmt_call *call) { conv_s8_any(call, 1); }

const dmt_operator DMT_KERNEL(dmt_op_conv_s8) = {
    DMT_OP_CONV, DMT_S8, 1, conv_s8_check, conv_s8_scratch, conv_s8_run,
};
const dmt_operator DMT_KERNEL(dmt_op_deconv_s8) = {
    DMT_OP_DECONV, DMT_S8, 1, deconv_s8_check, deconv_s8_scratch, deconv_s8_run,
};
