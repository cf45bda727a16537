/* Bilinear sampling between pixel centres, in integers: where an output pixel reads, and how
 * much of the second input counts (of 2048). */
#ifndef DMT_RESIZE_H
#define DMT_RESIZE_H

#include <stdint.h>

typedef struct {
  uint32_t first, second; /* inputs */
  int32_t weight;         /* of the second, 0 to 2048; the first has the rest */
} dmt_tap;

/* Output d of n stands at ((2 * d + 1) * m - n) / (2 * n) among m inputs. The numerator, with 2 * n
 * added to keep it positive, is held as quotient and rest, which a step of one output advances. */
typedef struct {
  uint32_t m, twice_n, quotient, rest, step, step_rest;
} dmt_axis;

static inline dmt_axis dmt_axis_start(uint32_t m, uint32_t n, uint32_t d) {
  uint32_t position = (2 * d + 1) * m + n;
  dmt_axis axis = {m, 2 * n, position / (2 * n), position % (2 * n), m / n, 2 * (m % n)};
  return axis;
}

static inline dmt_tap dmt_axis_next(dmt_axis *axis) {
  dmt_tap tap = {0, 0, 0};
  if (axis->quotient >= axis->m) { /* edges repeat */
    tap.first = tap.second = axis->m - 1;
  } else if (axis->quotient > 0) {
    tap.first = axis->quotient - 1;
    tap.second = axis->quotient;
    tap.weight = (int32_t)((axis->rest * 2048 + axis->twice_n / 2) / axis->twice_n);
  }
  axis->quotient += axis->step;
  axis->rest += axis->step_rest;
  if (axis->rest >= axis->twice_n) {
    axis->rest -= axis->twice_n;
    axis->quotient++;
  }
  return tap;
}

/* The value between four pixels: left and right of the upper row, then of the lower one. */
static inline uint8_t dmt_blend(int32_t ul, int32_t ur, int32_t ll, int32_t lr, int32_t across,
                                int32_t down) {
  int32_t upper = ul * 2048 + (ur - ul) * across;
  int32_t lower = ll * 2048 + (lr - ll) * across;
  return (uint8_t)((upper * 2048 + (lower - upper) * down + (1 << 21)) >> 22);
}

#endif
