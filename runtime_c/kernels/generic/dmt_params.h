/* Reading and proving an operator's record. */
#ifndef DMT_PARAMS_H
#define DMT_PARAMS_H

#include "dmt_op.h"
#include "dmt_port.h"
#include "dmt_quantize.h"

/* The names of a kernel set; avx2.c compiles the same sources under other names. */
#ifndef DMT_KERNEL
#define DMT_KERNEL(name) name
#endif

#define DMT_TOO_MUCH (UINT64_C(1) << 40)

static inline uint32_t dmt_word(const dmt_call *call, uint32_t at) {
  return dmt_u32(call->param + at);
}

static inline int32_t dmt_signed(const dmt_call *call, uint32_t at) {
  return dmt_s32(call->param + at);
}

static inline float dmt_float(const dmt_call *call, uint32_t at) {
  return dmt_f32(call->param + at);
}

/* Words of an array "of n". */
static inline uint32_t dmt_up8(uint32_t n) { return (n + 7u) & ~7u; }

static inline uint32_t dmt_up4(uint32_t n) { return (n + 3u) & ~3u; }

static inline uint32_t dmt_least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* a / b, rounded up. */
static inline uint32_t dmt_ceil(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

/* A product that cannot overflow: everything above the limit is the limit. */
static inline uint64_t dmt_times(uint64_t a, uint64_t b) {
  return a != 0 && b > DMT_TOO_MUCH / a ? DMT_TOO_MUCH : a * b;
}

static inline int dmt_holds(dmt_bytes bytes, uint32_t offset, uint64_t size) {
  return offset % DMT_ALIGN == 0 && offset <= bytes.size && size <= bytes.size - offset;
}

/* `arrays` arrays of n words in CHAN, one behind the other. */
static inline int dmt_has_arrays(const dmt_call *call, uint32_t offset, uint64_t arrays,
                                 uint32_t n) {
  return dmt_holds(call->chan, offset, dmt_times(4 * arrays, ((uint64_t)n + 7) & ~UINT64_C(7)));
}

static inline const int32_t *dmt_array(const dmt_call *call, uint32_t offset, uint32_t array,
                                       uint32_t n) {
  return (const int32_t *)(const void *)(call->chan.data + offset) + (size_t)array * dmt_up8(n);
}

/* All words of an array are shifts (also those that only a vector reads). */
static inline int dmt_are_shifts(const int32_t *array, uint32_t n) {
  uint32_t all = 0;
  for (uint32_t i = 0; i < dmt_up8(n); i++) {
    all |= (uint32_t)array[i];
  }
  return all <= 31;
}

/* Arrays `first` and `first` + 1, left and right, of three (multiplier, left, right). */
static inline int dmt_rescales(const dmt_call *call, uint32_t offset, uint32_t multiplier,
                               uint32_t n) {
  return dmt_are_shifts(dmt_array(call, offset, multiplier + 1, n), n) &&
         dmt_are_shifts(dmt_array(call, offset, multiplier + 2, n), n);
}

/* low and high of an integer output. */
static inline int dmt_is_range(int32_t low, int32_t high, uint32_t dtype) {
  return low <= high && low >= dmt_lowest(dtype) && high <= dmt_highest(dtype);
}

static inline int dmt_same_shape(const dmt_view *a, const dmt_view *b) {
  int same = a->rank == b->rank;
  for (uint32_t i = 0; i < DMT_MAX_RANK; i++) {
    same &= a->dim[i] == b->dim[i];
  }
  return same;
}

/* Number and types of the operands and length of the record. */
static inline int dmt_has(const dmt_call *call, uint32_t least, uint32_t most, uint32_t out_dtype,
                          uint32_t param_size) {
  int good = call->inputs >= least && call->inputs <= most && call->inputs <= DMT_MAX_INPUTS &&
             call->param_size >= param_size && call->out.dtype == out_dtype;
  for (uint32_t i = 0; good && i < call->inputs; i++) {
    good = call->in[i].dtype == call->dtype;
  }
  return good;
}

#endif
