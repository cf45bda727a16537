/* Patches of float32: the inputs of a few output pixels, for some of the products of each.
 *
 * The product of tap (kh, kw) and input i of a group is number (kh * KW + kw) * IG + i. Four pixels
 * stand together, [k / 4][4 pixels][k % 4], as the tiles of dmt_tile_f32.h read them; taps in the
 * padding are zeros. A patch fits the first-level cache beside the weights that pass by.
 */
#ifndef DMT_PATCH_F32_H
#define DMT_PATCH_F32_H

#include "../generic/dmt_conv.h"

enum {
  DMT_PATCH_F32 = 4096, /* floats of a patch */
  DMT_PART_F32 = 160    /* products of a pixel in it; more where there are few pixels */
};

/* Products `first` to `first + count`, the first of them at this tap and input. */
typedef struct {
  uint32_t first, count;
  int32_t row, col;
  uint32_t input;
} dmt_products;

dmt_products dmt_products_at(const dmt_conv *c, uint32_t first, uint32_t count);

/* Output pixels `first` to `first + count` of all, for inputs of the group. */
void dmt_patch_f32(const dmt_conv *c, uint32_t group, uint32_t first, uint32_t count,
                   dmt_products part, float *to);

/* One output pixel, [k]. */
void dmt_patch_f32_row(const dmt_conv *c, uint32_t group, uint32_t pixel, dmt_products part,
                       float *to);

#endif
