/* Convolution, int8, 3 x 3 at stride 1, on NEON by Winograd in whole numbers: the bits of
 * generic/conv_s8.c. */
#include "dmt_neon.h"
#include "dmt_winograd_s8.h"

/* How much is worked on at a time. */
static void winograd_sizes(dmt_winograd *w) {
  const dmt_conv *c = &w->conv;
  w->tiles_y = (c->out.h + 3) / 4;
  w->tiles_x = (c->out.w + 3) / 4;
  w->inputs = dmt_up8(c->in.c);
  const uint32_t all = w->tiles_x * w->tiles_y * c->out.n;
  if (w->inputs <= 64) { /* a row's inputs stay in the first cache while all weights pass */
    w->chunk = w->inputs;
    w->tiles = dmt_least(1280 / w->inputs / 4 * 4, 32);
    w->few = 1;
    w->many = 8;
  } else {
    w->chunk = 32;
    w->tiles = 28;
    w->few = all > 16 ? 2 : 4;
    w->many = 4;
  }
  w->tiles = dmt_least(w->tiles, dmt_ceil(all, 4) * 4);
  w->many = dmt_least(w->many, c->blocks);
  w->few = dmt_least(w->few, w->many);
  w->chunks = dmt_ceil(w->inputs, w->chunk);
  /* An odd number of lines: no two planes begin in the same set of a cache. */
  w->plane = (size_t)dmt_round_up((size_t)w->tiles * w->chunk * 2) | DMT_ALIGN;
  w->v = 6 * w->chunks * 6 * w->plane;
  w->u = (size_t)dmt_round_up(6 * (size_t)w->chunk * 16);
  w->m = (size_t)w->few * (w->tiles / 4) * 6 * 128;
  w->h = (size_t)w->many * (w->tiles / 4) * 24 * 128;
  w->sorted = (size_t)dmt_round_up((size_t)w->many * 9 * w->inputs * 8);
  w->copy = (size_t)dmt_round_up(36 * (size_t)w->inputs);
}

static size_t winograd_bytes(const dmt_winograd *w) {
  return w->v + w->u + w->m + w->h + w->sorted + w->copy;
}

/* Whether the file promises accumulators below 2^25. */
static int winograd_is_bounded(const dmt_call *call) {
  return call->param_size >= 68 && (dmt_word(call, 64) & 1);
}

/* Whether it is faster than conv_s8.c: tenths of cycles for each input and output, fitted to what
 * `predict` said of one layer by both (ms, models A and B):
 *
 *   side, inputs, outputs    56 64 64     28 128 128   14 256 256   7 512 512    13 64 256
 *   directly                 9.92 7.65    9.39 7.18    9.08 6.97    9.62 8.05    2.07 1.55
 *   so                       6.43 5.78    6.26 5.89    7.39 6.66    11.3 11.4    1.96 1.75
 *
 *   predict -- dmt_bench layer.demi --loops 1
 */
static int winograd_pays(const dmt_conv *c) {
  uint64_t tiles = (uint64_t)((c->out.h + 3) / 4) * ((c->out.w + 3) / 4) * c->out.n;
  uint64_t pixels = (uint64_t)c->out.h * c->out.w * c->out.n;
  uint64_t weights = c->in.c < 192 ? 640 : 400;
  return c->in.c >= 16 && c->out.c >= 16 && 120 * tiles + weights < 13 * pixels;
}

static dmt_status winograd_open(const dmt_call *call, dmt_winograd *w) {
  dmt_conv *c = &w->conv;
  dmt_status status = dmt_conv_read(call, 0, c);
  if (status != DMT_OK) {
    return status;
  }
  int fits = c->y.kernel == 3 && c->x.kernel == 3 && c->y.stride == 1 && c->x.stride == 1 &&
             c->y.dilation == 1 && c->x.dilation == 1 && c->groups == 1;
  int packed = c->packing == DMT_PACKING_DOTS && !c->halves;
  if (!fits || !packed || !winograd_is_bounded(call) || !winograd_pays(c) || c->in.c > 1u << 15 ||
      c->out.c > 1u << 15 || dmt_times((uint64_t)c->out.h * c->out.w, c->out.n) > 1u << 28) {
    return DMT_E_UNSUPPORTED;
  }
  w->call = call;
  winograd_sizes(w);
  return DMT_OK;
}

static dmt_status winograd_check(const dmt_call *call) {
  dmt_winograd w;
  return winograd_open(call, &w);
}

static uint32_t winograd_scratch(const dmt_call *call) {
  dmt_winograd w;
  winograd_open(call, &w);
  return (uint32_t)winograd_bytes(&w);
}

#ifdef DMT_NEON

#include "dmt_winograd_gemm_s8.h"
#include "dmt_winograd_output_s8.h"

static const int32_t winograd_zeros[32] __attribute__((aligned(64)));

/* Where the sums of position (1, 1) start: it enters every output 16 times, so 36 times the bias
 * there adds the bias. */
static void winograd_start(const dmt_conv *c, uint32_t first, int32_t *start) {
  uint32_t n = dmt_least(c->out.c - first, 8);
  for (uint32_t i = 0; i < 32; i++) {
    start[i] = i % 8 < n ? (int32_t)((uint32_t)c->channels[first + i % 8] * 36u) : 0;
  }
}

/* The sums of one row of positions and eight outputs over one chunk of inputs; after the last chunk
 * the row's part of the inverse. */
static __attribute__((noinline)) void
winograd_sums(const dmt_winograd *w, const dmt_winograd_room *room, dmt_winograd_block tiles,
              uint32_t row, uint32_t chunk, uint32_t block, int32_t *m, int32_t *h) {
  const uint32_t n = dmt_least(w->inputs - chunk * w->chunk, w->chunk);
  const size_t tile = (size_t)w->chunk * 2;
  const uint8_t *v = room->v + (size_t)(row * w->chunks + chunk) * 6 * w->plane;
  uint32_t low = row < 4 ? 0 : tiles.low;
  int32_t bias[32] __attribute__((aligned(16)));
  if (row == 1 && chunk == 0) {
    winograd_start(&w->conv, 8 * block, bias);
  }
  for (uint32_t t = 0; t < tiles.count; t += 4, v += 4 * tile, low >>= 1) {
    const uint32_t count = dmt_least(tiles.count - t, 4);
    if (low & 1) { /* all zeros */
      m += w->chunks == 1 ? 0 : 6 * 32;
      if (chunk + 1 == w->chunks) {
        for (uint32_t i = 0; i < 128; i++) {
          h[i] = 0;
        }
        h += 24 * 32;
      }
      continue;
    }
    for (uint32_t x = 0; x < 6; x++, m += 32) {
      const int32_t *start = chunk > 0 ? m : row == 1 && x == 1 ? bias : winograd_zeros;
      const uint8_t *at = v + x * w->plane;
      const int16_t *u = room->u + x * 16;
      if (count == 4) {
        dmt_winograd_multiply(start, at, tile, u, n, m);
      } else {
        for (uint32_t i = 0; i < count; i++) {
          dmt_winograd_multiply_one(start + 8 * i, at + i * tile, u, n, m + 8 * i);
        }
      }
    }
    if (chunk + 1 == w->chunks) {
      dmt_winograd_half(m - 6 * 32, count, h);
      h += 24 * 32;
      m -= w->chunks == 1 ? 6 * 32 : 0; /* the same place for all: it stays in the first cache */
    }
  }
}

/* A row of positions of blocks begin to end, into the results of rows; `sorted` are the weights of
 * block `begin`. */
static void winograd_row(const dmt_winograd *w, const dmt_winograd_room *room,
                         dmt_winograd_block tiles, uint32_t row, uint32_t begin, uint32_t end,
                         const int8_t *sorted, int32_t *h) {
  const size_t groups = (tiles.count + 3) / 4;
  for (uint32_t k = 0; k < w->chunks; k++, sorted += (size_t)w->chunk * 9 * 8) {
    const uint32_t n = dmt_least(w->inputs - k * w->chunk, w->chunk);
    for (size_t b = 0; b < end - begin; b++) {
      dmt_winograd_weights(row, sorted + b * w->inputs * 9 * 8, n, room->u);
      winograd_sums(w, room, tiles, row, k, begin + (uint32_t)b, room->m + b * groups * 6 * 32,
                    h + b * groups * 24 * 32 + row * 128);
    }
  }
}

/* `sorted`: the weights of all blocks are in their order already. */
static void winograd_block(const dmt_winograd *w, dmt_winograd_block block, dmt_range blocks,
                           int sorted, const dmt_winograd_room *room) {
  const size_t groups = (block.count + 3) / 4, weights = (size_t)w->inputs * 9 * 8;
  dmt_winograd_inputs(w, block, room);
  for (uint32_t b = blocks.begin; b < blocks.end; b += w->many) {
    const uint32_t end = dmt_least(b + w->many, blocks.end);
    for (uint32_t f = b; f < end && !sorted; f++) {
      dmt_winograd_sort(w, f, room->sorted + (f - b) * weights);
    }
    for (uint32_t row = 0; row < 6; row++) {
      for (uint32_t f = b; f < end; f += w->few) {
        winograd_row(w, room, block, row, f, dmt_least(f + w->few, end),
                     room->sorted + (f - b) * weights, room->h + (f - b) * groups * 24 * 32);
      }
    }
    winograd_outputs(w, block, b, end, room->h);
  }
}

/* The block of tiles from `first` on, before `end`. */
static dmt_winograd_block winograd_block_at(const dmt_winograd *w, uint32_t first, uint32_t end) {
  dmt_winograd_block block = {first, dmt_least(end - first, w->tiles), 0};
  for (uint32_t t = 0; t < block.count; t += 4) {
    uint32_t low = 1;
    for (uint32_t i = t; i < block.count && i < t + 4; i++) {
      low &= (uint32_t)dmt_winograd_is_low(w, dmt_winograd_at(w, first + i));
    }
    block.low |= low << t / 4;
  }
  return block;
}

static void winograd_task(void *argument, uint32_t index) {
  const dmt_winograd *w = argument;
  uint32_t all = w->tiles_x * w->tiles_y * w->conv.out.n;
  dmt_range tiles = dmt_share(all, index / w->block_tasks, w->tile_tasks);
  dmt_range blocks = dmt_share(w->conv.blocks, index % w->block_tasks, w->block_tasks);
  uint8_t *scratch = w->call->scratch + (size_t)index * winograd_bytes(w);
  dmt_winograd_room room = {.v = scratch};
  room.u = (int16_t *)(void *)(room.v + w->v);
  room.m = (int32_t *)(void *)(room.v + w->v + w->u);
  room.h = (int32_t *)(void *)(room.v + w->v + w->u + w->m);
  room.sorted = (int8_t *)(room.v + w->v + w->u + w->m + w->h);
  room.copy = room.sorted + w->sorted;
  for (uint32_t t = tiles.begin; t < tiles.end; t += w->tiles) {
    dmt_winograd_block block = winograd_block_at(w, t, tiles.end);
    int sorted = t > tiles.begin && blocks.end - blocks.begin <= w->many;
    winograd_block(w, block, blocks, sorted, &room);
  }
}

/* Threads share the tiles where there are enough of them, else the outputs' channels. */
static void winograd_run(const dmt_call *call) {
  dmt_winograd w;
  winograd_open(call, &w);
  uint32_t tiles = w.tiles_x * w.tiles_y * w.conv.out.n;
  uint64_t work = (uint64_t)tiles * 36 * w.inputs * w.conv.out.c;
  int by_tiles = tiles >= 16 * call->threads;
  uint32_t tasks =
      dmt_tasks_over(call, work, by_tiles, tiles, w.conv.blocks, &w.tile_tasks, &w.block_tasks);
  dmt_parallel(call, tasks, winograd_task, &w);
}

#endif

const dmt_operator dmt_op_winograd_s8_neon = {
    DMT_OP_CONV, DMT_S8, 1, winograd_check, winograd_scratch, DMT_NEON_RUN(winograd_run),
};
