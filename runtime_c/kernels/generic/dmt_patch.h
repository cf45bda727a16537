/* Patches: the inputs of a few pixels, gathered. Every tap in order, the inputs of one tap side by
 * side; padding is settled there, away from the inner loops. */
#ifndef DMT_PATCH_H
#define DMT_PATCH_H

#include "dmt_conv_int.h"

/* Tap k of a row of inputs, or `fill` (a byte) where it is outside. */
static inline uint8_t *dmt_patch_tap(const dmt_conv *c, const uint8_t *row, uint32_t x, int32_t k,
                                     uint8_t *to, uint32_t item, int32_t fill) {
  int32_t at = dmt_tap_at(&c->x, x, k);
  size_t bytes = (size_t)c->ig * item;
  if (row == NULL || at < 0) {
    memset(to, fill, bytes);
  } else {
    memcpy(to, row + (size_t)at * c->in.pixel, bytes);
  }
  return to + bytes;
}

/* One row of all taps of an output; each then takes `step` bytes. */
static inline uint8_t *dmt_patch_row(const dmt_conv *c, const uint8_t *row, uint32_t x, uint8_t *to,
                                     uint32_t item, int32_t fill, size_t step) {
  if (!c->x.transposed && c->x.dilation == 1 && c->in.pixel == step && step == c->ig * item &&
      row != NULL) {
    dmt_window w = dmt_window_at(&c->x, x); /* adjacent pixels without gaps: one copy */
    size_t all = (size_t)(uint32_t)c->x.kernel * step;
    size_t some = (size_t)(uint32_t)w.count * step;
    size_t before = w.count > 0 ? (size_t)(uint32_t)w.first * step : 0;
    memset(to, fill, before);
    if (some > 0) {
      memcpy(to + before, row + (size_t)(uint32_t)w.at * step, some);
    }
    memset(to + before + some, fill, all - before - some);
    return to + all;
  }
  for (int32_t k = 0; k < c->x.kernel; k++) {
    dmt_patch_tap(c, row, x, k, to, item, fill);
    to += step;
  }
  return to;
}

/* All taps of a segment's pixels, every tap in `step` bytes and every pixel in `pixel`. What is
 * between keeps what it had. */
static inline void dmt_patch_whole(const dmt_conv *c, const dmt_segment *s, uint32_t group,
                                   uint8_t *to, uint32_t item, int32_t fill, size_t step,
                                   size_t pixel) {
  const uint8_t *from = c->in.data + (size_t)s->n * c->in.sample + (size_t)group * c->ig * item;
  for (uint32_t p = 0; p < s->count; p++) {
    uint8_t *at = to + p * pixel;
    for (int32_t k = 0; k < c->y.kernel; k++) {
      int32_t y = dmt_tap_at(&c->y, s->y, k);
      const uint8_t *row = y < 0 ? NULL : from + (size_t)y * c->in.row;
      at = dmt_patch_row(c, row, s->x + p * s->every, at, item, fill, step);
    }
  }
}

/* Pixels whose patches a thread holds: as fill the budget, whole tiles if more than one. */
static inline uint32_t dmt_patch_pixels(const dmt_conv *c, uint64_t bytes) {
  uint64_t pixels = DMT_PATCH_BYTES / bytes / DMT_TILE_PIXELS * DMT_TILE_PIXELS;
  pixels = pixels < DMT_TILE_PIXELS ? DMT_TILE_PIXELS : pixels;
  pixels = pixels > 64 ? 64 : pixels;
  return (uint32_t)(pixels < c->out.w ? pixels : c->out.w);
}

/* Bytes of a thread's patches, of `bytes` a pixel. */
static inline uint64_t dmt_patch_bytes(const dmt_conv *c, uint64_t bytes) {
  return dmt_round_up(dmt_times(bytes, dmt_patch_pixels(c, bytes)));
}

/* Kernels with patches leave to others what needs more than this. */
#define DMT_PATCH_MOST (UINT64_C(1) << 28)

#endif
