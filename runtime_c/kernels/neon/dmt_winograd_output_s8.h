/* The last stage of dmt_winograd_s8.h: from sums of rows of positions to outputs. */
#ifndef DMT_WINOGRAD_OUTPUT_S8_H
#define DMT_WINOGRAD_OUTPUT_S8_H

#include "dmt_winograd_transform_s8.h"

/* 1 / 9 modulo 2^32. */
#define DMT_NINTH 0x38E38E39

/* What rescales eight outputs without slopes and without shifts to the left. */
typedef struct {
  int32x4_t multiplier[2], right[2], ninth;
  int16x8_t zero, low, high;
} winograd_scale;

/* The accumulators of a tile's column of four, of outputs 4 * half on. */
DMT_INLINE void winograd_column(const int32_t *h, uint32_t half, int32x4_t ninth, int32x4_t y[4]) {
  int32x4_t d[6];
  for (uint32_t i = 0; i < 6; i++) {
    d[i] = vld1q_s32(h + i * 128 + 4 * half);
  }
  dmt_winograd_back(d, y);
  for (uint32_t i = 0; i < 4; i++) {
    y[i] = vshrq_n_s32(vmulq_s32(y[i], ninth), 6);
  }
}

/* Eight outputs of a whole tile. */
static __attribute__((noinline)) void winograd_simple(const int32_t *h, const winograd_scale *s,
                                                      uint8_t *to, size_t row, size_t pixel) {
  for (uint32_t x = 0; x < 4; x++, h += 32, to += pixel) {
    int16x4_t narrow[2][4];
    for (uint32_t half = 0; half < 2; half++) {
      int32x4_t y[4];
      winograd_column(h, half, s->ninth, y);
      for (uint32_t i = 0; i < 4; i++) {
        y[i] = vrshlq_s32(vqrdmulhq_s32(y[i], s->multiplier[half]), s->right[half]);
        narrow[half][i] = vqmovn_s32(y[i]);
      }
    }
    for (uint32_t i = 0; i < 4; i++) {
      int16x8_t y = vqaddq_s16(vcombine_s16(narrow[0][i], narrow[1][i]), s->zero);
      vst1_s8((int8_t *)to + i * row, vmovn_s16(vminq_s16(vmaxq_s16(y, s->low), s->high)));
    }
  }
}

/* The same for any rescaling, of n outputs. */
static __attribute__((noinline)) void winograd_any(const dmt_winograd *w, const int32_t *h,
                                                   uint32_t first, uint32_t n, uint8_t *to,
                                                   size_t row, size_t pixel) {
  for (uint32_t x = 0; x < 4; x++, h += 32, to += pixel) {
    int32x4_t low[4], high[4];
    winograd_column(h, 0, vdupq_n_s32(DMT_NINTH), low);
    winograd_column(h, 1, vdupq_n_s32(DMT_NINTH), high);
    for (uint32_t i = 0; i < 4; i++) {
      dmt_i8 acc = {{low[i], high[i]}};
      dmt_finish(&w->conv, w->call, DMT_S8, first, n, acc, to + i * row);
    }
  }
}

/* Whether outputs have neither slopes nor shifts to the left. */
static int winograd_is_simple(const dmt_conv *c, uint32_t first, uint32_t n) {
  const int32_t *left = c->channels + 2 * (size_t)dmt_up8(c->out.c) + first;
  int32_t all = 0;
  for (uint32_t i = 0; i < n; i++) {
    all |= left[i];
  }
  return !c->slopes && all == 0;
}

static winograd_scale winograd_scale_of(const dmt_winograd *w, uint32_t first) {
  const dmt_conv *c = &w->conv;
  const size_t words = dmt_up8(c->out.c); /* whole eights */
  const int32_t *at = c->channels + first;
  winograd_scale s;
  for (uint32_t half = 0; half < 2; half++, at += 4) {
    s.multiplier[half] = vld1q_s32(at + words);
    s.right[half] = vnegq_s32(vld1q_s32(at + 3 * words));
  }
  s.ninth = vdupq_n_s32(DMT_NINTH);
  s.zero = vdupq_n_s16((int16_t)w->call->out.zero_point);
  s.low = vdupq_n_s16((int16_t)dmt_signed(w->call, 56));
  s.high = vdupq_n_s16((int16_t)dmt_signed(w->call, 60));
  return s;
}

/* The part of a tile that the output has: n of eight channels. */
static void winograd_clip(const uint8_t *tile, uint32_t rows, uint32_t cols, uint32_t n,
                          const dmt_grid *out, uint8_t *to) {
  for (uint32_t y = 0; y < rows; y++) {
    for (uint32_t x = 0; x < cols; x++) {
      for (uint32_t i = 0; i < n; i++) {
        to[y * out->row + x * out->pixel + i] = tile[(y * 4 + x) * 8 + i];
      }
    }
  }
}

/* Eight outputs, from `first` on, of `count` tiles of a group. */
static void winograd_group(const dmt_winograd *w, uint32_t tile, uint32_t count, uint32_t first,
                           const int32_t *h) {
  const dmt_grid *out = &w->conv.out;
  const uint32_t n = dmt_least(out->c - first, 8);
  const winograd_scale scale = winograd_scale_of(w, first);
  const int simple = winograd_is_simple(&w->conv, first, n);
  for (uint32_t t = 0; t < count; t++, h += 8) {
    dmt_winograd_tile at = dmt_winograd_at(w, tile + t);
    uint32_t rows = dmt_least(out->h - 4 * at.y, 4), cols = dmt_least(out->w - 4 * at.x, 4);
    uint8_t *to = dmt_at(out, at.n, 4 * at.y, 4 * at.x) + first, clipped[4 * 4 * 8];
    int whole = rows == 4 && cols == 4 && n == 8;
    uint8_t *place = whole ? to : clipped;
    size_t row = whole ? out->row : 32, pixel = whole ? out->pixel : 8;
    if (simple) {
      winograd_simple(h, &scale, place, row, pixel);
    } else {
      winograd_any(w, h, first, n, place, row, pixel);
    }
    if (!whole) {
      winograd_clip(clipped, rows, cols, n, out, to);
    }
  }
}

/* The outputs of a block of tiles, of blocks begin to end of eight. */
static __attribute__((noinline)) void winograd_outputs(const dmt_winograd *w,
                                                       dmt_winograd_block block, uint32_t begin,
                                                       uint32_t end, const int32_t *h) {
  const size_t groups = (block.count + 3) / 4;
  for (uint32_t g = 0; g < groups; g++) {
    for (uint32_t b = begin; b < end; b++) {
      winograd_group(w, block.first + 4 * g, dmt_least(block.count - 4 * g, 4), 8 * b,
                     h + ((b - begin) * groups + g) * 24 * 32);
    }
  }
}

#endif
