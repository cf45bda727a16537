/* Convolution, float32, packing 1, in NEON: products of patches and the weights as they stand.
 *
 * A patch (dmt_patch_f32.h) stays in the first-level cache while the weights of its products pass,
 * eight outputs at a time; sums wait in the output for the next products. So a weight is read once
 * for as many pixels as a patch has, and an input is gathered once.
 */
#include "dmt_neon.h"
#include "dmt_patch_f32.h"
#include "dmt_tile_f32.h"
#include "dmt_touch.h"

#define WEIGHTS (256u * 1024u) /* bytes of weights in the second-level cache, beside the pixels */
#define SIDE_WEIGHTS (8u * 1024u) /* in the first, beside a patch */
#define SIDE 8u                   /* most blocks side by side */

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  uint32_t all, products;            /* pixels; products of an output */
  uint32_t pixels, part;             /* of a patch */
  uint32_t dense;                    /* whether all output pixels are equally far apart */
  uint32_t pixel_tasks, block_tasks; /* threads share one or the other */
  uint32_t scratch;                  /* bytes of one task */
} conv_job;

/* A patch, and what its tiles share. */
typedef struct {
  const conv_job *job;
  const float *x;
  uint32_t group, first, count; /* pixels */
  dmt_products part;
} conv_patch;

static dmt_status conv_open(const dmt_call *call, conv_job *job) {
  dmt_status status = dmt_conv_lanes(call, 0, &job->conv);
  if (status != DMT_OK) {
    return status;
  }
  dmt_conv *c = &job->conv;
  dmt_conv_flatten(c);
  uint64_t taps = (uint64_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel * c->ig;
  job->call = call;
  job->all = c->out.n * c->out.h * c->out.w;
  job->products = (uint32_t)taps; /* the weights are no more than 2^32 bytes */
  job->dense = (c->out.h == 1 || c->out.row == c->out.w * c->out.pixel) &&
               (c->out.n == 1 || c->out.sample == c->out.h * c->out.row);
  uint32_t few = job->all <= 64, most = DMT_PART_F32; /* which one patch then holds */
  if (few && (job->all == 1 || c->ig % 4 == 0)) {
    most = DMT_PATCH_F32 / (job->all == 1 ? 1 : dmt_up4(job->all)) / 4 * 4;
  }
  job->part = job->products;
  if (job->part > most) {
    uint32_t parts = (job->products + most - 1) / most;
    job->part = dmt_up4((job->products + parts - 1) / parts);
  }
  job->pixels = job->all == 1 ? 1 : DMT_PATCH_F32 / dmt_up4(job->part) / 4 * 4;
  if (job->all > 1 && job->pixels > dmt_up4(job->all)) {
    job->pixels = dmt_up4(job->all);
  }
  uint32_t bytes = job->pixels * dmt_up4(job->part) * (uint32_t)sizeof(float);
  job->scratch = (uint32_t)dmt_round_up(bytes);
  return DMT_OK;
}

static dmt_status conv_f32_check(const dmt_call *call) {
  conv_job job;
  return conv_open(call, &job);
}

static uint32_t conv_f32_scratch(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  return job.scratch;
}

#ifdef DMT_NEON

static float *conv_output(const conv_patch *s, uint32_t pixel, uint32_t block) {
  const dmt_conv *c = &s->job->conv;
  uint32_t p = s->first + pixel, row = s->job->dense ? 0 : p / c->out.w;
  uint8_t *at = s->job->dense ? c->out.data + (size_t)p * c->out.pixel
                              : dmt_at(&c->out, row / c->out.h, row % c->out.h, p % c->out.w);
  return (float *)(void *)at + s->group * c->og + 8 * block;
}

/* The weights, first sums and end of a block. */
static dmt_tile_f32 conv_block(const conv_patch *s, uint32_t block) {
  const dmt_conv *c = &s->job->conv;
  const float *bias = (const float *)(const void *)c->channels + s->group * c->og + 8 * block;
  const float *weights = (const float *)(const void *)c->weights;
  dmt_tile_f32 t = {.k = s->part.count, .from = bias, .limits = {-DMT_INFINITY, DMT_INFINITY}};
  t.w_block = (size_t)s->job->products * 8;
  t.w = weights + (s->group * c->blocks + block) * t.w_block + (size_t)s->part.first * 8;
  t.to_step = (ptrdiff_t)(c->out.pixel / sizeof(float));
  if (s->part.first > 0) {
    t.from_step = t.to_step;
  }
  if (s->part.first + s->part.count == s->job->products) {
    t.limits[0] = dmt_float(s->job->call, 56);
    t.limits[1] = dmt_float(s->job->call, 60);
    t.slopes = c->slopes ? bias + dmt_up8(c->out.c) : NULL;
  }
  return t;
}

/* Fewer pixels or outputs than the tile computes, or pixels here and there: beside the output. */
static void conv_edge(const conv_patch *s, dmt_tile_f32 t, uint32_t pixel, uint32_t block,
                      uint32_t pixels) {
  const dmt_conv *c = &s->job->conv;
  uint32_t left = c->og - 8 * block, n = (left < 8 ? left : 8) * (uint32_t)sizeof(float);
  float sums[4 * 8] = {0}, slopes[4 * 8] = {0};
  for (uint32_t p = 0; p < pixels; p++) {
    memcpy(sums + 8 * p, s->part.first > 0 ? conv_output(s, pixel + p, block) : t.from, n);
  }
  if (t.slopes != NULL) {
    memcpy(slopes, t.slopes, n);
    t.slopes = slopes;
  }
  t.from = t.to = sums;
  t.from_step = t.to_step = 8;
  t.w_block = 0;
  (s->job->all == 1 ? dmt_tile_f32_row : pixels > 2 ? dmt_tile_f32_4 : dmt_tile_f32_2)(&t);
  for (uint32_t p = 0; p < pixels; p++) {
    memcpy(conv_output(s, pixel + p, block), sums + 8 * p, n);
  }
}

/* Four pixels and a block. */
static void conv_tile(const conv_patch *s, dmt_tile_f32 *t, uint32_t pixel, uint32_t block) {
  const conv_job *job = s->job;
  uint32_t pixels = s->count - pixel < 4 ? s->count - pixel : 4;
  t->x = s->x + (size_t)pixel * dmt_up4(t->k);
  if (pixels < 4 || 8 * block + 8 > job->conv.og ||
      (!job->dense && (s->first + pixel) % job->conv.out.w + 4 > job->conv.out.w)) {
    conv_edge(s, *t, pixel, block, pixels);
    return;
  }
  t->to = conv_output(s, pixel, block);
  if (s->part.first > 0) {
    t->from = t->to;
  }
  dmt_tile_f32_4(t);
}

/* All tiles of a patch. Some blocks at a time, so that lines of the output are written whole. */
static void conv_sweep(const conv_patch *s, dmt_range blocks) {
  dmt_tile_f32 t[SIDE];
  uint32_t side = SIDE_WEIGHTS / (s->part.count * 8 * (uint32_t)sizeof(float));
  side = side < 1 || s->part.count < s->job->products ? 1 : side > SIDE ? SIDE : side;
  for (uint32_t b = blocks.begin; b < blocks.end; b += side) {
    uint32_t n = blocks.end - b < side ? blocks.end - b : side;
    for (uint32_t i = 0; i < n; i++) {
      t[i] = conv_block(s, b + i);
    }
    for (uint32_t p = 0; p < s->count; p += 4) {
      for (uint32_t i = 0; i < n; i++) {
        conv_tile(s, &t[i], p, b + i);
      }
    }
  }
}

/* A single pixel: the weights pass once, four blocks at a time. */
static void conv_sweep_row(const conv_patch *s, dmt_range blocks) {
  uint32_t b = blocks.begin;
  for (; b + 4 <= blocks.end && 8 * b + 32 <= s->job->conv.og; b += 4) {
    dmt_tile_f32 t = conv_block(s, b);
    t.x = s->x;
    t.to = conv_output(s, 0, b);
    if (s->part.first > 0) {
      t.from = t.to;
    }
    dmt_tile_f32_row(&t);
  }
  for (; b < blocks.end; b++) {
    dmt_tile_f32 t = conv_block(s, b);
    t.x = s->x;
    conv_edge(s, t, 0, b, 1);
  }
}

static void conv_touch(const conv_job *job, uint32_t group, dmt_range pixels) {
  conv_patch s = {.job = job, .group = group, .first = pixels.begin};
  for (uint32_t p = 0; p < pixels.end - pixels.begin; p++) {
    dmt_touch(conv_output(&s, p, 0), job->conv.og * sizeof(float));
  }
}

static void conv_pixels(const conv_job *job, uint32_t group, dmt_range pixels, dmt_range blocks,
                        float *scratch) {
  const dmt_conv *c = &job->conv;
  conv_patch s = {.job = job, .x = scratch, .group = group, .first = pixels.begin};
  s.count = pixels.end - pixels.begin;
  for (uint32_t k = 0; k < job->products; k += job->part) {
    uint32_t left = job->products - k;
    s.part = dmt_products_at(c, k, left < job->part ? left : job->part);
    if (job->all == 1) {
      dmt_patch_f32_row(c, group, s.first, s.part, scratch);
      conv_sweep_row(&s, blocks);
    } else {
      dmt_patch_f32(c, group, s.first, s.count, s.part, scratch);
      conv_sweep(&s, blocks);
    }
  }
}

/* As many blocks at a time as leave their weights in the second-level cache from one patch to the
 * next. */
static void conv_group(const conv_job *job, uint32_t group, dmt_range pixels, dmt_range blocks,
                       float *scratch) {
  uint32_t most = WEIGHTS / (8 * (uint32_t)sizeof(float)) / job->products;
  most = most > 1 ? most / 2 * 2 : 2;
  if (pixels.end - pixels.begin <= job->pixels) {
    most = blocks.end - blocks.begin;
  }
  for (uint32_t b = blocks.begin; b < blocks.end; b += most) {
    dmt_range some = {b, blocks.end - b < most ? blocks.end : b + most};
    for (uint32_t p = pixels.begin; p < pixels.end; p += job->pixels) {
      dmt_range patch = {p, pixels.end - p < job->pixels ? pixels.end : p + job->pixels};
      if (b == blocks.begin && job->all > 1) {
        conv_touch(job, group, patch);
      }
      conv_pixels(job, group, patch, some, scratch);
    }
  }
}

static void conv_task(void *argument, uint32_t index) {
  const conv_job *job = argument;
  const dmt_conv *c = &job->conv;
  dmt_range pixels = dmt_share(job->all, index / job->block_tasks, job->pixel_tasks);
  dmt_range blocks = dmt_share(c->groups * c->blocks, index % job->block_tasks, job->block_tasks);
  float *scratch = (float *)(void *)(job->call->scratch + (size_t)index * job->scratch);
  for (uint32_t g = blocks.begin / c->blocks; g * c->blocks < blocks.end; g++) {
    conv_group(job, g, pixels, dmt_group_blocks(c, blocks, g), scratch);
  }
}

static void conv_f32_run(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  uint32_t blocks = job.conv.groups * job.conv.blocks;
  int by_pixels = job.all >= 8 * call->threads;
  uint64_t work = (uint64_t)job.all * job.conv.out.c * job.products;
  uint32_t tasks =
      dmt_tasks_over(call, work, by_pixels, job.all, blocks, &job.pixel_tasks, &job.block_tasks);
  dmt_parallel(call, tasks, conv_task, &job);
}

#endif

const dmt_operator dmt_op_conv_f32_neon = {
    DMT_OP_CONV, DMT_F32, 1, conv_f32_check, conv_f32_scratch, DMT_NEON_RUN(conv_f32_run),
};
