/* Tiles of float32 products, in NEON: a few pixels by eight outputs, all of it in registers.
 *
 * vmla.f32 rounds twice, as a multiplication and an addition do, and sums stand in the order of k;
 * but lanes take subnormals for zeros, and a maximum of zeros is +0.
 */
#ifndef DMT_TILE_F32_H
#define DMT_TILE_F32_H

#include <stddef.h>
#include <stdint.h>

#define DMT_INFINITY __builtin_inff() /* without <math.h>, which bare compilers lack */

enum { DMT_TILE_WIDE = 4 }; /* pixels of a tile, and blocks of a row */

/* to[p][o] = end(from[p][o] + sum of x[p][k] * w[k][o]); steps in elements. */
typedef struct {
  const float *x; /* [k / 4][4 pixels][k % 4]; of a row [k] */
  const float *w; /* [k][8] */
  size_t w_block; /* of a row: from one block of outputs to the next */
  uint32_t k;
  const float *from;
  ptrdiff_t from_step;
  float *to;
  ptrdiff_t to_step;
  const float *slopes; /* of eight outputs, or NULL */
  float limits[2];
} dmt_tile_f32;

void dmt_tile_f32_4(const dmt_tile_f32 *tile);
void dmt_tile_f32_2(const dmt_tile_f32 *tile);

/* y[tile][p][o] += sum of x[tile][p][k] * w[tile][k][o], of four pixels and eight outputs each;
 * tiles are so many floats apart, k is a multiple of four. */
typedef struct {
  const float *x, *w;
  float *y;
  size_t x_step, w_step, y_step;
  uint32_t k, count;
} dmt_sums_f32;

void dmt_tile_f32_sums(const dmt_sums_f32 *sums);

/* One pixel by four blocks of outputs, which stand side by side: the steps do not count. */
void dmt_tile_f32_row(const dmt_tile_f32 *tile);

#endif
