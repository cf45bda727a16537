/* A tensor as an image (FORMAT.md): N x H x W pixels of C adjacent channels. */
#ifndef DMT_GRID_H
#define DMT_GRID_H

#include "dmt_params.h"

#define DMT_MAX_STEP (1u << 28) /* bound of every size and distance of windows: s32 is enough */

typedef struct {
  uint8_t *data;
  uint32_t n, h, w, c;
  size_t sample, row, pixel; /* strides in bytes */
} dmt_grid;

static inline int dmt_as_grid(const dmt_view *view, dmt_grid *grid) {
  uint32_t item = dmt_item(view->dtype);
  grid->data = view->data;
  grid->n = view->dim[0];
  grid->c = view->dim[1];
  grid->h = view->dim[2]; /* dims beyond the rank are 1, strides 0 */
  grid->w = view->dim[3];
  grid->sample = view->stride[0];
  grid->row = view->stride[2];
  grid->pixel = view->stride[3];
  return (view->rank == 4 || view->rank == 2) && (grid->c == 1 || view->stride[1] == item) &&
         grid->h <= DMT_MAX_STEP && grid->w <= DMT_MAX_STEP;
}

static inline uint8_t *dmt_at(const dmt_grid *grid, uint32_t n, uint32_t y, uint32_t x) {
  return grid->data + (size_t)n * grid->sample + (size_t)y * grid->row + (size_t)x * grid->pixel;
}

/* A pixel, and the next in order. */
typedef struct {
  uint32_t n, y, x;
} dmt_place;

static inline dmt_place dmt_place_of(const dmt_grid *grid, uint32_t pixel) {
  uint32_t row = pixel / grid->w;
  dmt_place place = {row / grid->h, row % grid->h, pixel % grid->w};
  return place;
}

static inline void dmt_place_step(const dmt_grid *grid, dmt_place *place) {
  if (++place->x == grid->w) {
    place->x = 0;
    if (++place->y == grid->h) {
      place->y = 0;
      place->n++;
    }
  }
}

#endif
