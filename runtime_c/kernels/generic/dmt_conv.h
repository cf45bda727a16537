/* What all convolutions share: the record, the windows of taps, the walk over the output.
 *
 * A deconvolution is computed at its outputs too: output o meets tap k where o + pad - k * dilation
 * is a multiple of the stride. Outputs one stride apart then meet the same taps, as neighbours of a
 * convolution do.
 */
#ifndef DMT_CONV_H
#define DMT_CONV_H

#include "dmt_grid.h"
#include "dmt_lanes.h"
#include "dmt_parallel.h"

enum {
  DMT_PACKING_PLAIN,
  DMT_PACKING_LANES,
  DMT_PACKING_DEPTHWISE,
  DMT_PACKING_PLAIN_4, /* in four bits a weight */
  DMT_PACKING_DOTS_4,
  DMT_PACKING_DOTS
};

typedef struct {
  int32_t kernel, stride, dilation, pad, in, out, transposed;
} dmt_axis;

/* Taps first, first + every, ... (count of them) of an output meet inputs at, at + step, ... */
typedef struct {
  int32_t count, first, every, at, step;
} dmt_window;

typedef struct {
  dmt_axis y, x;
  dmt_grid in, out;
  uint32_t groups, og, ig, blocks; /* channels in a group, and groups of eight outputs */
  uint32_t packing, slopes;
  uint32_t halves; /* whether a weight takes half a byte; packing is then that of whole ones */
  const uint8_t *weights;
  const int32_t *channels;
} dmt_conv;

/* Packing 5: an output's weights are `rows` rows, one a tap, or a single one of all taps where a
 * tap has few inputs. A row has `used` weights, and zeros up to `run`. */
typedef struct {
  uint64_t rows, used, run;
} dmt_dots;

static inline dmt_dots dmt_dots_of(const dmt_conv *c) {
  uint64_t taps = (uint64_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel; /* < 2^58 */
  int each = c->ig >= 8;
  dmt_dots d = {each ? taps : 1, each ? c->ig : taps * c->ig, 0};
  d.run = (d.used + 7) & ~UINT64_C(7);
  return d;
}

/* Weight `index` of those that take half a byte. */
static inline int32_t dmt_half(const uint8_t *weights, size_t index) {
  uint32_t half = (uint32_t)weights[index / 2] >> index % 2 * 4 & 15u;
  return (int32_t)(half ^ 8u) - 8;
}

/* Products of one output. */
static inline size_t dmt_taps(const dmt_conv *c) {
  return (size_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel * c->ig;
}

/* Reads the record; proves what all kernels rely on. */
dmt_status dmt_conv_read(const dmt_call *call, int transposed, dmt_conv *c);

/* The taps that an output meets along an axis. */
dmt_window dmt_window_at(const dmt_axis *a, uint32_t output);

/* The input that tap k of an output meets, or -1. */
static inline int32_t dmt_tap_at(const dmt_axis *a, uint32_t output, int32_t k) {
  int32_t at;
  if (!a->transposed) {
    at = (int32_t)output * a->stride - a->pad + k * a->dilation;
  } else {
    at = (int32_t)output + a->pad - k * a->dilation;
    if (at % a->stride) {
      return -1;
    }
    at /= a->stride;
  }
  return at >= 0 && at < a->in ? at : -1;
}

/* A 1 x 1 convolution over pixels that stand one behind the other has a single long row. */
static inline void dmt_conv_flatten(dmt_conv *c) {
  int same = c->y.kernel == 1 && c->x.kernel == 1 && c->y.stride == 1 && c->x.stride == 1 &&
             c->y.pad == 0 && c->x.pad == 0 && c->in.h == c->out.h && c->in.w == c->out.w;
  uint64_t pixels = (uint64_t)c->in.h * c->in.w;
  if (same && c->in.row == c->in.w * c->in.pixel && c->out.row == c->out.w * c->out.pixel &&
      pixels <= DMT_MAX_STEP) {
    c->in.w = c->out.w = (uint32_t)pixels;
    c->in.h = c->out.h = 1;
    c->x.in = c->x.out = (int32_t)pixels;
    c->y.in = c->y.out = 1;
  }
}

/* Outputs of one row that meet the same taps: x, x + every, ... */
typedef struct {
  uint32_t n, y, x, every, count;
  dmt_window rows, cols;
} dmt_segment;

typedef struct dmt_conv_job dmt_conv_job;
struct dmt_conv_job {
  dmt_conv conv;
  const dmt_call *call;
  /* Outputs for the group's channels from block `begin` to `end` (both over all groups). */
  void (*segment)(const dmt_conv_job *job, const dmt_segment *segment, dmt_range blocks,
                  void *scratch);
  uint32_t most;    /* pixels of a segment */
  uint32_t scratch; /* bytes of one task */
  uint32_t clipped; /* outputs that meet other taps go apart; else segment() sees to it */
  uint32_t pixel_tasks, block_tasks;
  uint32_t all_blocks;
};

/* Threads share the pixels where there are enough of them, else the outputs' channels. */
void dmt_conv_go(dmt_conv_job *job, uint32_t all_blocks);

/* --- Convolutions of packing 1: tiles of pixels by blocks of eight outputs ----------------------
 */

#ifdef DMT_AVX2
#define DMT_TILE_PIXELS 4
#define DMT_TILE_BLOCKS 2
#define DMT_PATCH_BYTES 32768
#else
#define DMT_TILE_PIXELS 4
#define DMT_TILE_BLOCKS 1
#define DMT_PATCH_BYTES 8192
#endif

/* `count` pixels whose taps stand at the same distances; steps in elements, y_pixel in bytes. */
typedef struct {
  const dmt_conv_job *job;
  const void *x;
  uint8_t *y;
  uint32_t count, group, rows, cols, run;
  ptrdiff_t x_row, x_col, x_pixel;
  const uint8_t *weights; /* of the group's block `first_block` */
  uint32_t first_block;
  size_t w_first, w_row, w_col, w_block; /* in elements */
  size_t y_pixel;
} dmt_strip;

/* The outputs of a segment and the weights of its window; x and its steps are the caller's. */
static inline dmt_strip dmt_strip_open(const dmt_conv_job *job, const dmt_segment *s,
                                       uint32_t group) {
  const dmt_conv *c = &job->conv;
  dmt_strip strip = {.job = job, .group = group, .count = s->count, .run = c->ig};
  size_t tap = (size_t)c->ig * 8, row = (size_t)c->x.kernel * tap;
  strip.y = dmt_at(&c->out, s->n, s->y, s->x) + (size_t)group * c->og * dmt_item(job->call->dtype);
  strip.y_pixel = s->every * c->out.pixel;
  strip.rows = (uint32_t)s->rows.count;
  strip.cols = (uint32_t)s->cols.count;
  strip.w_first = (size_t)s->rows.first * row + (size_t)s->cols.first * tap;
  strip.w_row = (size_t)s->rows.every * row;
  strip.w_col = (size_t)s->cols.every * tap;
  strip.w_block = (size_t)c->y.kernel * row;
  strip.weights = c->weights + (size_t)group * c->blocks * strip.w_block;
  return strip;
}

/* The inputs of a segment where they stand. */
static inline void dmt_strip_direct(dmt_strip *strip, const dmt_segment *s, size_t item) {
  const dmt_conv *c = &strip->job->conv;
  if (strip->rows == 0 || strip->cols == 0) {
    strip->x = c->in.data;
    return;
  }
  ptrdiff_t pixel = (ptrdiff_t)(c->in.pixel / item), row = (ptrdiff_t)(c->in.row / item);
  strip->x = dmt_at(&c->in, s->n, (uint32_t)s->rows.at, (uint32_t)s->cols.at) +
             (size_t)strip->group * c->ig * item;
  strip->x_row = row * s->rows.step;
  strip->x_col = pixel * s->cols.step;
  strip->x_pixel = c->x.transposed ? pixel : pixel * c->x.stride;
}

/* strip(tile): all tiles of a strip, for blocks begin to end of the group. */
#define DMT_STRIP(name, tile)                                                                      \
  static void name(const dmt_strip *s, uint32_t begin, uint32_t end) {                             \
    uint32_t b = begin;                                                                            \
    for (; !DMT_SMALL && s->count == 1 && b + 4 <= end; b += 4) {                                  \
      tile(1, 4, s, 0, b);                                                                         \
    }                                                                                              \
    for (; b < end;) {                                                                             \
      uint32_t p = 0, wide = !DMT_SMALL && (DMT_TILE_BLOCKS == 1 || b + DMT_TILE_BLOCKS <= end);   \
      for (; wide && p + DMT_TILE_PIXELS <= s->count; p += DMT_TILE_PIXELS) {                      \
        tile(DMT_TILE_PIXELS, DMT_TILE_BLOCKS, s, p, b);                                           \
      }                                                                                            \
      for (; !DMT_SMALL && !wide && p + DMT_TILE_PIXELS <= s->count; p += DMT_TILE_PIXELS) {       \
        tile(DMT_TILE_PIXELS, 1, s, p, b);                                                         \
      }                                                                                            \
      for (; wide && p < s->count; p++) {                                                          \
        tile(1, DMT_TILE_BLOCKS, s, p, b);                                                         \
      }                                                                                            \
      for (; !wide && p < s->count; p++) {                                                         \
        tile(1, 1, s, p, b);                                                                       \
      }                                                                                            \
      b += wide ? DMT_TILE_BLOCKS : 1;                                                             \
    }                                                                                              \
  }

/* Each group of which the job's blocks have a part. */
static inline dmt_range dmt_group_blocks(const dmt_conv *c, dmt_range all, uint32_t group) {
  uint32_t first = group * c->blocks, last = first + c->blocks;
  dmt_range part = {all.begin > first ? all.begin - first : 0,
                    (all.end < last ? all.end : last) - first};
  return part;
}

/* Whether a kernel for packing 1 takes the call. */
static inline dmt_status dmt_conv_lanes(const dmt_call *call, int transposed, dmt_conv *c) {
  dmt_status status = dmt_conv_read(call, transposed, c);
  return status == DMT_OK && c->packing != DMT_PACKING_LANES ? DMT_E_UNSUPPORTED : status;
}

/* Whether a depthwise kernel does: one input and one output a group. */
static inline dmt_status dmt_conv_depthwise(const dmt_call *call, int transposed, dmt_conv *c) {
  dmt_status status = dmt_conv_read(call, transposed, c);
  if (status == DMT_OK && (c->packing != DMT_PACKING_DEPTHWISE || c->og != 1)) {
    return DMT_E_UNSUPPORTED;
  }
  return status;
}

/* A strip for all channels, with the weights' steps of packing 2. */
static inline dmt_strip dmt_strip_depthwise(const dmt_conv_job *job, const dmt_segment *s) {
  dmt_strip strip = dmt_strip_open(job, s, 0);
  size_t tap = dmt_up8(job->conv.out.c), row = (size_t)job->conv.x.kernel * tap;
  strip.w_first = (size_t)s->rows.first * row + (size_t)s->cols.first * tap;
  strip.w_row = (size_t)s->rows.every * row;
  strip.w_col = (size_t)s->cols.every * tap;
  return strip;
}

#endif
