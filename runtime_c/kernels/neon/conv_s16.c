/* Convolution and InnerProduct, int16, packing 1, on NEON: the bits of generic/conv_s16.c.
 *
 * Tiles are three pixels wherever those stand: each tap of each pixel has a pointer, and taps
 * outside the input point at zeros, which add nothing to a block. With fewer than 16 inputs a block
 * runs over several taps, so those pixels are gathered first (dmt_patch.h).
 */
#include "dmt_neon.h"
#include "dmt_plan_s16.h"

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  const struct dmt_ending *ending; /* for run() alone */
  dmt_plan plan;
  uint32_t patched, scratch;
  uint32_t pixel_tasks, block_tasks;
} conv_job;

/* Products of an output; in patches there are as many bytes to three pixels. */
#define CONV_MOST_PATCH (1u << 24)

static dmt_status conv_open(const dmt_call *call, conv_job *job) {
  dmt_conv *c = &job->conv;
  dmt_status status = dmt_conv_lanes(call, 0, c);
  if (status != DMT_OK) {
    return status;
  }
  dmt_conv_flatten(c);
  job->call = call;
  job->ending = NULL;
  job->patched = c->ig < 16 && (c->y.kernel > 1 || c->x.kernel > 1);
  job->scratch = 0;
  if (call->out.zero_point != 0 || dmt_taps(c) > CONV_MOST_PATCH) {
    return DMT_E_UNSUPPORTED;
  }
  if (job->patched) {
    uint32_t fit = DMT_L1_WEIGHTS / 16 / (uint32_t)dmt_taps(c);
    fit = fit < 1 ? 1 : fit < c->blocks ? fit : c->blocks;
    dmt_plan plan = {(uint32_t)c->y.kernel, (uint32_t)c->x.kernel, c->ig, fit, 1, 0};
    plan.pixels = dmt_patches_s16(c);
    job->plan = plan;
    job->scratch = plan.pixels * (uint32_t)dmt_taps(c) * (uint32_t)sizeof(int16_t);
  } else {
    job->plan = dmt_plan_of(c);
  }
  if (job->plan.parts > 1) {
    job->scratch = (job->plan.pixels + 2) / 3 * job->plan.blocks * 96;
    job->scratch += (uint32_t)dmt_plan_weights(&job->plan);
  }
  job->scratch = (job->scratch + DMT_ALIGN - 1) / DMT_ALIGN * DMT_ALIGN;
  return job->plan.blocks > 0 ? DMT_OK : DMT_E_UNSUPPORTED;
}

static dmt_status conv_check(const dmt_call *call) {
  conv_job job;
  return conv_open(call, &job);
}

static uint32_t conv_scratch(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  return job.scratch;
}

#ifdef DMT_NEON

#include "dmt_patch_s16.h"
#include "dmt_tile_s16.h"

/* Blocks of one group of outputs, over a run of pixels, for one part of the sum. */
typedef struct {
  const conv_job *job;
  uint32_t group, block, blocks;
  dmt_range pixels;
  uint32_t row, rows, col, cols, input; /* the part */
  uint32_t parts, first, last;          /* of the sum, and whether it is the first or last */
  size_t sum, part;                     /* products of an output, and of the part */
  const int16_t *weights;               /* of the part */
  int32_t *totals;                      /* between parts: of tiles, by blocks */
  const int16_t *patches;
  uint32_t simple; /* one pointer a pixel, and always the same distance to the next in a row */
} conv_sweep;

typedef struct {
  uint32_t n, y, x;
} conv_place;

typedef struct {
  const int16_t *at[3 * DMT_MOST_TAPS];
  dmt_tile part;
  uint32_t whole; /* blocks of outputs that dmt_tile_s16.h brings to their end */
} conv_tile;

static const int16_t conv_zeros[DMT_MOST_ZEROS] = {0};

static const int16_t *conv_input(const uint8_t *at) { return (const int16_t *)(const void *)at; }

/* Where pixel p of a tile meets the input, or zeros. */
static void conv_aim_any(const conv_sweep *s, const conv_place *place, const int16_t **at) {
  const dmt_conv *c = &s->job->conv;
  size_t channel = ((size_t)s->group * c->ig + s->input) * sizeof(int16_t);
  int32_t y = (int32_t)place->y * c->y.stride - c->y.pad + (int32_t)s->row * c->y.dilation;
  int32_t left = (int32_t)place->x * c->x.stride - c->x.pad + (int32_t)s->col * c->x.dilation;
  for (uint32_t row = 0; row < s->rows; row++, y += c->y.dilation) {
    int32_t x = left;
    for (uint32_t col = 0; col < s->cols; col++, x += c->x.dilation, at += 3) {
      int inside = (uint32_t)y < c->in.h && (uint32_t)x < c->in.w;
      *at = inside ? conv_input(dmt_at(&c->in, place->n, (uint32_t)y, (uint32_t)x) + channel)
                   : conv_zeros;
    }
  }
}

/* Three neighbours in a row that miss no tap: whether they are. */
static int conv_aim_inside(const conv_sweep *s, const conv_place *place, const int16_t **at) {
  const dmt_conv *c = &s->job->conv;
  int32_t y = (int32_t)place->y * c->y.stride - c->y.pad + (int32_t)s->row * c->y.dilation;
  int32_t x = (int32_t)place->x * c->x.stride - c->x.pad + (int32_t)s->col * c->x.dilation;
  int32_t bottom = y + (int32_t)(s->rows - 1) * c->y.dilation;
  int32_t right = x + 2 * c->x.stride + (int32_t)(s->cols - 1) * c->x.dilation;
  if (place->x + 3 > c->out.w || y < 0 || x < 0 || bottom >= c->y.in || right >= c->x.in) {
    return 0;
  }
  const uint8_t *line = dmt_at(&c->in, place->n, (uint32_t)y, (uint32_t)x);
  line += ((size_t)s->group * c->ig + s->input) * sizeof(int16_t);
  size_t pixel = (uint32_t)c->x.stride * c->in.pixel;
  size_t tap = (uint32_t)c->x.dilation * c->in.pixel, row = (uint32_t)c->y.dilation * c->in.row;
  for (uint32_t rows = s->rows; rows > 0; rows--, line += row) {
    const uint8_t *x0 = line;
    for (uint32_t cols = s->cols; cols > 0; cols--, x0 += tap, at += 3) {
      at[0] = conv_input(x0);
      at[1] = conv_input(x0 + pixel);
      at[2] = conv_input(x0 + 2 * pixel);
    }
  }
  return 1;
}

static conv_place conv_place_of(const dmt_conv *c, uint32_t pixel) {
  uint32_t row = pixel / c->out.w;
  conv_place place = {row / c->out.h, row % c->out.h, pixel % c->out.w};
  return place;
}

static void conv_step(const dmt_conv *c, conv_place *place) {
  if (++place->x == c->out.w) {
    place->x = 0;
    if (++place->y == c->out.h) {
      place->y = 0;
      place->n++;
    }
  }
}

/* The weights of a part stand apart for each block, at distances that share few sets of the cache:
 * while pixels are swept they are better together. */
static void conv_copy_weights(const conv_sweep *s, const int16_t *from, int16_t *to) {
  for (uint32_t b = 0; b < s->blocks; b++, from += 8 * s->sum) {
    const int16_t *w = from;
    for (size_t n = s->part; n > 0; n--, w += 8, to += 8) {
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
static void conv_tile_any(const conv_sweep *s, const conv_tile *tile, uint32_t block,
                          int32_t *totals) {
  const dmt_conv *c = &s->job->conv;
  uint32_t first = s->group * c->og + 8 * (s->block + block), n = (s->group + 1) * c->og - first;
  if (s->first) {
    conv_start(c, first, n, 3, totals);
  }
  dmt_add_3x8(&tile->part, s->weights + 8 * s->part * block, totals, 1);
  for (uint32_t p = 0; s->last && p < 3; p++) {
    dmt_end_any(s->job->ending, first, n < 8 ? n : 8, totals + 8 * p, tile->part.y[p] + 8 * block);
  }
}

/* Three pixels by all blocks; the whole ones end together. */
static void conv_tile_3x8(const conv_sweep *s, conv_tile *tile, int32_t *totals) {
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
static void conv_tile_1x24(const conv_sweep *s, const conv_tile *tile, uint32_t begin,
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
      dmt_end_any(s->job->ending, first, n, some + 8 * i, tile->part.y[0] + 8 * (begin + i));
    } else {
      dmt_i8_store(totals + 24 * i, dmt_i8_load(some + 8 * i));
    }
  }
}

/* Where the run of pixels is: `left` more in the row that starts at or before `place`. */
typedef struct {
  conv_place place;
  const uint8_t *x; /* of the only tap, if it is one inside the input */
  uint8_t *y;
  uint32_t left;
} conv_walk;

static void conv_enter_row(const conv_sweep *s, conv_walk *walk) {
  const dmt_conv *c = &s->job->conv;
  const conv_place *p = &walk->place;
  walk->left = c->out.w - p->x;
  walk->y = dmt_at(&c->out, p->n, p->y, p->x) +
            ((size_t)s->group * c->og + 8 * s->block) * sizeof(int16_t);
  if (s->patches == NULL && s->simple) {
    walk->x = dmt_at(&c->in, p->n, p->y * (uint32_t)c->y.stride, p->x * (uint32_t)c->x.stride) +
              ((size_t)s->group * c->ig + s->input) * sizeof(int16_t);
  }
}

/* Up to three pixels; where there are two, the third repeats the second. */
static void conv_aim(const conv_sweep *s, conv_walk *walk, uint32_t width, conv_tile *tile) {
  const dmt_conv *c = &s->job->conv;
  const size_t x_step =
      s->patches != NULL ? s->sum * sizeof(int16_t) : (uint32_t)c->x.stride * c->in.pixel;
  int done = s->simple || (width == 3 && conv_aim_inside(s, &walk->place, tile->at));
  for (uint32_t p = 0; p < width; p++) {
    tile->part.y[p] = (int16_t *)(void *)walk->y;
    if (s->simple) {
      tile->at[p] = conv_input(walk->x);
    } else if (!done) {
      conv_aim_any(s, &walk->place, tile->at + p);
    }
    walk->x += x_step;
    walk->y += c->out.pixel;
    walk->place.x++;
    if (--walk->left == 0) {
      walk->place.x--;
      conv_step(c, &walk->place);
      conv_enter_row(s, walk);
    }
  }
  if (width == 2) {
    tile->part.y[2] = tile->part.y[1];
    for (uint32_t t = 0; t < tile->part.taps; t++) {
      tile->at[3 * t + 2] = tile->at[3 * t + 1];
    }
  }
}

static void conv_gather(const conv_sweep *s, int16_t *to) {
  const dmt_conv *c = &s->job->conv;
  conv_place place = conv_place_of(c, s->pixels.begin);
  for (uint32_t p = s->pixels.begin; p < s->pixels.end; p++) {
    const uint8_t *from = c->in.data + place.n * c->in.sample;
    from += (size_t)s->group * c->ig * sizeof(int16_t);
    to = dmt_patch_s16(c, from, place.y, place.x, to);
    conv_step(c, &place);
  }
}

/* What all tiles of a part have in common. */
static void conv_open_tile(const conv_sweep *s, uint32_t inputs, conv_tile *tile) {
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

static void conv_go_over(const conv_sweep *s, uint32_t inputs) {
  uint32_t count = s->pixels.end - s->pixels.begin;
  conv_walk walk = {.place = conv_place_of(&s->job->conv, s->pixels.begin)};
  int32_t *totals = s->totals;
  conv_tile tile;
  conv_open_tile(s, inputs, &tile);
  walk.x = s->patches != NULL ? (const uint8_t *)s->patches : s->job->conv.in.data;
  conv_enter_row(s, &walk);
  for (uint32_t p = 0; p < count; p += 3, totals += s->parts > 1 ? 24 * s->blocks : 0) {
    uint32_t width = count - p < 3 ? count - p : 3;
    conv_aim(s, &walk, width, &tile);
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
static void conv_parts(conv_sweep *s, int16_t *copy) {
  const conv_job *job = s->job;
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
        conv_go_over(s, job->patched ? (uint32_t)s->part : left);
      }
    }
  }
}

static void conv_task(void *argument, uint32_t index) {
  const conv_job *job = argument;
  const dmt_conv *c = &job->conv;
  dmt_range pixels =
      dmt_share(c->out.n * c->out.h * c->out.w, index / job->block_tasks, job->pixel_tasks);
  dmt_range all = dmt_share(c->groups * c->blocks, index % job->block_tasks, job->block_tasks);
  void *scratch = job->call->scratch + (size_t)index * job->scratch;
  int16_t *copy = scratch;
  conv_sweep s = {.job = job, .parts = job->plan.parts, .sum = dmt_taps(c)};
  s.totals = (int32_t *)(void *)(copy + dmt_plan_weights(&job->plan) / sizeof *copy);
  for (s.group = all.begin / c->blocks; s.group * c->blocks < all.end; s.group++) {
    dmt_range part = dmt_group_blocks(c, all, s.group);
    for (uint32_t p = pixels.begin; p < pixels.end; p += job->plan.pixels) {
      uint32_t left = pixels.end - p;
      s.pixels.begin = p;
      s.pixels.end = p + (left < job->plan.pixels ? left : job->plan.pixels);
      if (job->patched) {
        conv_gather(&s, copy);
        s.patches = copy;
      }
      s.simple =
          job->patched || (s.sum == c->ig && !dmt_axis_padded(&c->y) && !dmt_axis_padded(&c->x));
      for (s.block = part.begin; s.block < part.end; s.block += s.blocks) {
        left = part.end - s.block;
        s.blocks = left < job->plan.blocks ? left : job->plan.blocks;
        conv_parts(&s, copy);
      }
    }
  }
}

/* Threads share the pixels where there are enough of them, else the outputs' channels. */
static void conv_run(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  const dmt_conv *c = &job.conv;
  uint32_t pixels = c->out.n * c->out.h * c->out.w, blocks = c->groups * c->blocks;
  int by_pixels = pixels >= 8 * call->threads;
  uint64_t work = dmt_times(dmt_times(pixels, c->out.c), dmt_taps(c));
  uint32_t tasks = dmt_tasks(call, work, 100000, by_pixels ? pixels : blocks);
  job.pixel_tasks = by_pixels ? tasks : 1;
  job.block_tasks = by_pixels ? 1 : tasks;
  const dmt_ending ending = dmt_ending_of(c, call);
  job.ending = &ending;
  dmt_parallel(call, tasks, conv_task, &job);
}

#endif

const dmt_operator dmt_op_conv_s16_neon = {
    DMT_OP_CONV, DMT_S16, 1, conv_check, conv_scratch, DMT_NEON_RUN(conv_run),
};
