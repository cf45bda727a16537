/* Tiles of the integer convolutions, and patches.
 *
 * A patch is the inputs of a few pixels, gathered as s16: every tap in order, the inputs of one tap
 * side by side. Padding, zero points and widening are settled there, away from the inner loops.
 */
#ifndef DMT_PATCH_H
#define DMT_PATCH_H

#include "dmt_conv_int.h"

/* The accumulators of `pixels` by `blocks` of eight. Apart from the tiles: it is long, and rare. */
static __attribute__((noinline)) void dmt_finish_tile(const dmt_strip *s, uint32_t dtype,
                                                      uint32_t pixel, uint32_t block,
                                                      uint32_t pixels, uint32_t blocks,
                                                      const dmt_i8 *acc) {
  const dmt_conv *c = &s->job->conv;
  for (uint32_t p = 0; p < pixels; p++) {
    for (uint32_t b = 0; b < blocks; b++) {
      uint32_t first = 8 * (block + b), left = c->og - first;
      uint8_t *y = s->y + (pixel + p) * s->y_pixel + first * dmt_item(dtype);
      dmt_finish(c, s->job->call, dtype, s->group * c->og + first, left < 8 ? left : 8,
                 acc[p * blocks + b], y);
    }
  }
}

/* The biases of `blocks` of eight. */
DMT_INLINE void dmt_biases(const dmt_strip *s, uint32_t block, uint32_t blocks, dmt_i8 *bias) {
  const dmt_conv *c = &s->job->conv;
  for (uint32_t b = 0; b < blocks; b++) {
    uint32_t first = 8 * (block + b), left = c->og - first;
    bias[b] = dmt_i8_words(c->channels + s->group * c->og + first, left < 8 ? left : 8);
  }
}

/* n inputs as s16, less zero. */
DMT_INLINE int16_t *dmt_patch_copy(int16_t *to, const uint8_t *from, size_t n, uint32_t dtype,
                                   int32_t zero) {
  if (dtype == DMT_S16) {
    memcpy(to, from, n * sizeof *to);
    return to + n;
  }
  const int8_t *x = (const int8_t *)from;
  for (size_t i = 0; i < n; i++) {
    to[i] = (int16_t)(x[i] - zero);
  }
  return to + n;
}

DMT_INLINE int16_t *dmt_patch_fill(int16_t *to, size_t n, int32_t value) {
  for (size_t i = 0; i < n; i++) {
    to[i] = (int16_t)value;
  }
  return to + n;
}

/* One row of all taps of an output: `fill` where a tap is outside. */
DMT_INLINE int16_t *dmt_patch_row(const dmt_conv *c, const uint8_t *row, uint32_t x, int16_t *to,
                                  uint32_t dtype, int32_t fill) {
  size_t item = dmt_item(dtype);
  if (!c->x.transposed && c->x.dilation == 1 && c->in.pixel == c->ig * item) {
    dmt_window w = dmt_window_at(&c->x, x); /* adjacent pixels without gaps: one copy */
    if (w.count == 0) {
      return dmt_patch_fill(to, (size_t)c->x.kernel * c->ig, fill);
    }
    to = dmt_patch_fill(to, (size_t)w.first * c->ig, fill);
    to = dmt_patch_copy(to, row + (size_t)w.at * c->in.pixel, (size_t)w.count * c->ig, dtype, 0);
    return dmt_patch_fill(to, (size_t)(c->x.kernel - w.first - w.count) * c->ig, fill);
  }
  for (int32_t k = 0; k < c->x.kernel; k++) {
    int32_t at = dmt_tap_at(&c->x, x, k);
    to = at < 0 ? dmt_patch_fill(to, c->ig, fill)
                : dmt_patch_copy(to, row + (size_t)at * c->in.pixel, c->ig, dtype, 0);
  }
  return to;
}

/* All taps of a segment's pixels. */
DMT_INLINE void dmt_patch_whole(const dmt_conv *c, const dmt_segment *s, uint32_t group,
                                int16_t *to, uint32_t dtype, int32_t fill) {
  const uint8_t *from =
      c->in.data + (size_t)s->n * c->in.sample + (size_t)group * c->ig * dmt_item(dtype);
  for (uint32_t p = 0; p < s->count; p++) {
    for (int32_t k = 0; k < c->y.kernel; k++) {
      int32_t at = dmt_tap_at(&c->y, s->y, k);
      to = at < 0 ? dmt_patch_fill(to, (size_t)c->x.kernel * c->ig, fill)
                  : dmt_patch_row(c, from + (size_t)at * c->in.row, s->x + p, to, dtype, fill);
    }
  }
}

/* Pixels whose patches a thread holds: as fill the budget, whole tiles if more than one. */
static inline uint32_t dmt_patch_pixels(const dmt_conv *c) {
  uint64_t bytes = dmt_times(dmt_times((uint32_t)c->y.kernel, (uint32_t)c->x.kernel), c->ig) * 2;
  uint64_t pixels = DMT_PATCH_BYTES / bytes / DMT_TILE_PIXELS * DMT_TILE_PIXELS;
  pixels = pixels < DMT_TILE_PIXELS ? DMT_TILE_PIXELS : pixels;
  pixels = pixels > 64 ? 64 : pixels;
  return (uint32_t)(pixels < c->out.w ? pixels : c->out.w);
}

/* Bytes of a thread's patches. */
static inline uint64_t dmt_patch_bytes(const dmt_conv *c) {
  uint64_t taps = dmt_times(dmt_times((uint32_t)c->y.kernel, (uint32_t)c->x.kernel), c->ig);
  uint64_t bytes = dmt_times(taps * 2, dmt_patch_pixels(c));
  return (bytes + DMT_ALIGN - 1) / DMT_ALIGN * DMT_ALIGN;
}

/* Kernels with patches leave to others what needs more than this. */
#define DMT_PATCH_MOST (UINT64_C(1) << 28)

#endif
