/* The walk that the depthwise kernels share.
 *
 * Channels go in blocks of eight. Of a chunk of blocks, and of a strip of the output's columns, the
 * input rows that an output row meets stand in a ring of copies in scratch memory: a block's
 * columns side by side, those one stride apart together, the padding filled in. So each input line
 * is fetched once, and all tap loops are alike, whatever stride, dilation and padding are:
 * neighbouring outputs meet neighbouring columns. The chunk's weights stand beside it, tap after
 * tap.
 */
#ifndef DMT_DEPTHWISE_H
#define DMT_DEPTHWISE_H

#include "../generic/dmt_conv.h"
#include <arm_neon.h>

enum {
  DMT_DEPTHWISE_RING =
      12288, /* of the 32 KiB nearest to the core; lines and weights want room too */
  DMT_DEPTHWISE_MOST = 65536, /* a ring with more is left to the generic kernels */
  DMT_DEPTHWISE_TAPS = 512,   /* and so is a kernel with more taps */
  DMT_DEPTHWISE_STRIDE = 64,
  DMT_DEPTHWISE_TILE = 4,   /* outputs computed at once */
  DMT_DEPTHWISE_SLACK = 256 /* bytes behind rows and sums that may be read, for nothing */
};

/* The outputs of a strip's row in a block of channels. */
typedef struct {
  const uint8_t *const *taps; /* where the first output meets each tap, in block 0 */
  size_t at;                  /* the block, from there */
  uint32_t first_tap, count;  /* the taps of rows outside are left out where that is the rule */
  const uint8_t *weights;     /* of the first tap, eight by eight */
  uint32_t channel, channels; /* the block's first, and how many there are (1 to 8) */
  uint32_t pixels;
  uint8_t *y;
  int32_t *sums; /* room for eight words an output */
  uint32_t form; /* of the block, by form() */
} dmt_depthwise_line;

typedef struct dmt_depthwise dmt_depthwise;
struct dmt_depthwise {
  dmt_conv conv;
  const dmt_call *call;
  void (*line)(const dmt_depthwise *d, const dmt_depthwise_line *line);
  void (*columns)(const dmt_depthwise *d, uint8_t *to, const uint8_t *row, int32_t x,
                  uint32_t count, uint32_t first, uint32_t n);
  uint8_t (*form)(const dmt_depthwise *d, uint32_t channel, uint32_t channels); /* may be NULL */
  uint32_t skips;           /* rows outside: left out, or read as padding */
  uint32_t item, taps;      /* bytes of an element; taps, rounded up to an even number */
  uint32_t blocks, pixels;  /* of a chunk; of a strip */
  size_t phase, block, row; /* bytes: columns of a phase, of a block, of a chunk */
  size_t tags, forms, weights, ring, sums, bytes; /* where things stand in scratch memory */
  uint32_t tasks, by_rows;
};

static inline uint32_t dmt_ceil(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

/* Sizes for `pixels` outputs and `blocks` blocks; the ring's bytes. */
static inline uint64_t dmt_depthwise_size(dmt_depthwise *d, uint32_t pixels, uint32_t blocks) {
  const dmt_axis *x = &d->conv.x;
  uint64_t tiles = dmt_ceil(pixels, DMT_DEPTHWISE_TILE) * (uint64_t)DMT_DEPTHWISE_TILE;
  uint64_t columns =
      ((uint64_t)(uint32_t)(x->kernel - 1) * (uint32_t)x->dilation) / (uint32_t)x->stride + tiles;
  d->pixels = pixels;
  d->blocks = blocks;
  d->phase = (size_t)(columns * 8 * d->item);
  d->block = d->phase * (uint32_t)x->stride;
  d->row = d->block * blocks;
  return columns * 8 * d->item * (uint32_t)x->stride * blocks * (uint32_t)d->conv.y.kernel;
}

static inline size_t dmt_depthwise_place(dmt_depthwise *d, size_t bytes) {
  size_t at = d->bytes;
  d->bytes += (bytes + DMT_ALIGN - 1) / DMT_ALIGN * DMT_ALIGN;
  return at;
}

/* How a strip and a chunk share the ring: a few outputs wide at least, the channels in whole cache
 * lines (neighbouring ones for a start, as memory likes that), then as wide as fits. */
static inline int dmt_depthwise_plan(dmt_depthwise *d) {
  const dmt_conv *c = &d->conv;
  uint32_t width = c->out.w, all = dmt_up8(c->out.c) / 8, line = 8 / d->item;
  uint64_t taps = dmt_times((uint32_t)c->y.kernel, (uint32_t)c->x.kernel);
  uint32_t least = width < 8 ? width : 8;
  if (taps > DMT_DEPTHWISE_TAPS || (uint32_t)c->x.stride > DMT_DEPTHWISE_STRIDE) {
    return 0;
  }
  uint64_t ring = dmt_depthwise_size(d, least, line);
  if (ring > DMT_DEPTHWISE_MOST) {
    return 0;
  }
  uint32_t lines = (uint32_t)(DMT_DEPTHWISE_RING / ring), blocks;
  lines = lines > 0 ? lines : 1;
  blocks = lines * line < all ? lines * line : all;
  blocks = dmt_ceil(dmt_ceil(all, dmt_ceil(all, blocks)), line) * line; /* chunks alike */
  blocks = blocks < all ? blocks : all;
  uint32_t most = least, strips;
  while (most < width && dmt_depthwise_size(d, most + 4, blocks) <= DMT_DEPTHWISE_RING) {
    most += 4;
  }
  most = most < width ? most : width;
  strips = dmt_ceil(width, most);
  most = dmt_ceil(width, strips);
  most = strips > 1 ? dmt_ceil(most, DMT_DEPTHWISE_TILE) * DMT_DEPTHWISE_TILE : most;
  dmt_depthwise_size(d, most, blocks);
  d->taps = ((uint32_t)taps + 1) / 2 * 2;
  d->bytes = 0;
  dmt_depthwise_place(d, d->taps * sizeof(uint8_t *));
  d->tags = dmt_depthwise_place(d, (uint32_t)c->y.kernel * sizeof(uint32_t));
  d->forms = dmt_depthwise_place(d, blocks);
  d->weights = dmt_depthwise_place(d, (size_t)d->taps * 8 * d->item * blocks);
  d->ring = dmt_depthwise_place(d, d->row * (uint32_t)c->y.kernel);
  d->sums = dmt_depthwise_place(
      d, dmt_ceil(d->pixels, DMT_DEPTHWISE_TILE) * DMT_DEPTHWISE_TILE * 32 + DMT_DEPTHWISE_SLACK);
  return 1;
}

/* Convolutions of packing 2: one input a group, one or more outputs. */
static inline dmt_status dmt_depthwise_open(const dmt_call *call, dmt_depthwise *d) {
  dmt_status status = dmt_conv_read(call, 0, &d->conv);
  if (status != DMT_OK) {
    return status;
  }
  d->call = call;
  d->item = dmt_item(call->dtype);
  return d->conv.packing == DMT_PACKING_DEPTHWISE && dmt_depthwise_plan(d) ? DMT_OK
                                                                           : DMT_E_UNSUPPORTED;
}

/* --- Into the ring ------------------------------------------------------------------------------
 */

/* Eight channels: n of them from `first` on, `each` outputs to an input. */
static inline void dmt_depthwise_some(uint8_t *to, const uint8_t *pixel, uint32_t first, uint32_t n,
                                      uint32_t each, uint32_t item) {
  for (uint32_t i = 0; i < n; i++) {
    memcpy(to + (size_t)i * item, pixel + (size_t)((first + i) / each) * item, item);
  }
}

/* `count` pixels from `from` on, `groups` pieces of each: `piece` moves one from [from] to the
 * columns [to] of as many blocks as it has. Columns of a stride of 2 go to either phase in turn. */
typedef struct {
  const uint8_t *from;
  uint8_t *column, *next;
  size_t skip, step, block; /* to the next pixel; from a column to that after the next */
  uint32_t count, groups;
} dmt_depthwise_run;

#define DMT_DEPTHWISE_RUN(r, piece)                                                                \
  do {                                                                                             \
    uint8_t *to;                                                                                   \
    uint32_t left;                                                                                 \
    __asm__ volatile("1:\n\t"                                                                      \
                     "mov %[to], %[column]\n\t"                                                    \
                     "mov %[left], %[groups]\n\t"                                                  \
                     "2:\n\t" piece "subs %[left], %[left], #1\n\t"                                \
                     "bne 2b\n\t"                                                                  \
                     "add %[from], %[from], %[skip]\n\t"                                           \
                     "add %[to], %[column], %[step]\n\t"                                           \
                     "mov %[column], %[next]\n\t"                                                  \
                     "mov %[next], %[to]\n\t"                                                      \
                     "subs %[count], %[count], #1\n\t"                                             \
                     "bne 1b\n\t"                                                                  \
                     : [from] "+r"((r).from), [column] "+r"((r).column), [next] "+r"((r).next),    \
                       [count] "+r"((r).count), [to] "=&r"(to), [left] "=&r"(left)                 \
                     : [skip] "r"((r).skip), [step] "r"((r).step), [block] "r"((r).block),         \
                       [groups] "r"((r).groups)                                                    \
                     : "d0", "d1", "d2", "d3", "cc", "memory");                                    \
  } while (0)

/* Whole blocks of a run: 32 bytes at a time while there are as many, then block by block. */
DMT_INLINE void dmt_depthwise_whole(dmt_depthwise_run run, size_t pixel, uint32_t whole,
                                    uint32_t item) {
  dmt_depthwise_run rest = run;
  uint32_t wide = whole * item / 4;
  run.groups = wide;
  run.skip = pixel - (size_t)32 * wide;
  if (wide > 0 && item == 4) {
    DMT_DEPTHWISE_RUN(run, "vld1.8 {d0-d3}, [%[from]]!\n\tvst1.8 {d0-d3}, [%[to]], %[block]\n\t");
  } else if (wide > 0 && item == 2) {
    DMT_DEPTHWISE_RUN(run, "vld1.8 {d0-d3}, [%[from]]!\n\tvst1.8 {d0-d1}, [%[to]], %[block]\n\t"
                           "vst1.8 {d2-d3}, [%[to]], %[block]\n\t");
  } else if (wide > 0) {
    DMT_DEPTHWISE_RUN(run, "vld1.8 {d0-d3}, [%[from]]!\n\tvst1.8 {d0}, [%[to]], %[block]\n\t"
                           "vst1.8 {d1}, [%[to]], %[block]\n\tvst1.8 {d2}, [%[to]], %[block]\n\t"
                           "vst1.8 {d3}, [%[to]], %[block]\n\t");
  }
  size_t done = (size_t)wide * (4 / item) * run.block;
  rest.from += (size_t)32 * wide;
  rest.column += done;
  rest.next += done;
  rest.groups = whole - wide * (4 / item);
  rest.skip = pixel - (size_t)8 * item * rest.groups;
  if (rest.groups > 0 && item == 2) {
    DMT_DEPTHWISE_RUN(rest, "vld1.8 {d0-d1}, [%[from]]!\n\tvst1.8 {d0-d1}, [%[to]], %[block]\n\t");
  } else if (rest.groups > 0) {
    DMT_DEPTHWISE_RUN(rest, "vld1.8 {d0}, [%[from]]!\n\tvst1.8 {d0}, [%[to]], %[block]\n\t");
  }
}

/* Where column i of a row in the ring is. */
static inline uint8_t *dmt_depthwise_at(const dmt_depthwise *d, uint8_t *row, uint32_t i) {
  uint32_t stride = (uint32_t)d->conv.x.stride, phase = stride == 1 ? 0 : i % stride;
  uint32_t index = stride == 1 ? i : i / stride;
  return row + phase * d->phase + (size_t)index * 8 * d->item;
}

/* Columns [begin, end) of a row in the ring are padding. */
static inline void dmt_depthwise_pad(const dmt_depthwise *d, uint8_t *to, uint32_t begin,
                                     uint32_t end, uint32_t blocks) {
  int8x8_t zero = vdup_n_s8((int8_t)d->call->in[0].zero_point);
  for (; begin < end; begin++) {
    uint8_t *column = dmt_depthwise_at(d, to, begin);
    for (uint32_t b = 0; b < blocks; b++, column += d->block) {
      for (uint32_t i = 0; i < d->item; i++) {
        vst1_s8((int8_t *)column + 8 * i, zero);
      }
    }
  }
}

/* What `count` columns from x on of a row (NULL: of padding) are to n outputs from `first` on. */
DMT_INLINE void dmt_depthwise_columns(const dmt_depthwise *d, uint8_t *to, const uint8_t *row,
                                      int32_t x, uint32_t count, uint32_t first, uint32_t n,
                                      uint32_t item) {
  int32_t width = row == NULL ? 0 : (int32_t)d->conv.in.w, last = (int32_t)count;
  uint32_t each = d->conv.og, whole = each == 1 ? n / 8 : 0, blocks = (n + 7) / 8;
  int32_t begin = x < 0 ? -x : 0, end = width - x < last ? width - x : last;
  begin = begin < last && width > 0 ? begin : last;
  end = end > begin ? end : begin;
  dmt_depthwise_pad(d, to, 0, (uint32_t)begin, blocks);
  dmt_depthwise_pad(d, to, (uint32_t)end, count, blocks);
  uint32_t stride = (uint32_t)d->conv.x.stride, most = stride > 2 ? 1 : (uint32_t)(end - begin);
  size_t size = (size_t)8 * item;
  for (uint32_t i = (uint32_t)begin; whole > 0 && i < (uint32_t)end; i += most) {
    dmt_depthwise_run run = {.count = most,
                             .block = d->block,
                             .from =
                                 row + (size_t)((uint32_t)x + i) * d->conv.in.pixel + first * item,
                             .column = dmt_depthwise_at(d, to, i),
                             .next = dmt_depthwise_at(d, to, i + 1),
                             .step = stride == 1 ? 2 * size : size};
    dmt_depthwise_whole(run, d->conv.in.pixel, whole, item);
  }
  for (uint32_t i = (uint32_t)begin; 8 * whole < n && i < (uint32_t)end; i++) {
    const uint8_t *pixel = row + (size_t)((uint32_t)x + i) * d->conv.in.pixel;
    for (uint32_t b = whole; b < blocks; b++) {
      uint32_t some = n - 8 * b < 8 ? n - 8 * b : 8;
      dmt_depthwise_some(dmt_depthwise_at(d, to, i) + b * d->block, pixel, first + 8 * b, some,
                         each, item);
    }
  }
}

/* The weights of a chunk, tap after tap of a block, an even number of them; and the blocks' forms.
 */
static inline void dmt_depthwise_weights(const dmt_depthwise *d, uint8_t *scratch, uint32_t first,
                                         uint32_t n) {
  uint8_t *to = scratch + d->weights, *forms = scratch + d->forms;
  uint32_t taps = (uint32_t)d->conv.y.kernel * (uint32_t)d->conv.x.kernel;
  size_t size = (size_t)8 * d->item, tap = dmt_up8(d->conv.out.c) * (size_t)d->item;
  for (uint32_t o = 0; o < n; o += 8) {
    const uint8_t *from = d->conv.weights + (size_t)(first + o) * d->item;
    forms[o / 8] = d->form == NULL ? 0 : d->form(d, first + o, n - o < 8 ? n - o : 8);
    for (uint32_t t = 0; t < d->taps; t++, to += size, from += tap) {
      if (t < taps) {
        memcpy(to, from, size);
      } else {
        memset(to, 0, size);
      }
    }
  }
}

/* --- Over the output ----------------------------------------------------------------------------
 */

/* A part of the output: rows [begin, end) of image n, a strip from x on, a chunk of channels. */
typedef struct {
  uint32_t n, begin, end, x, pixels, channel, channels;
  uint8_t *scratch;
} dmt_depthwise_part;

/* The rows of taps of output row y into the ring, and where its taps stand. */
static inline void dmt_depthwise_row(const dmt_depthwise *d, const dmt_depthwise_part *part,
                                     uint32_t y, dmt_depthwise_line *line) {
  const dmt_conv *c = &d->conv;
  const uint8_t **taps = (const uint8_t **)(void *)part->scratch;
  uint32_t *tags = (uint32_t *)(void *)(part->scratch + d->tags);
  uint32_t dilation = (uint32_t)c->y.dilation, kernels = (uint32_t)c->y.kernel;
  uint32_t span = (uint32_t)(c->x.kernel - 1) * (uint32_t)c->x.dilation + 1;
  uint32_t count = (part->pixels - 1) * (uint32_t)c->x.stride + span;
  int32_t x = (int32_t)part->x * c->x.stride - c->x.pad;
  line->taps = (const uint8_t *const *)taps;
  line->first_tap = line->count = 0;
  for (uint32_t kh = 0; kh < kernels; kh++) {
    uint32_t tag = y * (uint32_t)c->y.stride + kh * dilation, slot = tag / dilation % kernels;
    int32_t at = (int32_t)tag - c->y.pad, inside = at >= 0 && at < (int32_t)c->in.h;
    uint8_t *to = part->scratch + d->ring + slot * d->row;
    if (d->skips && !inside) {
      line->first_tap += line->count == 0 ? (uint32_t)c->x.kernel : 0;
      continue;
    }
    if (tags[slot] != tag) {
      const uint8_t *row = inside ? dmt_at(&c->in, part->n, (uint32_t)at, 0) : NULL;
      d->columns(d, to, row, x, count, part->channel, part->channels);
      tags[slot] = tag;
    }
    for (uint32_t kw = 0; kw < (uint32_t)c->x.kernel; kw++) {
      taps[line->count++] = dmt_depthwise_at(d, to, kw * (uint32_t)c->x.dilation);
    }
  }
  if (line->count % 2) { /* something to multiply by the weight that fills up a pair */
    taps[line->count] = part->scratch + d->ring;
  }
}

static inline void dmt_depthwise_rows(const dmt_depthwise *d, const dmt_depthwise_part *part,
                                      uint32_t y) {
  const dmt_conv *c = &d->conv;
  dmt_depthwise_line line = {.pixels = part->pixels};
  size_t weight = (size_t)8 * d->item;
  dmt_depthwise_row(d, part, y, &line);
  line.sums = (int32_t *)(void *)(part->scratch + d->sums);
  line.weights = part->scratch + d->weights + line.first_tap * weight;
  line.y = dmt_at(&c->out, part->n, y, part->x) + (size_t)part->channel * d->item;
  for (uint32_t o = 0; o < part->channels; o += 8) {
    line.channel = part->channel + o;
    line.channels = part->channels - o < 8 ? part->channels - o : 8;
    line.form = part->scratch[d->forms + o / 8];
    d->line(d, &line);
    line.at += d->block;
    line.weights += d->taps * weight;
    line.y += weight;
  }
}

/* Rows one dilation apart follow each other: they meet the same rows of the input. */
static inline void dmt_depthwise_strip(const dmt_depthwise *d, const dmt_depthwise_part *part) {
  uint32_t every = d->conv.y.stride == 1 ? (uint32_t)d->conv.y.dilation : 1;
  uint32_t *tags = (uint32_t *)(void *)(part->scratch + d->tags);
  for (uint32_t kh = 0; kh < (uint32_t)d->conv.y.kernel; kh++) {
    tags[kh] = UINT32_MAX;
  }
  for (uint32_t phase = 0; phase < every && part->begin + phase < part->end; phase++) {
    for (uint32_t y = part->begin + phase; y < part->end; y += every) {
      dmt_depthwise_rows(d, part, y);
    }
  }
}

static inline void dmt_depthwise_task(void *argument, uint32_t index) {
  const dmt_depthwise *d = argument;
  const dmt_conv *c = &d->conv;
  uint32_t all = dmt_up8(c->out.c) / 8, chunks = dmt_ceil(all, d->blocks);
  dmt_range rows = {0, c->out.n * c->out.h}, part = {0, chunks};
  rows = d->by_rows ? dmt_share(rows.end, index, d->tasks) : rows;
  part = d->by_rows ? part : dmt_share(chunks, index, d->tasks);
  dmt_depthwise_part p = {.scratch = d->call->scratch + index * d->bytes};
  for (uint32_t chunk = part.begin; chunk < part.end; chunk++) {
    p.channel = chunk * d->blocks * 8;
    p.channels = c->out.c - p.channel < 8 * d->blocks ? c->out.c - p.channel : 8 * d->blocks;
    dmt_depthwise_weights(d, p.scratch, p.channel, p.channels);
    for (p.x = 0; p.x < c->out.w; p.x += d->pixels) {
      p.pixels = c->out.w - p.x < d->pixels ? c->out.w - p.x : d->pixels;
      for (uint32_t row = rows.begin; row < rows.end; row += p.end - p.begin) {
        p.n = row / c->out.h;
        p.begin = row % c->out.h;
        p.end = rows.end - row < c->out.h - p.begin ? p.begin + rows.end - row : c->out.h;
        dmt_depthwise_strip(d, &p);
      }
    }
  }
}

/* Threads share the channels where there are chunks enough, else the rows. */
static inline void dmt_depthwise_go(dmt_depthwise *d) {
  const dmt_conv *c = &d->conv;
  uint32_t rows = c->out.n * c->out.h, chunks = dmt_ceil(dmt_up8(c->out.c) / 8, d->blocks);
  uint64_t work = (uint64_t)rows * c->out.w * c->out.c * d->taps;
  d->by_rows = chunks < 2 * d->call->threads;
  d->tasks = dmt_tasks(d->call, work, 100000, d->by_rows ? rows : chunks);
  dmt_parallel(d->call, d->tasks, dmt_depthwise_task, d);
}

static inline uint32_t dmt_depthwise_scratch(const dmt_call *call) {
  dmt_depthwise d;
  return dmt_depthwise_open(call, &d) == DMT_OK ? (uint32_t)d.bytes : 0;
}

#endif
