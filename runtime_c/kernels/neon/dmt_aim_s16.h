/* Where the pixels of an int16 convolution meet its input. */
#ifndef DMT_AIM_S16_H
#define DMT_AIM_S16_H

#include "../generic/dmt_conv_int.h"
#include "dmt_patch_s16.h"
#include "dmt_plan_s16.h"
#include "dmt_touch.h"

/* Blocks of one group of outputs, over a run of pixels, for one part of the sum. */
typedef struct {
  const dmt_job_s16 *job;
  uint32_t group, block, blocks;
  dmt_range pixels;
  uint32_t row, rows, col, cols, input; /* the part */
  uint32_t parts, first, last;          /* of the sum, and whether it is the first or last */
  size_t sum, part;                     /* products of an output, and of the part */
  const int16_t *weights;               /* of the part */
  int32_t *totals;                      /* between parts: of tiles, by blocks */
  const int16_t *patches;
  const int16_t **table; /* where all tiles meet the input, if that is kept, */
  uint8_t **lines;       /* and their outputs in block `begin` */
  uint32_t known, begin; /* whether they are filled in */
} dmt_sweep_s16;

static const int16_t dmt_zeros_s16[DMT_MOST_ZEROS] = {0};

static inline const int16_t *dmt_input_s16(const uint8_t *at) {
  return (const int16_t *)(const void *)at;
}

/* Where pixel p of a tile meets the input, or zeros. */
static inline void dmt_aim_any_s16(const dmt_sweep_s16 *s, const dmt_place *place,
                                   const int16_t **at) {
  const dmt_conv *c = &s->job->conv;
  size_t channel = ((size_t)s->group * c->ig + s->input) * sizeof(int16_t);
  int32_t y = (int32_t)place->y * c->y.stride - c->y.pad + (int32_t)s->row * c->y.dilation;
  int32_t left = (int32_t)place->x * c->x.stride - c->x.pad + (int32_t)s->col * c->x.dilation;
  for (uint32_t row = 0; row < s->rows; row++, y += c->y.dilation) {
    int32_t x = left;
    for (uint32_t col = 0; col < s->cols; col++, x += c->x.dilation, at += 3) {
      int inside = (uint32_t)y < c->in.h && (uint32_t)x < c->in.w;
      *at = inside ? dmt_input_s16(dmt_at(&c->in, place->n, (uint32_t)y, (uint32_t)x) + channel)
                   : dmt_zeros_s16;
    }
  }
}

/* Three neighbours in a row that miss no tap: whether they are. */
static inline int dmt_aim_inside_s16(const dmt_sweep_s16 *s, const dmt_place *place,
                                     const int16_t **at) {
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
      at[0] = dmt_input_s16(x0);
      at[1] = dmt_input_s16(x0 + pixel);
      at[2] = dmt_input_s16(x0 + 2 * pixel);
    }
  }
  return 1;
}

/* On the way through a run of pixels. */
typedef struct {
  dmt_place place;
  uint32_t left;    /* in its row */
  const uint8_t *x; /* what it meets, where that is one input */
  uint8_t *y;
} dmt_walk_s16;

static inline void dmt_enter_row_s16(const dmt_sweep_s16 *s, dmt_walk_s16 *walk) {
  const dmt_conv *c = &s->job->conv;
  const dmt_place *p = &walk->place;
  walk->left = c->out.w - p->x;
  walk->y = dmt_at(&c->out, p->n, p->y, p->x);
  walk->y += ((size_t)s->group * c->og + 8 * (size_t)s->block) * sizeof(int16_t);
  if (s->patches == NULL && s->job->simple) {
    walk->x = dmt_at(&c->in, p->n, p->y * (uint32_t)c->y.stride, p->x * (uint32_t)c->x.stride) +
              ((size_t)s->group * c->ig + s->input) * sizeof(int16_t);
  }
}

/* Up to three pixels: tap t of pixel p at at[3 * t + p], outputs at y[p]. Where there are two, the
 * third repeats the second. */
static inline void dmt_aim_s16(const dmt_sweep_s16 *s, dmt_walk_s16 *walk, uint32_t width,
                               const int16_t **at, uint8_t **y) {
  const dmt_conv *c = &s->job->conv;
  const size_t x_step =
      s->patches != NULL ? s->sum * sizeof(int16_t) : (uint32_t)c->x.stride * c->in.pixel;
  int done = s->job->simple || (width == 3 && dmt_aim_inside_s16(s, &walk->place, at));
  for (uint32_t p = 0; p < width; p++) {
    y[p] = walk->y;
    if (s->job->simple) {
      at[p] = dmt_input_s16(walk->x);
    } else if (!done) {
      dmt_aim_any_s16(s, &walk->place, at + p);
    }
    walk->x += x_step;
    walk->y += c->out.pixel;
    walk->place.x++;
    if (--walk->left == 0) {
      walk->place.x--;
      dmt_place_step(&c->out, &walk->place);
      dmt_enter_row_s16(s, walk);
    }
  }
  y[2] = width == 3 ? y[2] : y[width - 1];
  if (width == 2) {
    for (uint32_t t = 0; t < (s->patches != NULL ? 1 : s->rows * s->cols); t++) {
      at[3 * t + 2] = at[3 * t + 1];
    }
  }
}

static inline void dmt_touch_s16(const void *first, const void *last, size_t step, size_t bytes) {
  if ((const uint8_t *)last == (const uint8_t *)first + step) {
    dmt_touch(first, step + bytes);
  }
}

/* What a tile reads and writes, row by row: three pixels of more than a line each would be three
 * streams of misses, and no prefetcher follows so many. */
static inline void dmt_touch_all_s16(const dmt_sweep_s16 *s, const int16_t *const *at,
                                     uint8_t *const *y, uint32_t inputs) {
  const dmt_conv *c = &s->job->conv;
  uint32_t span = 2 * (uint32_t)c->x.stride + (s->cols - 1) * (uint32_t)c->x.dilation;
  for (uint32_t row = 0; s->job->touch_x && row < s->rows; row++, at += 3 * s->cols) {
    dmt_touch_s16(at[0], at[3 * s->cols - 1], span * c->in.pixel, 2 * (size_t)inputs);
  }
  if (s->job->touch_y && (s->block == s->begin || s->job->touch_x)) {
    dmt_touch_s16(y[0], y[2], 2 * c->out.pixel, 2 * (size_t)c->og);
  }
}

static inline void dmt_gather_s16(const dmt_sweep_s16 *s, int16_t *to) {
  const dmt_conv *c = &s->job->conv;
  dmt_place place = dmt_place_of(&c->out, s->pixels.begin);
  for (uint32_t p = s->pixels.begin; p < s->pixels.end; p++) {
    const uint8_t *from = c->in.data + place.n * c->in.sample;
    from += (size_t)s->group * c->ig * sizeof(int16_t);
    to = dmt_patch_s16(c, from, place.y, place.x, to);
    dmt_place_step(&c->out, &place);
  }
}

#endif
