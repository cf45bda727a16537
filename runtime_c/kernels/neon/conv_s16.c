/* Convolution and InnerProduct, int16, packing 1, on NEON: the bits of generic/conv_s16.c.
 *
 * Tiles are three pixels wherever those stand: each tap of each pixel has a pointer, and taps
 * outside the input point at zeros, which add nothing to a block. With fewer than 16 inputs a block
 * runs over several taps, so those pixels are gathered first.
 */
#include "dmt_neon.h"
#include "dmt_plan_s16.h"

static dmt_status conv_check(const dmt_call *call) {
  dmt_job_s16 job;
  return dmt_job_open(call, &job);
}

static uint32_t conv_scratch(const dmt_call *call) {
  dmt_job_s16 job;
  dmt_job_open(call, &job);
  return job.scratch;
}

#ifdef DMT_NEON

#include "dmt_aim_s16.h"
#include "dmt_tile_s16.h"

typedef struct {
  const int16_t *at[3 * DMT_MOST_TAPS];
  dmt_tile part;
  uint32_t whole; /* blocks of outputs that dmt_tile_s16.h brings to their end */
} conv_tile;

/* The weights of a part stand apart for each block, at distances that share few sets of the cache:
 * while pixels are swept they are better together. */
static void conv_copy_weights(const dmt_sweep_s16 *s, const int16_t *from, int16_t *to) {
  for (uint32_t b = 0; b < s->blocks; b++, from += 8 * s->sum) {
    const int16_t *w = from;
    size_t n = s->part;
    for (; n >= 2; n -= 2, w += 16, to += 16) {
      int16x8_t even = vld1q_s16(w), odd = vld1q_s16(w + 8);
      vst1q_s16(to, even);
      vst1q_s16(to + 8, odd);
    }
    for (; n > 0; n--, w += 8, to += 8) {
      vst1q_s16(to, vld1q_s16(w));
    }
  }
}

/* Biases of n channels from `first` on, as totals of `pixels` pixels. */
static void conv_start(const dmt_conv *c, uint32_t first, uint32_t n, uint32_t pixels,
                       int32_t *totals) {
  dmt_i8 bias = dmt_i8_words(c->channels + first, n < 8 ? n : 8);
  for (uint32_t i = 0; i < pixels; i++) {
    dmt_i8_store(totals + 8 * i, bias);
  }
}

/* Three pixels by a block of outputs, by way of memory. */
static void conv_tile_any(const dmt_sweep_s16 *s, const conv_tile *tile, uint32_t block,
                          int32_t *totals) {
  const dmt_conv *c = &s->job->conv;
  uint32_t first = s->group * c->og + 8 * (s->block + block), n = (s->group + 1) * c->og - first;
  if (s->first) {
    conv_start(c, first, n, 3, totals);
  }
  dmt_add_3x8(&tile->part, s->weights + 8 * s->part * block, totals, 1);
  if (!s->last) {
    return;
  }
  uint8_t *y[3];
  for (uint32_t p = 0; p < 3; p++) {
    y[p] = tile->part.y[p] + 16 * (size_t)block;
  }
  if (n >= 8 && s->job->ending->bent) {
    dmt_end_bent(s->job->ending, first, totals, y);
    return;
  }
  for (uint32_t p = 0; p < 3; p++) {
    dmt_end_any(s->job->ending, first, n < 8 ? n : 8, totals + 8 * p, y[p]);
  }
}

/* Three pixels by all blocks; the whole ones end together. */
static void conv_tile_3x8(const dmt_sweep_s16 *s, conv_tile *tile, int32_t *totals) {
  uint32_t block = 0;
  int32_t some[24];
  if (tile->whole > 0 && s->first) {
    dmt_conv_3x8(&tile->part, s->weights);
    block = tile->whole;
  } else if (tile->whole > 0) {
    tile->part.start = totals;
    dmt_conv_last_3x8(&tile->part, s->weights);
    block = tile->whole;
  } else if (!s->first && !s->last) {
    dmt_add_3x8(&tile->part, s->weights, totals, s->blocks);
    return;
  }
  for (; block < s->blocks; block++) {
    conv_tile_any(s, tile, block, s->parts > 1 ? totals + 24 * block : some);
  }
}

/* One pixel by up to three blocks; those that are not there repeat the first. */
static void conv_tile_1x24(const dmt_sweep_s16 *s, const conv_tile *tile, uint32_t begin,
                           int32_t *totals) {
  const dmt_conv *c = &s->job->conv;
  uint32_t blocks = s->blocks - begin < 3 ? s->blocks - begin : 3;
  uint32_t first = s->group * c->og + 8 * (s->block + begin), end = (s->group + 1) * c->og;
  const int16_t *w[3];
  int32_t some[24];
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t b = i < blocks ? i : 0;
    w[i] = s->weights + 8 * s->part * (begin + b);
    if (s->first) {
      conv_start(c, first + 8 * b, end - first - 8 * b, 1, some + 8 * i);
    } else {
      dmt_i8_store(some + 8 * i, dmt_i8_load(totals + 24 * b));
    }
  }
  dmt_add_1x24(&tile->part, w[0], w[1], w[2], some);
  for (uint32_t i = 0; i < blocks; i++, first += 8) {
    if (s->last) {
      uint32_t n = end - first < 8 ? end - first : 8;
      dmt_end_any(s->job->ending, first, n, some + 8 * i,
                  tile->part.y[0] + 16 * (size_t)(begin + i));
    } else {
      dmt_i8_store(totals + 24 * i, dmt_i8_load(some + 8 * i));
    }
  }
}

/* What all tiles of a part have in common. */
static void conv_open_tile(const dmt_sweep_s16 *s, uint32_t inputs, conv_tile *tile) {
  const dmt_conv *c = &s->job->conv;
  const dmt_ending *e = s->job->ending;
  const int32_t *bias = c->channels + s->group * c->og + 8 * s->block;
  uint32_t whole = c->og / 8 - s->block;
  whole = whole < s->blocks ? whole : s->blocks;
  tile->whole = s->last && e->plain && inputs >= 16 ? whole : 0;
  tile->part.at = tile->at;
  tile->part.taps = s->patches != NULL ? 1 : s->rows * s->cols;
  tile->part.blocks = inputs / 16;
  tile->part.rest = inputs % 16;
  tile->part.start = bias;
  tile->part.multiplier = bias + e->words;
  tile->part.right = bias + 3 * (size_t)e->words;
  tile->part.last = 16 * tile->whole - 16;
  tile->part.range = e->range;
}

/* The next tile; a kept one where it was before, its outputs as much further as this block. */
static void conv_next_tile(const dmt_sweep_s16 *s, dmt_walk_s16 *walk, uint32_t pixel,
                           uint32_t width, conv_tile *tile) {
  if (s->table == NULL) {
    dmt_aim_s16(s, walk, width, tile->at, tile->part.y);
    return;
  }
  const int16_t **at = s->table + pixel * tile->part.taps;
  uint8_t **y = s->lines + pixel;
  if (!s->known) {
    dmt_aim_s16(s, walk, width, at, y);
  }
  tile->part.at = at;
  for (uint32_t p = 0; p < 3; p++) {
    tile->part.y[p] = y[p] + 16 * (size_t)(s->block - s->begin);
  }
}

static void conv_go_over(const dmt_sweep_s16 *s, uint32_t inputs) {
  const dmt_job_s16 *job = s->job;
  const dmt_conv *c = &job->conv;
  uint32_t count = s->pixels.end - s->pixels.begin;
  dmt_walk_s16 walk = {.place = dmt_place_of(&c->out, s->pixels.begin)};
  int32_t *totals = s->totals;
  conv_tile tile;
  conv_open_tile(s, inputs, &tile);
  walk.x = s->patches != NULL ? (const uint8_t *)s->patches : c->in.data;
  dmt_enter_row_s16(s, &walk);
  for (uint32_t p = 0; p < count; p += 3, totals += s->parts > 1 ? 24 * s->blocks : 0) {
    uint32_t width = count - p < 3 ? count - p : 3;
    conv_next_tile(s, &walk, p, width, &tile);
    if (job->touch_x | job->touch_y) {
      dmt_touch_all_s16(s, tile.part.at, tile.part.y, inputs);
    }
    if (width > 1) {
      conv_tile_3x8(s, &tile, totals);
      continue;
    }
    for (uint32_t b = 0; b < s->blocks; b += 3) {
      conv_tile_1x24(s, &tile, b, totals + 24 * b);
    }
  }
}

/* All parts of the sum, one after the other. */
static void conv_parts(dmt_sweep_s16 *s, int16_t *copy, const int16_t **tables) {
  const dmt_job_s16 *job = s->job;
  const dmt_plan *plan = &job->plan;
  uint32_t height = (uint32_t)job->conv.y.kernel, width = (uint32_t)job->conv.x.kernel, part = 0;
  const int16_t *whole = (const int16_t *)(const void *)job->conv.weights +
                         8 * s->sum * ((size_t)s->group * job->conv.blocks + s->block);
  for (s->row = 0; s->row < height; s->row += s->rows) {
    s->rows = height - s->row < plan->rows ? height - s->row : plan->rows;
    for (s->col = 0; s->col < width; s->col += s->cols) {
      s->cols = width - s->col < plan->cols ? width - s->col : plan->cols;
      for (s->input = 0; s->input < job->conv.ig; s->input += plan->inputs) {
        uint32_t left = job->conv.ig - s->input;
        s->first = part == 0;
        s->last = ++part == plan->parts;
        left = left < plan->inputs ? left : plan->inputs;
        s->part = (size_t)s->rows * s->cols * left;
        s->weights = whole + 8 * (((size_t)s->row * width + s->col) * job->conv.ig + s->input);
        if (plan->parts > 1) {
          conv_copy_weights(s, s->weights, copy);
          s->weights = copy;
        }
        s->table = tables;
        conv_go_over(s, job->patched ? (uint32_t)s->part : left);
        if (tables != NULL) {
          tables += (size_t)dmt_ceil(s->pixels.end - s->pixels.begin, 3) * 3 * s->rows * s->cols;
        }
      }
    }
  }
}

/* A run of pixels for some blocks of outputs of a group. */
static void conv_run_of_pixels(dmt_sweep_s16 *s, dmt_range blocks, uint8_t *scratch) {
  const dmt_job_s16 *job = s->job;
  const int16_t **tables = NULL;
  int16_t *first = (int16_t *)(void *)scratch; /* patches, or weights of a part */
  if (job->patched) {
    dmt_gather_s16(s, first);
    s->patches = first;
  }
  if (job->plan.parts > 1) {
    s->totals = (int32_t *)(void *)(scratch + dmt_plan_weights(&job->plan));
  }
  if (job->tables > 0) {
    s->lines = (uint8_t **)(void *)(scratch + job->scratch - job->tables);
    tables = (const int16_t **)(void *)(s->lines + 3 * (size_t)dmt_ceil(job->plan.pixels, 3));
  }
  s->known = 0;
  s->begin = blocks.begin;
  for (s->block = blocks.begin; s->block < blocks.end; s->block += s->blocks) {
    uint32_t left = blocks.end - s->block;
    s->blocks = left < job->plan.blocks ? left : job->plan.blocks;
    conv_parts(s, first, tables);
    s->known = tables != NULL;
  }
}

static void conv_task(void *argument, uint32_t index) {
  const dmt_job_s16 *job = argument;
  const dmt_conv *c = &job->conv;
  dmt_range pixels =
      dmt_share(c->out.n * c->out.h * c->out.w, index / job->block_tasks, job->pixel_tasks);
  dmt_range all = dmt_share(c->groups * c->blocks, index % job->block_tasks, job->block_tasks);
  dmt_sweep_s16 s = {.job = job, .parts = job->plan.parts, .sum = dmt_taps(c)};
  for (s.group = all.begin / c->blocks; s.group * c->blocks < all.end; s.group++) {
    dmt_range part = dmt_group_blocks(c, all, s.group);
    for (uint32_t p = pixels.begin; p < pixels.end; p += job->plan.pixels) {
      uint32_t left = pixels.end - p;
      s.pixels.begin = p;
      s.pixels.end = p + (left < job->plan.pixels ? left : job->plan.pixels);
      conv_run_of_pixels(&s, part, job->call->scratch + (size_t)index * job->scratch);
    }
  }
}

/* Threads share the pixels where there are enough of them, else the outputs' channels. */
static void conv_run(const dmt_call *call) {
  dmt_job_s16 job;
  dmt_job_open(call, &job);
  const dmt_conv *c = &job.conv;
  uint32_t pixels = c->out.n * c->out.h * c->out.w, blocks = c->groups * c->blocks;
  int by_pixels = pixels >= 8 * call->threads;
  uint64_t work = dmt_times(dmt_times(pixels, c->out.c), dmt_taps(c));
  uint32_t tasks =
      dmt_tasks_over(call, work, by_pixels, pixels, blocks, &job.pixel_tasks, &job.block_tasks);
  const dmt_ending ending = dmt_ending_of(c, call);
  job.ending = &ending;
  dmt_parallel(call, tasks, conv_task, &job);
}

#endif

const dmt_operator dmt_op_conv_s16_neon = {
    DMT_OP_CONV, DMT_S16, 1, conv_check, conv_scratch, DMT_NEON_RUN(conv_run),
};
