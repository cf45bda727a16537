/* The three transforms of dmt_winograd_s8.h. */
#ifndef DMT_WINOGRAD_TRANSFORM_S8_H
#define DMT_WINOGRAD_TRANSFORM_S8_H

#include "../generic/dmt_conv_int.h"
#include "dmt_winograd_s8.h"

/* --- Inputs -------------------------------------------------------------------------------------
 */

/* B d, of bytes. */
DMT_INLINE void dmt_winograd_widen(const int8x8_t d[6], int16x8_t r[6]) {
  int16x8_t e = vsubl_s8(d[4], d[2]), f = vsubl_s8(d[3], d[1]);
  int16x8_t g = vsubl_s8(d[0], d[2]), h = vsubl_s8(d[5], d[3]);
  int16x8_t a = vsubw_s8(vshll_n_s8(d[2], 2), d[4]), b = vsubw_s8(vshll_n_s8(d[1], 2), d[3]);
  int16x8_t f2 = vaddq_s16(f, f);
  r[0] = vaddq_s16(vshlq_n_s16(g, 2), e);
  r[1] = vaddq_s16(a, b);
  r[2] = vsubq_s16(a, b);
  r[3] = vaddq_s16(e, f2);
  r[4] = vsubq_s16(e, f2);
  r[5] = vsubq_s16(h, vaddq_s16(f2, f2));
}

/* C d, of bytes. */
DMT_INLINE void dmt_winograd_widen_low(const int8x8_t d[6], int16x8_t r[6]) {
  int16x8_t e = vsubl_s8(d[0], d[2]), f = vsubl_s8(d[1], d[3]), g = vsubl_s8(d[2], d[1]);
  int16x8_t s = vaddq_s16(vaddl_s8(d[1], d[2]), f), e2 = vaddq_s16(e, e);
  r[0] = vshlq_n_s16(vsubq_s16(e2, f), 1);
  r[1] = vaddq_s16(vaddq_s16(s, s), s);
  r[2] = vaddq_s16(vsubl_s8(d[2], d[3]), vaddq_s16(g, g));
  r[3] = vshlq_n_s16(vnegq_s16(f), 2);
  r[4] = r[5] = vdupq_n_s16(0);
}

/* B d. */
DMT_INLINE void dmt_winograd_turn(const int16x8_t d[6], int16x8_t r[6]) {
  int16x8_t e = vsubq_s16(d[4], d[2]), f = vsubq_s16(d[3], d[1]);
  int16x8_t g = vsubq_s16(d[0], d[2]), h = vsubq_s16(d[5], d[3]);
  int16x8_t a = vsubq_s16(vshlq_n_s16(d[2], 2), d[4]);
  int16x8_t b = vsubq_s16(vshlq_n_s16(d[1], 2), d[3]);
  int16x8_t f2 = vaddq_s16(f, f);
  r[0] = vaddq_s16(vshlq_n_s16(g, 2), e);
  r[1] = vaddq_s16(a, b);
  r[2] = vsubq_s16(a, b);
  r[3] = vaddq_s16(e, f2);
  r[4] = vsubq_s16(e, f2);
  r[5] = vsubq_s16(h, vaddq_s16(f2, f2));
}

/* Eight bytes at *from, which goes on by `step`. */
DMT_INLINE int8x8_t dmt_winograd_next(const int8_t **from, size_t step) {
  int8x8_t value;
  __asm__("vld1.8 {%P0}, [%1], %2" : "=w"(value), "+r"(*from) : "r"(step) : "memory");
  return value;
}

DMT_INLINE int8x16_t dmt_winograd_pair(const int8_t **from) {
  int8x16_t value;
  __asm__("vld1.8 {%e0, %f0}, [%1 :128]!" : "=w"(value), "+r"(*from) : : "memory");
  return value;
}

DMT_INLINE void dmt_winograd_put(int16_t **to, int16x8_t value, size_t step) {
  __asm__ volatile("vst1.16 {%e1, %f1}, [%0 :128], %2"
                   : "+r"(*to)
                   : "w"(value), "r"(step)
                   : "memory");
}

/* A tile's 6 x 6 pixels. */
typedef struct {
  const int8_t *data;
  size_t row, pixel;
} dmt_winograd_pixels;

/* Eight channels of a tile to the 36 positions. */
DMT_INLINE void dmt_winograd_input(const dmt_winograd_pixels *p, int low, size_t channel,
                                   uint8_t *to, size_t plane, size_t row) {
  const int8_t *at[6] = {p->data + channel};
  int16x8_t half[6][6];
  for (uint32_t y = 1; y < 6; y++) {
    at[y] = at[y - 1] + p->row;
  }
  for (uint32_t x = 0; x < 6; x++) {
    int8x8_t d[6];
    int16x8_t r[6];
    for (uint32_t y = 0; y < 6; y++) {
      d[y] = dmt_winograd_next(&at[y], p->pixel);
    }
    if (low) {
      dmt_winograd_widen_low(d, r);
    } else {
      dmt_winograd_widen(d, r);
    }
    for (uint32_t y = 0; y < 6; y++) {
      half[y][x] = r[y];
    }
  }
  for (uint32_t y = 0; y < 6; y++, to += row) {
    int16x8_t r[6];
    dmt_winograd_turn(half[y], r);
    for (uint32_t x = 0; x < 6; x++) {
      vst1q_s16((int16_t *)(void *)(to + x * plane), r[x]);
    }
  }
}

/* n channels; zeros fill the last eight. */
static int8_t *dmt_winograd_copy(int8_t *to, const int8_t *from, uint32_t n) {
  for (; n >= 8; n -= 8, from += 8, to += 8) {
    vst1_s8(to, vld1_s8(from));
  }
  for (uint32_t i = 0; n > 0 && i < 8; i++) {
    *to++ = i < n ? from[i] : (int8_t)0;
  }
  return to;
}

/* A tile where it stands, or its copy: with the zero point for what is outside the input. */
static dmt_winograd_pixels dmt_winograd_tile_at(const dmt_winograd *w, dmt_winograd_tile at,
                                                int8_t *copy) {
  const dmt_conv *c = &w->conv;
  int32_t top = (int32_t)at.y * 4 - c->y.pad, left = (int32_t)at.x * 4 - c->x.pad;
  const int8_t *sample = (const int8_t *)c->in.data + (size_t)at.n * c->in.sample;
  dmt_winograd_pixels inside = {sample, c->in.row, c->in.pixel};
  if (top >= 0 && left >= 0 && top + 6 <= c->y.in && left + 6 <= c->x.in && c->in.c % 8 == 0) {
    inside.data += (size_t)(uint32_t)top * c->in.row + (size_t)(uint32_t)left * c->in.pixel;
    return inside;
  }
  dmt_winograd_pixels copied = {copy, 6 * (size_t)w->inputs, w->inputs};
  const int8x8_t zero = vdup_n_s8((int8_t)w->call->in[0].zero_point);
  for (int32_t y = top; y < top + 6; y++) {
    for (int32_t x = left; x < left + 6; x++) {
      if (y >= 0 && y < c->y.in && x >= 0 && x < c->x.in) {
        const int8_t *from = sample + (size_t)(uint32_t)y * c->in.row;
        copy = dmt_winograd_copy(copy, from + (size_t)(uint32_t)x * c->in.pixel, c->in.c);
      } else {
        for (uint32_t i = 0; i < w->inputs; i += 8, copy += 8) {
          vst1_s8(copy, zero);
        }
        for (uint32_t i = 1; i <= w->inputs - c->in.c; i++) {
          *(copy - i) = 0;
        }
      }
    }
  }
  return copied;
}

/* V of a block of tiles: rows of positions, chunks of inputs, positions, tiles, inputs. */
static void dmt_winograd_inputs(const dmt_winograd *w, dmt_winograd_block block,
                                const dmt_winograd_room *room) {
  const size_t chunk_bytes = 6 * w->plane, row = w->chunks * chunk_bytes;
  for (uint32_t t = 0; t < block.count; t++) {
    dmt_winograd_tile at = dmt_winograd_at(w, block.first + t);
    dmt_winograd_pixels pixels = dmt_winograd_tile_at(w, at, room->copy);
    const int low = dmt_winograd_is_low(w, at);
    uint8_t *to = room->v + (size_t)t * w->chunk * 2;
    for (uint32_t chunk = 0; chunk < w->inputs; chunk += w->chunk, to += chunk_bytes) {
      for (uint32_t i = 0; i < w->chunk && chunk + i < w->inputs; i += 8) {
        dmt_winograd_input(&pixels, low, chunk + i, to + 2 * i, w->plane, row);
      }
    }
  }
}

/* --- Weights ------------------------------------------------------------------------------------
 */

/* Row `row` of G' g, of bytes. */
DMT_INLINE int16x8_t dmt_winograd_column(const uint32_t row, int8x8_t w0, int8x8_t w1,
                                         int8x8_t w2) {
  switch (row) {
  case 0:
    return vmull_s8(w0, vdup_n_s8(3));
  case 1:
    return vaddw_s8(vaddl_s8(w0, w2), w1);
  case 2:
    return vsubw_s8(vaddl_s8(w0, w2), w1);
  case 3:
    return vaddq_s16(vaddw_s8(vshll_n_s8(w2, 2), w0), vaddl_s8(w1, w1));
  case 4:
    return vsubq_s16(vaddw_s8(vshll_n_s8(w2, 2), w0), vaddl_s8(w1, w1));
  default:
    return vmull_s8(w2, vdup_n_s8(3));
  }
}

/* Row `row` of G' g G'^T of two inputs side by side, so that neither waits for itself: six
 * positions each 32 bytes behind the last. */
DMT_INLINE void dmt_winograd_spread(const uint32_t row, const int8x16_t w[9], int16_t *to[2]) {
  int16x8_t a[2], b[2], c[2], s[2], p[2], q[2];
  for (uint32_t i = 0; i < 2; i++) {
    int8x8_t h[9];
    for (uint32_t t = 0; t < 9; t++) {
      h[t] = i == 0 ? vget_low_s8(w[t]) : vget_high_s8(w[t]);
    }
    a[i] = dmt_winograd_column(row, h[0], h[3], h[6]);
    c[i] = dmt_winograd_column(row, h[2], h[5], h[8]);
    b[i] = dmt_winograd_column(row, h[1], h[4], h[7]);
  }
  for (uint32_t i = 0; i < 2; i++) {
    s[i] = vaddq_s16(a[i], c[i]);
    p[i] = vaddq_s16(a[i], vshlq_n_s16(c[i], 2));
    q[i] = vaddq_s16(b[i], b[i]);
    a[i] = vmulq_s16(a[i], vdupq_n_s16(3));
    c[i] = vmulq_s16(c[i], vdupq_n_s16(3));
  }
  for (uint32_t x = 0; x < 6; x++) {
    for (uint32_t i = 0; i < 2; i++) {
      int16x8_t all[6] = {a[i],
                          vaddq_s16(s[i], b[i]),
                          vsubq_s16(s[i], b[i]),
                          vaddq_s16(p[i], q[i]),
                          vsubq_s16(p[i], q[i]),
                          c[i]};
      dmt_winograd_put(&to[i], all[x], 32);
    }
  }
}

/* A tap of eight inputs, `step` bytes between the outputs of a quad: their columns, pairs of inputs
 * nine taps apart. */
DMT_INLINE void dmt_winograd_columns(const int8_t *first, const int8_t *second, size_t step,
                                     int8_t *to) {
  __asm__ volatile("vld1.8 {d0}, [%[first]], %[step]\n\t"
                   "vld1.8 {d4}, [%[second]], %[step]\n\t"
                   "vld1.8 {d1}, [%[first]], %[step]\n\t"
                   "vld1.8 {d5}, [%[second]], %[step]\n\t"
                   "vld1.8 {d2}, [%[first]], %[step]\n\t"
                   "vld1.8 {d6}, [%[second]], %[step]\n\t"
                   "vld1.8 {d3}, [%[first]]\n\t"
                   "vld1.8 {d7}, [%[second]]\n\t"
                   "vtrn.8 d0, d1\n\t"
                   "vtrn.8 d4, d5\n\t"
                   "vtrn.8 d2, d3\n\t"
                   "vtrn.8 d6, d7\n\t"
                   "vtrn.16 d0, d2\n\t"
                   "vtrn.16 d1, d3\n\t"
                   "vtrn.16 d4, d6\n\t"
                   "vtrn.16 d5, d7\n\t"
                   "vtrn.32 d0, d4\n\t"
                   "vtrn.32 d1, d5\n\t"
                   "vtrn.32 d2, d6\n\t"
                   "vtrn.32 d3, d7\n\t"
                   "vst1.8 {d0-d1}, [%[to] :128], %[pair]\n\t"
                   "vst1.8 {d2-d3}, [%[to] :128], %[pair]\n\t"
                   "vst1.8 {d4-d5}, [%[to] :128], %[pair]\n\t"
                   "vst1.8 {d6-d7}, [%[to] :128]\n\t"
                   : [first] "+r"(first), [second] "+r"(second), [to] "+r"(to)
                   : [step] "r"(step), [pair] "r"(9 * 16)
                   : "q0", "q1", "q2", "q3", "memory");
}

/* Eight outputs' weights of packing 5 in the order that the transform reads: pairs of inputs, taps,
 * the two inputs, outputs. */
static void dmt_winograd_sort(const dmt_winograd *w, uint32_t block, int8_t *to) {
  const size_t tap = (size_t)w->inputs * 4, quad = 9 * tap;
  const int8_t *first = (const int8_t *)w->conv.weights + block * 2 * quad;
  const size_t second = 8 * block + 4 < w->conv.out.c ? quad : 0; /* any, where there is none */
  for (uint32_t y = 0; y < 3; y++) { /* few enough places at once for memory to follow */
    for (uint32_t i = 0; i < w->inputs; i += 8) {
      const uint32_t start = i / 16 * 16, length = w->inputs - start < 16 ? 8 : 16;
      const int8_t *from = first + y * 3 * tap + start * 4 + (i - start);
      int8_t *pair = to + ((size_t)i / 2 * 9 + y * 3) * 16;
      for (uint32_t x = 0; x < 3; x++, from += tap, pair += 16) {
        dmt_winograd_columns(from, from + second, length, pair);
      }
    }
  }
}

/* One row of positions of eight outputs and n inputs: pairs of inputs, positions, the two inputs,
 * outputs. */
DMT_INLINE void dmt_winograd_weight_row(const uint32_t row, const int8_t *from, uint32_t n,
                                        int16_t *to) {
  const uint32_t first = row == 5 ? 6 : 0, last = row == 0 ? 3 : 9;
  int16_t *at[2] = {to, to + 8};
  from += 16 * first;
  for (uint32_t i = 0; i < n; i += 2, from += 16 * (9 + first - last)) {
    int8x16_t w[9];
    for (uint32_t t = 0; t < 9; t++) {
      w[t] = t >= first && t < last ? dmt_winograd_pair(&from) : vdupq_n_s8(0);
    }
    dmt_winograd_spread(row, w, at);
  }
}

static void dmt_winograd_weights(uint32_t row, const int8_t *from, uint32_t n, int16_t *to) {
  switch (row) {
  case 0:
    dmt_winograd_weight_row(0, from, n, to);
    break;
  case 1:
    dmt_winograd_weight_row(1, from, n, to);
    break;
  case 2:
    dmt_winograd_weight_row(2, from, n, to);
    break;
  case 3:
    dmt_winograd_weight_row(3, from, n, to);
    break;
  case 4:
    dmt_winograd_weight_row(4, from, n, to);
    break;
  default:
    dmt_winograd_weight_row(5, from, n, to);
    break;
  }
}

/* --- Outputs ------------------------------------------------------------------------------------
 */

/* A' m */
DMT_INLINE void dmt_winograd_back(const int32x4_t m[6], int32x4_t y[4]) {
  int32x4_t p = vaddq_s32(m[1], m[2]), q = vsubq_s32(m[1], m[2]);
  int32x4_t r = vaddq_s32(m[3], m[4]), s = vsubq_s32(m[3], m[4]);
  int32x4_t even = vaddq_s32(m[0], vaddq_s32(p, p)), last = vaddq_s32(s, m[5]);
  int32x4_t odd = vaddq_s32(vaddq_s32(q, q), s);
  y[0] = vaddq_s32(vaddq_s32(even, even), r);
  y[1] = vaddq_s32(odd, odd);
  y[2] = vshlq_n_s32(vaddq_s32(p, r), 2);
  y[3] = vshlq_n_s32(vaddq_s32(q, vaddq_s32(last, last)), 2);
}

/* Six positions of up to four tiles and eight outputs to four. */
static __attribute__((noinline)) void dmt_winograd_half(const int32_t *m, uint32_t tiles,
                                                        int32_t *h) {
  for (uint32_t q = 0; q < 8 * tiles; q += 4) {
    int32x4_t d[6], y[4];
    for (uint32_t x = 0; x < 6; x++) {
      d[x] = vld1q_s32(m + x * 32 + q);
    }
    dmt_winograd_back(d, y);
    for (uint32_t x = 0; x < 4; x++) {
      vst1q_s32(h + x * 32 + q, y[x]);
    }
  }
}

#endif
