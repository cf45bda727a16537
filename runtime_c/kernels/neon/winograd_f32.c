/* Convolution of 3 x 3 taps and stride 1, float32, packing 1, in NEON: Winograd's.
 *
 * Some tiles at a time are transformed for all inputs, and some blocks of eight outputs; each of
 * the 36 elements is then a product of matrices, by the tiles of dmt_tile_f32.h. Where tiles are
 * few, inputs are taken a few at a time, so that their weights stay in the first-level cache
 * between being transformed and used. Results are not those of a sum in the order of FORMAT.md:
 * they differ from it by less than 1e-5 of the largest value, typically.
 */
#include "../generic/dmt_conv.h"
#include "dmt_neon.h"
#include "dmt_tile_f32.h"
#include "dmt_touch.h"
#include "dmt_winograd_f32.h"

#define ALL DMT_WINOGRAD_ALL

/* Sizes of elements are often powers of two, whose multiples share a few sets of a cache. */
#define GAP 16u /* floats between elements */

/* Bytes of a task's buffers: what is transformed stays in the second-level cache until it is used.
 */
#define INPUTS_BYTES (256u * 1024u) /* or up to MOST_INPUTS for the sake of ENOUGH tiles */
#define MOST_INPUTS (600u * 1024u)
#define WEIGHTS_BYTES (224u * 1024u)
#define FEW 8u /* inputs at a time, or tiles: weights then stay in the first-level cache */
#define ENOUGH 28u
#define MANY 56u

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  uint32_t down, across, all; /* tiles of a sample; of the call */
  uint32_t tiles, blocks;     /* at a time */
  uint32_t inputs;            /* whose weights are transformed at a time */
  size_t x_element, w_element, w_block, y_element, y_block; /* floats from one to the next */
  uint32_t tile_tasks, block_tasks;
  size_t scratch; /* bytes of one task */
} job;

/* The buffers of a task. */
typedef struct {
  const job *job;
  float *half, *edge, *x, *w, *y;
  uint32_t group, first, tiles; /* that are transformed */
} work;

static uint32_t most_of(uint32_t a, uint32_t b) { return a > b ? a : b; }
/* Cycles by input and output: those of transformations stand beside those of the products. Modelled
 * for a Cortex-A17. */
static int pays(const dmt_conv *c, uint32_t tiles) {
  uint64_t pixels = (uint64_t)c->out.n * c->out.h * c->out.w, t = dmt_up4(tiles);
  uint64_t direct = 5 * pixels;
  uint64_t fast = 20 * t + 100 + 100 * (uint64_t)tiles / c->og + 100 * (uint64_t)tiles / c->ig;
  return fast < direct;
}

/* How many tiles, blocks and inputs of them at a time. */
static void winograd_parts(job *j) {
  const dmt_conv *c = &j->conv;
  const uint32_t tile = ALL * (uint32_t)sizeof(float) * c->ig;
  const uint32_t block = ALL * (uint32_t)sizeof(float) * 8; /* and input, or tile */
  uint32_t most = most_of(INPUTS_BYTES / tile, dmt_least(MOST_INPUTS / tile, ENOUGH));
  most = most_of(dmt_least(most, MANY) / 4 * 4, 4);
  j->tiles = dmt_up4(dmt_ceil(j->all, dmt_ceil(dmt_up4(j->all), most)));
  j->inputs = dmt_least(c->ig, j->tiles <= FEW ? FEW : j->tiles <= 16 ? 64 : c->ig);
  j->blocks = WEIGHTS_BYTES / (block * most_of(j->inputs, j->tiles));
  j->blocks = j->tiles <= FEW ? 1 : most_of(dmt_least(j->blocks, c->blocks), 1);
}

static dmt_status winograd_open(const dmt_call *call, job *j) {
  dmt_status status = dmt_conv_lanes(call, 0, &j->conv);
  if (status != DMT_OK) {
    return status;
  }
  const dmt_conv *c = &j->conv;
  if (c->y.kernel != 3 || c->x.kernel != 3 || c->y.stride != 1 || c->x.stride != 1 ||
      c->y.dilation != 1 || c->x.dilation != 1 || c->ig % 4 || c->ig < 8 || c->og < 8 ||
      c->ig > 4096 || c->out.h > 65535 || c->out.w > 65535) {
    return DMT_E_UNSUPPORTED;
  }
  j->call = call;
  j->down = dmt_ceil(c->out.h, 4);
  j->across = dmt_ceil(c->out.w, 4);
  j->all = c->out.n * j->down * j->across;
  if (!pays(c, j->all)) {
    return DMT_E_UNSUPPORTED;
  }
  winograd_parts(j);
  j->x_element = (size_t)j->tiles * c->ig + GAP;
  j->w_element = (size_t)j->inputs * 8 + GAP;
  j->y_element = (size_t)j->tiles * 8 + (j->tiles > 4 ? GAP : 0);
  j->w_block = ALL * j->w_element;
  j->y_block = ALL * j->y_element;
  size_t floats =
      DMT_WINOGRAD_HALF * 2 + ALL * j->x_element + j->blocks * (j->w_block + j->y_block);
  j->scratch = (size_t)dmt_round_up(floats * sizeof(float));
  return DMT_OK;
}

static dmt_status winograd_check(const dmt_call *call) {
  job j;
  return winograd_open(call, &j);
}

static uint32_t winograd_scratch(const dmt_call *call) {
  job j;
  winograd_open(call, &j);
  return (uint32_t)j.scratch;
}

#ifdef DMT_NEON

/* The place of a tile. */
typedef struct {
  uint32_t n;
  int32_t y, x; /* of its first output */
} place;

static place place_of(const job *j, uint32_t tile) {
  uint32_t row = tile / j->across;
  place at = {row / j->down, (int32_t)(4 * (row % j->down)), (int32_t)(4 * (tile % j->across))};
  return at;
}

/* Some channels of a tile's 6 x 6 pixels, side by side, zeros where they are outside. */
static const float *edge_of(const work *k, place at, uint32_t channel, uint32_t channels) {
  const dmt_conv *c = &k->job->conv;
  float *to = k->edge;
  for (int32_t y = at.y - c->y.pad; y < at.y - c->y.pad + 6; y++) {
    for (int32_t x = at.x - c->x.pad; x < at.x - c->x.pad + 6; x++, to += channels) {
      if (y < 0 || y >= c->y.in || x < 0 || x >= c->x.in) {
        memset(to, 0, channels * sizeof *to);
      } else {
        const uint8_t *from = dmt_at(&c->in, at.n, (uint32_t)y, (uint32_t)x);
        memcpy(to, (const float *)(const void *)from + channel, channels * sizeof *to);
      }
    }
  }
  return k->edge;
}

/* The tile's rows, of inputs from pixel (y, x) on, or of outputs. */
static void touch(const dmt_grid *grid, place at, uint32_t size, size_t channel, size_t channels) {
  uint32_t rows = dmt_least(size, grid->h - (uint32_t)at.y),
           pixels = dmt_least(size, grid->w - (uint32_t)at.x);
  for (uint32_t y = 0; y < rows; y++) {
    const uint8_t *row = dmt_at(grid, at.n, (uint32_t)at.y + y, (uint32_t)at.x);
    dmt_touch(row + channel * sizeof(float), (pixels - 1) * grid->pixel + channels * sizeof(float));
  }
}

static void inputs_of(const work *k, uint32_t tile) {
  const dmt_conv *c = &k->job->conv;
  const ptrdiff_t row = (ptrdiff_t)(c->in.row / sizeof(float));
  const ptrdiff_t pixel = (ptrdiff_t)(c->in.pixel / sizeof(float));
  place at = place_of(k->job, k->first + tile);
  int32_t y = at.y - c->y.pad, x = at.x - c->x.pad;
  int inside = y >= 0 && x >= 0 && y + 6 <= c->y.in && x + 6 <= c->x.in;
  if (inside) {
    touch(&c->in, (place){at.n, y, x}, 6, k->group * c->ig, c->ig);
  }
  float *to = k->x + (size_t)(tile / 4) * 4 * c->ig + tile % 4 * 4;
  for (uint32_t i = 0; i < c->ig; i += DMT_WINOGRAD_SPAN) {
    uint32_t n = dmt_least(c->ig - i, DMT_WINOGRAD_SPAN), channel = k->group * c->ig + i;
    if (inside) {
      const uint8_t *from = dmt_at(&c->in, at.n, (uint32_t)y, (uint32_t)x);
      dmt_winograd_f32_input((const float *)(const void *)from + channel, row, pixel, n / 4,
                             k->half, to + (size_t)i * 4, k->job->x_element);
    } else {
      dmt_winograd_f32_input(edge_of(k, at, channel, n), 6 * (ptrdiff_t)n, (ptrdiff_t)n, n / 4,
                             k->half, to + (size_t)i * 4, k->job->x_element);
    }
  }
}

static void weights_of(const work *k, uint32_t block, uint32_t input, uint32_t inputs, float *to) {
  const dmt_conv *c = &k->job->conv;
  const size_t tap = (size_t)c->ig * 8;
  const float *from = (const float *)(const void *)c->weights +
                      (k->group * c->blocks + block) * 9 * tap + (size_t)input * 8;
  for (uint32_t i = 0; i < 8 * inputs; i += DMT_WINOGRAD_SPAN) {
    uint32_t n = dmt_least(8 * inputs - i, DMT_WINOGRAD_SPAN);
    dmt_winograd_f32_weights(from + i, tap, n / 8, k->half, to + i, k->job->w_element);
  }
}

/* All elements of the tiles and of blocks whose weights are transformed, for some inputs. */
static void products_of(const work *k, uint32_t blocks, uint32_t input, uint32_t inputs) {
  const job *j = k->job;
  dmt_sums_f32 s = {.k = inputs, .x_step = (size_t)j->conv.ig * 4, .y_step = 32};
  s.count = dmt_ceil(k->tiles, 4);
  int single = s.count == 1; /* then the elements of a block may follow one another */
  if (single) {
    s.count = ALL;
    s.x_step = j->x_element;
    s.w_step = j->w_element;
    s.y_step = j->y_element;
  }
  for (uint32_t e = 0; e < (single ? 1 : ALL); e++) {
    for (uint32_t b = 0; b < blocks; b++) {
      s.x = k->x + e * j->x_element + (size_t)input * 4;
      s.w = k->w + b * j->w_block + e * j->w_element;
      s.y = k->y + b * j->y_block + e * j->y_element;
      dmt_tile_f32_sums(&s);
    }
  }
}

/* A tile's outputs of which some are outside: by way of a whole one. */
static void edge_output(const work *k, uint32_t tile, const dmt_winograd_end *end, place at,
                        float *to, uint32_t outputs) {
  const dmt_conv *c = &k->job->conv;
  float whole[16 * 8];
  dmt_winograd_f32_output(k->half, tile, end, whole, 4 * 8, 8);
  for (uint32_t y = 0; y < 4 && (uint32_t)at.y + y < c->out.h; y++) {
    for (uint32_t x = 0; x < 4 && (uint32_t)at.x + x < c->out.w; x++) {
      memcpy((uint8_t *)to + y * c->out.row + x * c->out.pixel, whole + (4 * y + x) * 8,
             outputs * sizeof(float));
    }
  }
}

static void outputs_of(const work *k, uint32_t block, const float *from) {
  const dmt_conv *c = &k->job->conv;
  uint32_t channel = k->group * c->og + 8 * block, n = dmt_least(c->og - 8 * block, 8);
  const float *bias = (const float *)(const void *)c->channels + channel;
  float ends[2 * 8] = {0};
  dmt_winograd_end end = {.fours = (n + 3) / 4, .bias = ends};
  memcpy(ends, bias, n * sizeof(float));
  if (c->slopes) {
    memcpy(ends + 8, bias + dmt_up8(c->out.c), n * sizeof(float));
    end.slopes = ends + 8;
  }
  end.low = dmt_float(k->job->call, 56);
  end.high = dmt_float(k->job->call, 60);
  for (uint32_t tile = 0; tile < k->tiles; tile++) {
    if (tile % 4 == 0) {
      dmt_winograd_f32_columns(from + (size_t)tile * 8, k->job->y_element, k->half);
    }
    place at = place_of(k->job, k->first + tile);
    float *to = (float *)(void *)dmt_at(&c->out, at.n, (uint32_t)at.y, (uint32_t)at.x) + channel;
    if (n % 4 || at.y + 4 > c->y.out || at.x + 4 > c->x.out) {
      edge_output(k, tile % 4, &end, at, to, n);
    } else {
      dmt_winograd_f32_output(k->half, tile % 4, &end, to, (ptrdiff_t)(c->out.row / sizeof(float)),
                              (ptrdiff_t)(c->out.pixel / sizeof(float)));
    }
  }
}

static void blocks_of(const work *k, uint32_t first, uint32_t blocks) {
  const job *j = k->job;
  memset(k->y, 0, blocks * j->y_block * sizeof(float));
  for (uint32_t i = 0; i < j->conv.ig; i += j->inputs) {
    uint32_t inputs = dmt_least(j->conv.ig - i, j->inputs);
    for (uint32_t b = 0; b < blocks; b++) {
      weights_of(k, first + b, i, inputs, k->w + b * j->w_block);
    }
    products_of(k, blocks, i, inputs);
  }
  for (uint32_t b = 0; b < blocks; b++) {
    outputs_of(k, first + b, k->y + b * j->y_block);
  }
}

static void winograd_task(void *argument, uint32_t index) {
  const job *j = argument;
  const dmt_conv *c = &j->conv;
  dmt_range tiles = dmt_share(j->all, index / j->block_tasks, j->tile_tasks);
  dmt_range blocks = dmt_share(c->groups * c->blocks, index % j->block_tasks, j->block_tasks);
  work k = {.job = j};
  k.half = (float *)(void *)(j->call->scratch + index * j->scratch);
  k.edge = k.half + DMT_WINOGRAD_HALF;
  k.x = k.edge + DMT_WINOGRAD_HALF;
  k.w = k.x + ALL * j->x_element;
  k.y = k.w + j->blocks * j->w_block;
  for (k.group = blocks.begin / c->blocks; k.group * c->blocks < blocks.end; k.group++) {
    dmt_range part = dmt_group_blocks(c, blocks, k.group);
    for (k.first = tiles.begin; k.first < tiles.end; k.first += j->tiles) {
      k.tiles = dmt_least(tiles.end - k.first, j->tiles);
      for (uint32_t t = 0; t < k.tiles; t++) {
        inputs_of(&k, t);
        if (j->tiles < j->all) { /* else the inputs need the room until the end */
          touch(&c->out, place_of(j, k.first + t), 4, k.group * c->og, c->og);
        }
      }
      for (uint32_t b = part.begin; b < part.end; b += j->blocks) {
        blocks_of(&k, b, dmt_least(part.end - b, j->blocks));
      }
    }
  }
}

/* Threads share the tiles where these are many, else the outputs. */
static void winograd_run(const dmt_call *call) {
  job j;
  winograd_open(call, &j);
  uint32_t blocks = j.conv.groups * j.conv.blocks;
  int by_tiles = j.all >= 8 * blocks;
  uint64_t products = (uint64_t)j.all * 36 * j.conv.ig * j.conv.out.c;
  uint32_t tasks =
      dmt_tasks_over(call, products, by_tiles, j.all, blocks, &j.tile_tasks, &j.block_tasks);
  dmt_parallel(call, tasks, winograd_task, &j);
}

#endif

const dmt_operator dmt_op_winograd_f32_neon = {
    DMT_OP_CONV, DMT_F32, 1, winograd_check, winograd_scratch, DMT_NEON_RUN(winograd_run),
};
