/* One loop for all element-wise operators: over tensors of one shape and any strides.
 *
 * Parameters that belong to some axes are operands too, with stride 0 along the others. Axes are
 * ordered by the output's strides and merged where every operand allows it, so that nearly always
 * one long run is left.
 */
#ifndef DMT_LOOP_H
#define DMT_LOOP_H

#include "dmt_parallel.h"
#include "dmt_params.h"

#define DMT_LOOP_OPERANDS (DMT_MAX_INPUTS + 3)

/* A run of n elements: pointers and strides of the operands; the output is operand 0. */
typedef void (*dmt_line)(const void *context, uint32_t n, uint8_t *const *at, const size_t *step);

typedef struct {
  uint32_t rank, operands;
  uint32_t dim[DMT_MAX_RANK];
  size_t stride[DMT_MAX_RANK][DMT_LOOP_OPERANDS];
  uint8_t *base[DMT_LOOP_OPERANDS];
  dmt_line run;
  const void *context;
  uint32_t tasks;
} dmt_loop;

static inline void dmt_loop_open(dmt_loop *loop, const dmt_view *out) {
  loop->rank = out->rank > 0 ? out->rank : 1; /* dims beyond the rank are 1, strides 0 */
  loop->operands = 0;
  for (uint32_t i = 0; i < loop->rank; i++) {
    loop->dim[i] = out->dim[i];
  }
}

/* The next operand, by its strides in bytes along the output's axes. */
static inline void dmt_loop_array(dmt_loop *loop, const void *base, const size_t *stride) {
  for (uint32_t i = 0; i < loop->rank; i++) {
    loop->stride[i][loop->operands] = stride[i];
  }
  /* Only operand 0 is written. */
  loop->base[loop->operands++] = (uint8_t *)(uintptr_t)base;
}

static inline void dmt_loop_view(dmt_loop *loop, const dmt_view *view) {
  size_t stride[DMT_MAX_RANK];
  for (uint32_t i = 0; i < DMT_MAX_RANK; i++) {
    stride[i] = view->stride[i];
  }
  dmt_loop_array(loop, view->data, stride);
}

static inline void dmt_loop_swap(dmt_loop *loop, uint32_t a, uint32_t b) {
  uint32_t dim = loop->dim[a];
  loop->dim[a] = loop->dim[b];
  loop->dim[b] = dim;
  for (uint32_t k = 0; k < loop->operands; k++) {
    size_t stride = loop->stride[a][k];
    loop->stride[a][k] = loop->stride[b][k];
    loop->stride[b][k] = stride;
  }
}

/* Axis i + 1 continues axis i for every operand. */
static inline int dmt_loop_joins(const dmt_loop *loop, uint32_t outer, uint32_t inner) {
  int joins = 1;
  for (uint32_t k = 0; k < loop->operands; k++) {
    joins &= loop->stride[outer][k] == loop->stride[inner][k] * loop->dim[inner];
  }
  return joins;
}

static inline void dmt_loop_simplify(dmt_loop *loop) {
  uint32_t rank = 0;
  for (uint32_t i = 0; i < loop->rank; i++) { /* axes of one element go */
    if (loop->dim[i] > 1) {
      dmt_loop_swap(loop, rank++, i);
    }
  }
  for (uint32_t i = 1; i < rank; i++) { /* the output's largest stride first; stable */
    for (uint32_t j = i; j > 0 && loop->stride[j - 1][0] < loop->stride[j][0]; j--) {
      dmt_loop_swap(loop, j - 1, j);
    }
  }
  uint32_t kept = 0;
  for (uint32_t i = 1; i < rank; i++) {
    if (dmt_loop_joins(loop, kept, i)) {
      loop->dim[i] *= loop->dim[kept];
    } else {
      kept++;
    }
    if (kept != i) {
      dmt_loop_swap(loop, kept, i);
    }
  }
  loop->rank = kept + 1; /* of a single element, axis 0 still has 1 */
}

static inline void dmt_loop_task(void *argument, uint32_t index) {
  const dmt_loop *loop = argument;
  dmt_range range = dmt_share(loop->dim[0], index, loop->tasks);
  uint32_t inner = loop->rank - 1, at[DMT_MAX_RANK] = {0};
  uint8_t *base[DMT_LOOP_OPERANDS];
  for (uint32_t k = 0; k < loop->operands; k++) {
    base[k] = loop->base[k] + range.begin * loop->stride[0][k];
  }
  if (inner == 0) {
    if (range.end > range.begin) {
      loop->run(loop->context, range.end - range.begin, base, loop->stride[0]);
    }
    return;
  }
  at[0] = range.begin;
  while (at[0] < range.end) {
    loop->run(loop->context, loop->dim[inner], base, loop->stride[inner]);
    for (uint32_t axis = inner; axis-- > 0;) { /* count up, the last axis fastest */
      for (uint32_t k = 0; k < loop->operands; k++) {
        base[k] += loop->stride[axis][k];
      }
      if (++at[axis] < loop->dim[axis] || axis == 0) {
        break;
      }
      for (uint32_t k = 0; k < loop->operands; k++) {
        base[k] -= loop->dim[axis] * loop->stride[axis][k];
      }
      at[axis] = 0;
    }
  }
}

static inline void dmt_loop_go(dmt_loop *loop, const dmt_call *call, dmt_line run,
                               const void *context) {
  dmt_loop_simplify(loop);
  uint64_t elements = 1;
  for (uint32_t i = 0; i < loop->rank; i++) {
    elements *= loop->dim[i];
  }
  loop->run = run;
  loop->context = context;
  loop->tasks = dmt_tasks(call, elements, 16384, loop->dim[0]);
  dmt_parallel(call, loop->tasks, dmt_loop_task, loop);
}

#endif
