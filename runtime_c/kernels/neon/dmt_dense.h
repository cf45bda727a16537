/* Element-wise operators on runs without gaps: all that a kernel sees are whole registers. */
#ifndef DMT_DENSE_H
#define DMT_DENSE_H

#include "../generic/dmt_copy.h"
#include "../generic/dmt_loop.h"

/* n elements, a multiple of DMT_DENSE. */
typedef void (*dmt_dense)(const void *context, uint32_t n, uint8_t *to, uint8_t *const *from);

enum { DMT_DENSE = 16, DMT_DENSE_ROOM = 32 };

/* Elements with gaps, and those that fill no register, by way of the stack. */
static inline void dmt_dense_bounce(const void *context, uint32_t n, uint8_t *const *at,
                                    const size_t *step, uint32_t inputs, uint32_t to_item,
                                    uint32_t item, dmt_dense run) {
  uint32_t room[DMT_MAX_INPUTS][DMT_DENSE_ROOM] = {{0}}, to[DMT_DENSE_ROOM];
  uint8_t *from[DMT_MAX_INPUTS];
  for (uint32_t i = 0; i < n; i += DMT_DENSE_ROOM) {
    uint32_t some = n - i < DMT_DENSE_ROOM ? n - i : DMT_DENSE_ROOM;
    for (uint32_t k = 0; k < inputs; k++) {
      from[k] = (uint8_t *)room[k];
      dmt_copy_elements(from[k], item, at[k + 1] + i * step[k + 1], step[k + 1], some, item);
    }
    run(context, (some + DMT_DENSE - 1) / DMT_DENSE * DMT_DENSE, (uint8_t *)to, from);
    dmt_copy_elements(at[0] + i * step[0], step[0], (const uint8_t *)to, to_item, some, to_item);
  }
}

/* A dmt_line of inputs of one type. */
static inline void dmt_dense_line(const void *context, uint32_t n, uint8_t *const *at,
                                  const size_t *step, uint32_t inputs, uint32_t to_item,
                                  uint32_t item, dmt_dense run) {
  int dense = step[0] == to_item;
  uint8_t *rest[DMT_MAX_INPUTS + 1];
  for (uint32_t k = 1; k <= inputs; k++) {
    dense &= step[k] == item;
  }
  uint32_t whole = dense ? n / DMT_DENSE * DMT_DENSE : 0;
  if (whole > 0) {
    run(context, whole, at[0], at + 1);
  }
  if (whole < n) {
    for (uint32_t k = 0; k <= inputs; k++) {
      rest[k] = at[k] + whole * step[k];
    }
    dmt_dense_bounce(context, n - whole, rest, step, inputs, to_item, item, run);
  }
}

#endif
