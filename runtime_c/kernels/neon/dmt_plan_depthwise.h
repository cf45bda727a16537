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
  dmt_depthwise_place(d, d->taps * sizeof(uint32_t));
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

static inline dmt_status dmt_depthwise_check(const dmt_call *call) {
  dmt_depthwise d;
  return dmt_depthwise_open(call, &d);
}

static inline uint32_t dmt_depthwise_scratch(const dmt_call *call) {
  dmt_depthwise d;
  return dmt_depthwise_open(call, &d) == DMT_OK ? (uint32_t)d.bytes : 0;
}

#endif
