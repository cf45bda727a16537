/* Convolution and deconvolution, int8, packing 5: dot products of rows of weights with patches, or
 * with the pixels themselves where they are such rows (1 x 1). Weights of half a byte are unpacked
 * behind the patches, a block of eight outputs at a time. */
#include "dmt_patch.h"

/* `count` pixels by the outputs of a group, and the part of the weights that they meet. */
typedef struct {
  const dmt_conv_job *job;
  const int8_t *x;
  size_t x_pixel;
  uint8_t *y;
  size_t y_pixel;
  uint32_t count, group, rows, cols, run;
  const int8_t *weights; /* of the group's block `first_block` */
  uint32_t first_block;
  size_t w_first, w_row, w_col, w_quad;
  const int8_t *zeros; /* deconvolutions: a pixel of zero points, whose sums are taken away */
} conv_s8_strip;

enum { CONV_S8_PIXELS = DMT_SMALL ? 1 : DMT_D4_PIXELS };

/* Sums of P pixels by the eight outputs of a block, 0 where a group has less. */
DMT_INLINE void conv_s8_sum(const uint32_t P, const conv_s8_strip *s, const int8_t *x,
                            uint32_t block, int32_t (*sums)[8]) {
  uint32_t quads = s->job->conv.og - 8 * block > 4 ? 2 : 1;
  for (uint32_t half = 0; half < 2; half++) {
    const int8_t *at = x, *w0 = s->weights + s->w_first;
    w0 += (2 * (block - s->first_block) + half) * s->w_quad;
    dmt_d4 acc[DMT_D4_PIXELS];
    for (uint32_t p = 0; p < P; p++) {
      acc[p] = dmt_d4_zero();
    }
    for (uint32_t row = 0; half < quads && row < s->rows; row++) {
      const int8_t *w = w0 + row * s->w_row;
      for (uint32_t col = 0; col < s->cols; col++, at += s->run, w += s->w_col) {
        for (uint32_t i = 0; i < s->run; i += 16) {
          dmt_d4_add(acc, P, at + i, s->x_pixel, w + 4 * (size_t)i, s->run - i < 16 ? 8 : 16);
        }
      }
    }
    for (uint32_t p = 0; p < P; p++) {
      dmt_d4_totals(acc[p], sums[p] + 4 * half);
    }
  }
}

static __attribute__((noinline)) void conv_s8_sum_few(const conv_s8_strip *s, const int8_t *x,
                                                      uint32_t block, int32_t (*sums)[8]) {
  conv_s8_sum(1, s, x, block, sums);
}

static __attribute__((noinline)) void conv_s8_sum_many(const conv_s8_strip *s, const int8_t *x,
                                                       uint32_t block, int32_t (*sums)[8]) {
  conv_s8_sum(CONV_S8_PIXELS, s, x, block, sums);
}

static void conv_s8_block(const conv_s8_strip *s, uint32_t block) {
  const dmt_conv *c = &s->job->conv;
  uint32_t first = s->group * c->og + 8 * block, left = c->og - 8 * block, n = left < 8 ? left : 8;
  int32_t sums[CONV_S8_PIXELS][8];
  dmt_i8 bias = dmt_i8_words(c->channels + first, n);
  if (s->zeros != NULL) {
    conv_s8_sum_few(s, s->zeros, block, sums);
    bias = dmt_i8_add(bias, dmt_i8_mul(dmt_i8_load(sums[0]), dmt_i8_set(-1)));
  }
  for (uint32_t pixel = 0, some; pixel < s->count; pixel += some) {
    const int8_t *x = s->x + pixel * s->x_pixel;
    some = s->count - pixel < CONV_S8_PIXELS ? 1 : CONV_S8_PIXELS;
    if (some > 1) {
      conv_s8_sum_many(s, x, block, sums);
    } else {
      conv_s8_sum_few(s, x, block, sums);
    }
    for (uint32_t p = 0; p < some; p++) {
      dmt_finish(c, s->job->call, DMT_S8, first, n, dmt_i8_add(bias, dmt_i8_load(sums[p])),
                 s->y + (pixel + p) * s->y_pixel + 8 * (size_t)block);
    }
  }
}

static void conv_s8_blocks(const conv_s8_strip *s, dmt_range blocks) {
  for (uint32_t block = blocks.begin; block < blocks.end; block++) {
    conv_s8_block(s, block);
  }
}

/* A pixel's patch, or what takes its place. */
static uint64_t conv_s8_pixel(const dmt_conv *c) {
  dmt_dots d = dmt_dots_of(c);
  return dmt_times(d.rows, d.run);
}

/* Whether every output meets one pixel, as long as a row of weights. */
static int conv_s8_in_place(const dmt_conv *c) {
  return !c->x.transposed && dmt_taps(c) == 1 && c->ig % 8 == 0 && c->y.pad == 0 && c->x.pad == 0 &&
         (c->out.h - 1) * (uint64_t)(uint32_t)c->y.stride < c->in.h &&
         (c->out.w - 1) * (uint64_t)(uint32_t)c->x.stride < c->in.w;
}

/* Bytes of a task's patches, zero points and weights. */
static uint64_t conv_s8_patch_bytes(const dmt_conv *c) {
  return conv_s8_in_place(c) ? 0 : dmt_patch_bytes(c, conv_s8_pixel(c));
}

static uint64_t conv_s8_zeros_bytes(const dmt_conv *c) {
  return c->x.transposed ? dmt_round_up(conv_s8_pixel(c)) : 0;
}

static uint64_t conv_s8_bytes(const dmt_conv *c) {
  uint64_t weights = c->halves ? dmt_round_up(dmt_times(8, conv_s8_pixel(c))) : 0;
  return conv_s8_patch_bytes(c) + conv_s8_zeros_bytes(c) + weights;
}

static void conv_s8_unpacked(conv_s8_strip *strip, dmt_range blocks, int8_t *to) {
  const dmt_conv *c = &strip->job->conv;
  const uint8_t *packed = (const uint8_t *)strip->weights;
  strip->weights = to;
  for (uint32_t b = blocks.begin; b < blocks.end; b++) {
    const uint8_t *from = packed + b * strip->w_quad;
    size_t bytes = strip->w_quad / (c->og - 8 * b > 4 ? 1 : 2);
    for (size_t i = 0; i < bytes; i++) {
      to[2 * i] = (int8_t)(((from[i] & 15) ^ 8) - 8);
      to[2 * i + 1] = (int8_t)((from[i] >> 4 ^ 8) - 8);
    }
    strip->first_block = b;
    conv_s8_block(strip, b);
  }
}

/* The taps of a deconvolution that the segment's pixels meet: all of them do. */
static void conv_s8_met(const conv_s8_strip *strip, const dmt_segment *s, uint8_t *to) {
  const dmt_conv *c = &strip->job->conv;
  for (uint32_t p = 0; p < s->count; p++) {
    for (int32_t row = 0; row < s->rows.count; row++) {
      for (int32_t col = 0; col < s->cols.count; col++, to += strip->run) {
        int32_t y = s->rows.at + row * s->rows.step, x = s->cols.at + col * s->cols.step;
        const uint8_t *from = dmt_at(&c->in, s->n, (uint32_t)y, (uint32_t)x + p);
        memcpy(to, from + (size_t)strip->group * c->ig, c->ig);
      }
    }
  }
}

/* Where the strip's pixels are read, and the taps that they meet. */
static void conv_s8_gather(conv_s8_strip *strip, const dmt_segment *s, uint8_t *scratch) {
  const dmt_conv *c = &strip->job->conv;
  int32_t zero = strip->job->call->in[0].zero_point;
  strip->x = (const int8_t *)scratch;
  if (conv_s8_in_place(c)) {
    const uint8_t *from =
        dmt_at(&c->in, s->n, s->y * (uint32_t)c->y.stride, s->x * (uint32_t)c->x.stride);
    strip->x = (const int8_t *)from + (size_t)strip->group * c->ig;
    strip->x_pixel = (size_t)(uint32_t)c->x.stride * c->in.pixel;
  } else if (c->x.transposed && c->ig >= 8) {
    strip->rows = (uint32_t)s->rows.count;
    strip->cols = (uint32_t)s->cols.count;
    strip->x_pixel = (size_t)strip->rows * strip->cols * strip->run;
    strip->w_first = (size_t)(uint32_t)s->rows.first * strip->w_row +
                     (size_t)(uint32_t)s->cols.first * strip->w_col;
    strip->w_row *= (size_t)(uint32_t)s->rows.every;
    strip->w_col *= (size_t)(uint32_t)s->cols.every;
    conv_s8_met(strip, s, scratch);
  } else {
    size_t tap = c->ig < 8 ? c->ig : strip->run;
    dmt_patch_whole(c, s, strip->group, scratch, 1, zero, tap, strip->x_pixel);
  }
  if (c->x.transposed) {
    uint8_t *zeros = scratch + conv_s8_patch_bytes(c);
    memset(zeros, zero, (size_t)conv_s8_pixel(c));
    strip->zeros = (const int8_t *)zeros;
  }
}

static void conv_s8_segment(const dmt_conv_job *job, const dmt_segment *s, dmt_range blocks,
                            void *scratch) {
  const dmt_conv *c = &job->conv;
  dmt_dots d = dmt_dots_of(c);
  size_t pixel = (size_t)conv_s8_pixel(c);
  for (uint32_t g = blocks.begin / c->blocks; g * c->blocks < blocks.end; g++) {
    conv_s8_strip strip = {.job = job, .group = g, .count = s->count, .run = (uint32_t)d.run};
    size_t quads = (size_t)g * ((c->og + 3) / 4);
    strip.y = dmt_at(&c->out, s->n, s->y, s->x) + (size_t)g * c->og;
    strip.y_pixel = s->every * c->out.pixel;
    strip.rows = d.rows > 1 ? (uint32_t)c->y.kernel : 1;
    strip.cols = d.rows > 1 ? (uint32_t)c->x.kernel : 1;
    strip.w_quad = 4 * pixel;
    strip.w_col = 4 * (size_t)d.run;
    strip.w_row = strip.cols * strip.w_col;
    strip.x_pixel = pixel;
    strip.weights = (const int8_t *)c->weights + quads * strip.w_quad / (c->halves ? 2 : 1);
    conv_s8_gather(&strip, s, scratch);
    dmt_range part = dmt_group_blocks(c, blocks, g);
    if (c->halves) {
      size_t behind = (size_t)(conv_s8_patch_bytes(c) + conv_s8_zeros_bytes(c));
      conv_s8_unpacked(&strip, part, (int8_t *)scratch + behind);
    } else {
      conv_s8_blocks(&strip, part);
    }
  }
}

static dmt_status conv_s8_open(const dmt_call *call, int transposed, dmt_conv *c) {
  dmt_status status = dmt_conv_read(call, transposed, c);
  if (status == DMT_OK) {
    dmt_conv_flatten(c);
    int takes = c->packing == DMT_PACKING_DOTS && conv_s8_bytes(c) <= DMT_PATCH_MOST;
    status = takes ? DMT_OK : DMT_E_UNSUPPORTED;
  }
  return status;
}

static void conv_s8_any(const dmt_call *call, int transposed) {
  dmt_conv_job job = {.call = call, .segment = conv_s8_segment, .clipped = (uint32_t)transposed};
  conv_s8_open(call, transposed, &job.conv);
  job.most = dmt_patch_pixels(&job.conv, conv_s8_pixel(&job.conv));
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
