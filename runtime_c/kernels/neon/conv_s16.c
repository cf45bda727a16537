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
  uint32_t first, last;                 /* whether it is the sum's */
  size_t sum, part;                     /* products of an output, and of the part */
  const int16_t *weights;               /* of the part */
  int32_t *totals;                      /* between parts: of tiles, by blocks */
  const int16_t *patches;
} conv_sweep;

typedef struct {
  uint32_t n, y, x;
} conv_place;

typedef struct {
  const int16_t *at[3 * DMT_MOST_TAPS];
  int16_t *y[3];
  dmt_stretch stretch;
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

DMT_INLINE void conv_load(dmt_totals *t, const int32_t *from) {
  for (uint32_t i = 0; i < 6; i++) {
    t->q[i] = vld1q_s32(from + 4 * i);
  }
}

DMT_INLINE void conv_store(const dmt_totals *t, int32_t *to) {
  for (uint32_t i = 0; i < 6; i++) {
    vst1q_s32(to + 4 * i, t->q[i]);
  }
}

/* The totals of three pixels become the outputs of n <= 8 channels. */
DMT_INLINE void conv_end(const dmt_ending *e, const dmt_totals *t, int16_t *const *y,
                         uint32_t first, uint32_t n) {
  if (e->plain && n >= 8) {
    dmt_factors f = dmt_factors_of(e, first);
    int16_t *y0 = y[0] + first, *y1 = y[1] + first, *y2 = y[2] + first;
    vst1q_s16(y0, dmt_end_plain(t->q[0], t->q[1], &f));
    vst1q_s16(y1, dmt_end_plain(t->q[2], t->q[3], &f));
    vst1q_s16(y2, dmt_end_plain(t->q[4], t->q[5], &f));
    return;
  }
  n = n < 8 ? n : 8;
  dmt_end_any(e, first, n, t->q[0], t->q[1], y[0] + first);
  dmt_end_any(e, first, n, t->q[2], t->q[3], y[1] + first);
  dmt_end_any(e, first, n, t->q[4], t->q[5], y[2] + first);
}

DMT_INLINE void conv_start(const dmt_conv *c, dmt_totals *t, uint32_t first, uint32_t n) {
  dmt_i8 bias = dmt_i8_words(c->channels + first, n < 8 ? n : 8);
  t->q[0] = t->q[2] = t->q[4] = bias.val[0];
  t->q[1] = t->q[3] = t->q[5] = bias.val[1];
}

/* Three pixels by all blocks. */
static void conv_tile_3x8(const conv_sweep *s, const conv_tile *tile, int32_t *totals) {
  const dmt_conv *c = &s->job->conv;
  const dmt_ending *e = s->job->ending;
  const int16_t *w = s->weights;
  uint32_t end = (s->group + 1) * c->og, first = s->group * c->og + 8 * s->block;
  for (uint32_t blocks = s->blocks; blocks > 0; blocks--, first += 8, totals += 24) {
    dmt_totals t;
    if (s->first) {
      conv_start(c, &t, first, end - first);
    } else {
      conv_load(&t, totals);
    }
    w = dmt_add_3x8(&t, &tile->stretch, w);
    if (s->last) {
      conv_end(e, &t, tile->y, first, end - first);
    } else {
      conv_store(&t, totals);
    }
  }
}

/* One pixel by up to three blocks; those that are not there repeat the first. */
static void conv_tile_1x24(const conv_sweep *s, const conv_tile *tile, uint32_t begin,
                           int32_t *totals) {
  const dmt_conv *c = &s->job->conv;
  const dmt_ending *e = s->job->ending;
  uint32_t block = s->block + begin, blocks = s->blocks - begin;
  uint32_t first = s->group * c->og + 8 * block, left = c->og - 8 * block;
  const int16_t *w[3];
  dmt_totals t;
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t b = i < blocks ? i : 0, n = left - 8 * b;
    w[i] = s->weights + 8 * s->part * (begin + b);
    dmt_i8 start = s->first ? dmt_i8_words(c->channels + first + 8 * b, n < 8 ? n : 8)
                            : dmt_i8_load(totals + 24 * b);
    t.q[2 * i] = start.val[0];
    t.q[2 * i + 1] = start.val[1];
  }
  dmt_add_1x24(&t, &tile->stretch, w[0], w[1], w[2]);
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t n = left - 8 * i, at = first + 8 * i;
    if (i >= blocks) {
      break;
    }
    if (!s->last) {
      vst1q_s32(totals + 24 * i, t.q[2 * i]);
      vst1q_s32(totals + 24 * i + 4, t.q[2 * i + 1]);
    } else if (e->plain && n >= 8) {
      dmt_factors f = dmt_factors_of(e, at);
      vst1q_s16(tile->y[0] + at, dmt_end_plain(t.q[2 * i], t.q[2 * i + 1], &f));
    } else {
      dmt_end_any(e, at, n < 8 ? n : 8, t.q[2 * i], t.q[2 * i + 1], tile->y[0] + at);
    }
  }
}

/* Up to three pixels from `place` on; where there are two, the third repeats the second. */
static void conv_aim(const conv_sweep *s, conv_place *place, uint32_t pixel, uint32_t width,
                     conv_tile *tile) {
  const dmt_conv *c = &s->job->conv;
  int done = s->patches == NULL && width == 3 && conv_aim_inside(s, place, tile->at);
  for (uint32_t p = 0; p < width; p++) {
    tile->y[p] = (int16_t *)(void *)dmt_at(&c->out, place->n, place->y, place->x);
    if (s->patches != NULL) {
      tile->at[p] = s->patches + (size_t)(pixel + p) * s->sum;
    } else if (!done) {
      conv_aim_any(s, place, tile->at + p);
    }
    conv_step(c, place);
  }
  if (width == 2) {
    tile->y[2] = tile->y[1];
    for (uint32_t t = 0; t < tile->stretch.taps; t++) {
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

static void conv_go_over(const conv_sweep *s, uint32_t inputs) {
  const dmt_conv *c = &s->job->conv;
  uint32_t count = s->pixels.end - s->pixels.begin;
  conv_place place = conv_place_of(c, s->pixels.begin);
  int32_t *totals = s->totals;
  conv_tile tile;
  tile.stretch.at = tile.at;
  tile.stretch.taps = s->patches != NULL ? 1 : s->rows * s->cols;
  tile.stretch.blocks = inputs / 16;
  tile.stretch.rest = inputs % 16;
  for (uint32_t p = 0; p < count; p += 3, totals += s->first && s->last ? 0 : 24 * s->blocks) {
    uint32_t width = count - p < 3 ? count - p : 3;
    conv_aim(s, &place, p, width, &tile);
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
  conv_sweep s = {.job = job, .sum = dmt_taps(c)};
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
