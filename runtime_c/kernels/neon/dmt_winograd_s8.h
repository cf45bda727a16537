/* Winograd F(4 x 4, 3 x 3) in whole numbers: the sizes and the places that its stages share.
 *
 * A tile is 4 x 4 outputs, and its 6 x 6 inputs d. With G', B and A' below, 576 times the outputs
 * is A' [(G' g G'^T) . (B d B^T)] A'^T, the dot being a product at each of 36 positions, summed
 * over the inputs:
 *
 *   G' = 3  0  0     B = 4  0 -5  0  1  0     A' = 2  4  4  1  1  0
 *        1  1  1         0  4  4 -1 -1  0          0  4 -4  2 -2  0
 *        1 -1  1         0 -4  4  1 -1  0          0  4  4  4  4  0
 *        1  2  4         0 -2 -1  2  1  0          0  4 -4  8 -8  8
 *        1 -2  4         0  2 -1 -2  1  0
 *        0  0  3         0  4  0 -5  0  1
 *
 * Transformed weights are within 49 * 127, inputs within 100 * 128: int16. The sums may wrap
 * modulo 2^32: 576 = 64 * 9, and 9 has an inverse there, so that the outputs are exact wherever
 * they stay below 2^25. That the file promises (FORMAT.md, CONV, bounded).
 *
 * A tile of the last row that has only two rows of outputs is low: points 0, 1, -1 and 2 suffice,
 * and this C instead of the left B leaves zeros in the last two rows of positions:
 *
 *   C = 4 -2 -4  2
 *       0  6  3 -3
 *       0 -2  3 -1
 *       0 -4  0  4
 *
 * Then inputs are within 12 * 10 * 128. Six positions, a row of them, are worked on at once, so
 * that what an inner loop reads stays in the first cache: a chunk of inputs of a block of tiles,
 * the weights of a few outputs, the sums.
 */
#ifndef DMT_WINOGRAD_S8_H
#define DMT_WINOGRAD_S8_H

#include "../generic/dmt_conv.h"

enum { DMT_WINOGRAD_SIDE = 6, DMT_WINOGRAD_OUT = 4, DMT_WINOGRAD_TILES = 4 };

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  uint32_t tiles_x, tiles_y; /* of a sample */
  uint32_t inputs;           /* channels, up to whole eights */
  uint32_t tiles;            /* of a block, whole groups of four */
  uint32_t chunk, chunks;    /* inputs at a time */
  uint32_t few, many;        /* blocks of eight outputs whose sums, whose rows' results are kept */
  size_t plane;              /* bytes of one position of a chunk's transformed inputs */
  size_t v, u, m, h, sorted, copy; /* bytes of each part of a task's scratch */
  uint32_t tile_tasks, block_tasks;
} dmt_winograd;

/* The scratch of one task: transformed inputs, transformed weights, sums, sums of rows; weights in
 * the order of their transform; a tile's inputs. */
typedef struct {
  uint8_t *v;
  int16_t *u;
  int32_t *m, *h;
  int8_t *sorted, *copy;
} dmt_winograd_room;

/* A block of tiles: `count` from `first` on, counted over all samples; a bit of `low` for each four
 * that are low. */
typedef struct {
  uint32_t first, count, low;
} dmt_winograd_block;

typedef struct {
  uint32_t n, y, x; /* sample, and the tile's place in tiles */
} dmt_winograd_tile;

static inline dmt_winograd_tile dmt_winograd_at(const dmt_winograd *w, uint32_t tile) {
  dmt_winograd_tile at = {tile / (w->tiles_x * w->tiles_y), tile / w->tiles_x % w->tiles_y,
                          tile % w->tiles_x};
  return at;
}

static inline int dmt_winograd_is_low(const dmt_winograd *w, dmt_winograd_tile at) {
  return w->conv.out.h - DMT_WINOGRAD_OUT * at.y <= 2;
}

#endif
