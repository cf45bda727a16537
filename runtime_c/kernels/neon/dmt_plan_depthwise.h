/* How a depthwise convolution goes over its tensors, and in what memory.
 *
 * Channels go in blocks of eight. Of a chunk of blocks, and of a strip of the output's columns, the
 * input rows that an output row meets stand in a ring of copies in scratch memory: a block's
 * columns side by side, those one stride apart together, the padding filled in. So each input line
 * is fetched once, and all tap loops are alike, whatever stride, dilation and padding are:
 * neighbouring outputs meet neighbouring columns. The chunk's weights stand beside it, tap after
 * tap.
 */
#ifndef DMT_PLAN_DEPTHWISE_H
#define DMT_PLAN_DEPTHWISE_H

#include "../generic/dmt_conv.h"

enum {
  DMT_DEPTHWISE_RING = 12288,  /* of L1's 32 KiB; weights, sums and outputs want room too, */
  DMT_DEPTHWISE_FULL = 17408,  /* but whole pixels from memory are worth something */
  DMT_DEPTHWISE_MOST = 65536,  /* a ring with more is left to the generic kernels, */
  DMT_DEPTHWISE_TAPS = 512,    /* and so is a kernel with more taps, */
  DMT_DEPTHWISE_STRIDE = 64,   /* or a wider stride */
  DMT_DEPTHWISE_NEAR = 262144, /* bytes of an input that is in L2 */
  DMT_DEPTHWISE_FAR = 524288,  /* and of one that is not */
  DMT_DEPTHWISE_WIDE = 28,     /* outputs worth the trouble of a line */
  DMT_DEPTHWISE_TILE = 4,      /* outputs computed at once */
  DMT_DEPTHWISE_ROW = 12,      /* the device's sizeof(dmt_depthwise_row) */
  DMT_DEPTHWISE_SLACK = 256    /* bytes behind the sums that may be read, for nothing */
};

/* Where the first output of a row meets its taps, in block 0. The taps of rows outside are left out
 * where that is the rule: there are `count`, from `first` on. */
typedef struct {
  const uint8_t *const *taps;
  uint32_t first, count;
} dmt_depthwise_row;

/* The outputs of a few rows of a strip in a block of channels. */
typedef struct {
  const dmt_depthwise_row *row;
  uint32_t rows, pixels;      /* of a row; the rows' outputs stand at equal distances */
  uint32_t channel, channels; /* the block's first, and how many there are (1 to 8) */
  size_t at;                  /* the block, from block 0 */
  const uint8_t *weights;     /* tap after tap, eight by eight */
  uint8_t *y;
  int32_t *sums; /* eight words an output */
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
  uint32_t rows, slots;     /* of the output that go together; of the input in the ring */
  size_t phase, block, row; /* bytes: columns of a phase, of a block, of a chunk */
  size_t taps_at, tags, forms, weights, ring, sums, bytes; /* places in scratch memory; its size */
  uint32_t tasks, by_rows;
};

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
  return columns * 8 * d->item * (uint32_t)x->stride * blocks * d->slots;
}

static inline size_t dmt_depthwise_place(dmt_depthwise *d, size_t bytes) {
  size_t at = d->bytes;
  d->bytes += (size_t)dmt_round_up(bytes);
  return at;
}

static inline void dmt_depthwise_group(dmt_depthwise *d, uint32_t rows) {
  d->rows = rows;
  d->slots = (uint32_t)d->conv.y.kernel + (rows - 1) * (uint32_t)d->conv.y.stride;
}

/* Blocks that a chunk has at least. What is in L2 may be read in any order; from memory, whole
 * pixels come faster than parts of them, and wide parts faster than narrow ones. */
static inline uint32_t dmt_depthwise_wanted(const dmt_depthwise *d) {
  const dmt_grid *in = &d->conv.in;
  uint32_t line = 8 / d->item, lines = dmt_ceil(dmt_up8(d->conv.out.c) / 8, line), wanted = 1;
  uint64_t bytes = dmt_times(in->h, in->row);
  if (bytes > DMT_DEPTHWISE_FAR) {
    wanted = lines <= 10 ? lines : 8;
  } else if (bytes > DMT_DEPTHWISE_NEAR) {
    wanted = 4;
  }
  return (wanted < lines ? wanted : lines) * line;
}

/* Outputs that a strip has at least. Narrow rows go together, as far as the ring holds them: there
 * is less to begin and to end. */
static inline uint32_t dmt_depthwise_least(dmt_depthwise *d, uint32_t wanted) {
  const dmt_conv *c = &d->conv;
  int joined = c->out.row == c->out.w * c->out.pixel && c->y.dilation == 1;
  uint32_t rows = joined ? dmt_ceil(DMT_DEPTHWISE_WIDE, c->out.w) : 1, least;
  for (rows = rows < c->out.h ? rows : c->out.h; rows > 1; rows--) {
    dmt_depthwise_group(d, rows);
    if (dmt_depthwise_size(d, c->out.w, wanted) <= DMT_DEPTHWISE_RING) {
      return c->out.w;
    }
  }
  dmt_depthwise_group(d, 1);
  least = c->out.w < 28 ? c->out.w : 28;
  while (least > 8 && dmt_depthwise_size(d, least, wanted) > DMT_DEPTHWISE_RING) {
    least = (least - 1) / 4 * 4;
  }
  while (least > 4 && dmt_depthwise_size(d, least, wanted) > DMT_DEPTHWISE_FULL) {
    least = (least - 1) / 4 * 4;
  }
  return least;
}

/* How a strip and a chunk share the ring: the channels in whole cache lines, as many as leave a
 * strip wide enough, then a strip as wide as fits. */
static inline int dmt_depthwise_plan(dmt_depthwise *d) {
  const dmt_conv *c = &d->conv;
  uint32_t width = c->out.w, all = dmt_up8(c->out.c) / 8, line = 8 / d->item;
  uint64_t taps = dmt_times((uint32_t)c->y.kernel, (uint32_t)c->x.kernel);
  if (taps > DMT_DEPTHWISE_TAPS || (uint32_t)c->x.stride > DMT_DEPTHWISE_STRIDE ||
      (uint32_t)c->y.stride > DMT_DEPTHWISE_STRIDE) {
    return 0;
  }
  uint32_t wanted = dmt_depthwise_wanted(d), most = dmt_depthwise_least(d, wanted);
  uint64_t room = dmt_depthwise_size(d, most, wanted), ring = dmt_depthwise_size(d, most, line);
  uint32_t strips, blocks;
  if (ring > DMT_DEPTHWISE_MOST) {
    return 0;
  }
  room = room < DMT_DEPTHWISE_RING || room > DMT_DEPTHWISE_FULL ? DMT_DEPTHWISE_RING : room;
  uint32_t lines = (uint32_t)(room / ring);
  lines = lines > 0 ? lines : 1;
  blocks = lines * line < all ? lines * line : all;
  blocks = dmt_ceil(dmt_ceil(all, dmt_ceil(all, blocks)), line) * line; /* chunks alike */
  blocks = blocks < all ? blocks : all;
  while (most < width && dmt_depthwise_size(d, most + 4, blocks) <= room) {
    most += 4;
  }
  most = most < width ? most : width;
  strips = dmt_ceil(width, most);
  most = dmt_ceil(width, strips);
  most = strips > 1 ? dmt_ceil(most, DMT_DEPTHWISE_TILE) * DMT_DEPTHWISE_TILE : most;
  dmt_depthwise_size(d, most, blocks);
  d->rows = strips > 1 ? 1 : d->rows;
  d->taps = ((uint32_t)taps + 1) / 2 * 2;
  d->bytes = 0;
  dmt_depthwise_place(d, d->rows * DMT_DEPTHWISE_ROW);
  d->taps_at = dmt_depthwise_place(d, d->rows * d->taps * sizeof(uint32_t));
  d->tags = dmt_depthwise_place(d, d->slots * sizeof(uint32_t));
  d->forms = dmt_depthwise_place(d, blocks);
  d->weights = dmt_depthwise_place(d, (size_t)d->taps * 8 * d->item * blocks);
  d->ring = dmt_depthwise_place(d, d->row * d->slots);
  d->sums = dmt_depthwise_place(d, ((size_t)d->rows * most + DMT_DEPTHWISE_TILE) * 32 +
                                       DMT_DEPTHWISE_SLACK);
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

static inline dmt_status dmt_depthwise_check(const dmt_call *call) {
  dmt_depthwise d;
  return dmt_depthwise_open(call, &d);
}

static inline uint32_t dmt_depthwise_scratch(const dmt_call *call) {
  dmt_depthwise d;
  return dmt_depthwise_open(call, &d) == DMT_OK ? (uint32_t)d.bytes : 0;
}

#endif
