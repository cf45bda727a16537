/* Local response normalisation: what its kernels share. */
#ifndef DMT_LRN_H
#define DMT_LRN_H

#include "dmt_fixed.h"
#include "dmt_grid.h"
#include "dmt_math.h"
#include "dmt_parallel.h"

enum { LRN_ACROSS, LRN_WITHIN };

typedef struct {
  const dmt_call *call;
  dmt_grid in, out;
  uint32_t region, tasks;
  int32_t half; /* of the window */
  float scale, beta, k;
} lrn_job;

/* The part of a window around `at` that is inside. */
typedef struct {
  uint32_t begin, end;
} lrn_span;

static inline lrn_span lrn_span_at(const lrn_job *job, uint32_t at, uint32_t size) {
  uint32_t half = (uint32_t)job->half;
  lrn_span span = {at > half ? at - half : 0, size - at > half ? at + half + 1 : size};
  return span;
}

static inline dmt_status lrn_check(const dmt_call *call) {
  dmt_grid in, out;
  if (!dmt_has(call, 1, 1, call->dtype, 52) || !dmt_same_shape(&call->in[0], &call->out) ||
      !dmt_as_grid(&call->in[0], &in) || !dmt_as_grid(&call->out, &out)) {
    return DMT_E_OPERATOR;
  }
  uint32_t region = dmt_word(call, 0), size = dmt_word(call, 4);
  if (region > LRN_WITHIN || size % 2 != 1 || size > 32767) {
    return DMT_E_OPERATOR;
  }
  if (call->dtype == DMT_F32) {
    return DMT_OK;
  }
  uint32_t bits = dmt_word(call, 24), shift = dmt_word(call, 28);
  uint32_t shifts = shift | dmt_word(call, 36) | dmt_word(call, 40);
  if (bits < 3 || bits > 7 || shifts > 31 ||
      !dmt_holds(call->data, dmt_word(call, 20), 2 * (((33 - bits) << bits) + 1)) ||
      !dmt_is_range(dmt_signed(call, 44), dmt_signed(call, 48), call->dtype)) {
    return DMT_E_OPERATOR;
  }
  return DMT_OK;
}

/* The tensors and constants; the caller gives `tasks` rows to share. */
static inline void lrn_open(const dmt_call *call, lrn_job *job) {
  uint32_t size = dmt_word(call, 4);
  job->call = call;
  job->region = dmt_word(call, 0);
  dmt_as_grid(&call->in[0], &job->in);
  dmt_as_grid(&call->out, &job->out);
  job->half = (int32_t)(size / 2);
  job->scale = dmt_float(call, 8) / (float)(job->region == LRN_ACROSS ? size : size * size);
  job->beta = dmt_float(call, 12);
  job->k = job->region == LRN_ACROSS ? dmt_float(call, 16) : 1.0f;
  uint32_t rows = job->in.n * job->in.h;
  job->tasks = dmt_tasks(call, (uint64_t)rows * job->in.w * job->in.c, 2000, rows);
}

#endif
