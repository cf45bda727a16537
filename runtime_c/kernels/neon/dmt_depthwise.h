/* The walk that the depthwise kernels share (dmt_plan_depthwise.h says which way). */
#ifndef DMT_DEPTHWISE_H
#define DMT_DEPTHWISE_H

#include "dmt_neon.h"
#include "dmt_plan_depthwise.h"

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
static inline void dmt_depthwise_aim(const dmt_depthwise *d, const dmt_depthwise_part *part,
                                     uint32_t y, const uint8_t **taps, dmt_depthwise_row *row) {
  const dmt_conv *c = &d->conv;
  uint32_t *tags = (uint32_t *)(void *)(part->scratch + d->tags);
  uint32_t dilation = (uint32_t)c->y.dilation;
  uint32_t span = (uint32_t)(c->x.kernel - 1) * (uint32_t)c->x.dilation + 1;
  uint32_t count = (part->pixels - 1) * (uint32_t)c->x.stride + span;
  int32_t x = (int32_t)part->x * c->x.stride - c->x.pad;
  row->taps = (const uint8_t *const *)taps;
  row->first = row->count = 0;
  for (uint32_t kh = 0; kh < (uint32_t)c->y.kernel; kh++) {
    uint32_t tag = y * (uint32_t)c->y.stride + kh * dilation, slot = tag / dilation % d->slots;
    int32_t at = (int32_t)tag - c->y.pad, inside = at >= 0 && at < (int32_t)c->in.h;
    uint8_t *to = part->scratch + d->ring + slot * d->row;
    if (d->skips && !inside) {
      row->first += row->count == 0 ? (uint32_t)c->x.kernel : 0;
      continue;
    }
    if (tags[slot] != tag) {
      const uint8_t *from = inside ? dmt_at(&c->in, part->n, (uint32_t)at, 0) : NULL;
      d->columns(d, to, from, x, count, part->channel, part->channels);
      tags[slot] = tag;
    }
    for (uint32_t kw = 0; kw < (uint32_t)c->x.kernel; kw++) {
      taps[row->count++] = dmt_depthwise_at(d, to, kw * (uint32_t)c->x.dilation);
    }
  }
  if (row->count % 2) { /* something to multiply by the weight that fills up a pair */
    taps[row->count] = part->scratch + d->ring;
  }
}

/* Outputs come into the caches in the order of their addresses, which memory likes, before blocks
 * are written at distances. */
static inline void dmt_depthwise_touch(const dmt_depthwise *d, const uint8_t *y, uint32_t pixels,
                                       size_t bytes) {
  for (; pixels > 0; pixels--, y += d->conv.out.pixel) {
    for (size_t at = 0; at < bytes; at += DMT_ALIGN) {
      (void)*(const volatile uint8_t *)(y + at);
    }
  }
}

static inline void dmt_depthwise_lines(const dmt_depthwise *d, const dmt_depthwise_part *part,
                                       uint32_t y, uint32_t rows) {
  dmt_depthwise_row *row = (dmt_depthwise_row *)(void *)part->scratch;
  const uint8_t **taps = (const uint8_t **)(void *)(part->scratch + d->taps_at);
  dmt_depthwise_line line = {.row = row, .rows = rows, .pixels = part->pixels};
  size_t weight = (size_t)8 * d->item;
  for (uint32_t i = 0; i < rows; i++) {
    dmt_depthwise_aim(d, part, y + i, taps + i * d->taps, row + i);
  }
  line.sums = (int32_t *)(void *)(part->scratch + d->sums);
  line.weights = part->scratch + d->weights;
  line.y = dmt_at(&d->conv.out, part->n, y, part->x) + (size_t)part->channel * d->item;
  dmt_depthwise_touch(d, line.y, rows * part->pixels, part->channels * d->item);
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
  for (uint32_t slot = 0; slot < d->slots; slot++) {
    tags[slot] = UINT32_MAX;
  }
  for (uint32_t phase = 0; phase < every && part->begin + phase < part->end; phase++) {
    for (uint32_t y = part->begin + phase; y < part->end; y += every * d->rows) {
      dmt_depthwise_lines(d, part, y, part->end - y < d->rows ? part->end - y : d->rows);
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
  d->tasks = dmt_tasks(d->call, work, DMT_PRODUCTS_WORTH, d->by_rows ? rows : chunks);
  dmt_parallel(d->call, d->tasks, dmt_depthwise_task, d);
}

#endif
