/* Windows of max and average pooling: what its kernels share. */
#ifndef DMT_POOLING_H
#define DMT_POOLING_H

#include "dmt_grid.h"
#include "dmt_parallel.h"

typedef struct {
  const dmt_call *call;
  dmt_grid in, out;
  int32_t kernel[2], stride[2], pad[2]; /* height, width */
  const int32_t *divisors;
  uint32_t divisor_count, tasks;
} pool_job;

/* The real pixels of a window along one axis, and its length for the average. */
typedef struct {
  int32_t begin, end, length;
} pool_span;

static inline pool_span pool_span_at(const pool_job *job, uint32_t axis, uint32_t output) {
  int32_t size = (int32_t)(axis == 0 ? job->in.h : job->in.w);
  int32_t begin = (int32_t)output * job->stride[axis] - job->pad[axis];
  int32_t end = begin + job->kernel[axis];
  int32_t padded = end < size + job->pad[axis] ? end : size + job->pad[axis];
  pool_span span = {begin > 0 ? begin : 0, end < size ? end : size, padded - begin};
  if (span.end < span.begin) {
    span.end = span.begin;
  }
  return span;
}

static inline int pool_is_empty(pool_span rows, pool_span cols) {
  return rows.begin == rows.end || cols.begin == cols.end;
}

/* The record of an area, NULL where there is none. */
static inline const int32_t *pool_divisor(const pool_job *job, pool_span rows, pool_span cols) {
  int64_t area = (int64_t)rows.length * cols.length;
  for (uint32_t i = 0; i < job->divisor_count; i++) {
    if (job->divisors[4 * i] == area) {
      return job->divisors + 4 * i;
    }
  }
  return NULL;
}

static inline void pool_read(const dmt_call *call, pool_job *job) {
  dmt_as_grid(&call->in[0], &job->in);
  dmt_as_grid(&call->out, &job->out);
  for (uint32_t i = 0; i < 2; i++) {
    job->kernel[i] = dmt_signed(call, 4 * i);
    job->stride[i] = dmt_signed(call, 8 + 4 * i);
    job->pad[i] = dmt_signed(call, 16 + 4 * i);
  }
  job->call = call;
  job->divisor_count = dmt_word(call, 28);
  job->divisors = job->divisor_count ? dmt_array(call, dmt_word(call, 24), 0, 0) : NULL;
}

/* Sizes within bounds. */
static inline int pool_geometry_ok(const dmt_call *call, uint32_t out_dtype) {
  dmt_grid in, out;
  if (!dmt_has(call, 1, 1, out_dtype, 40) || !dmt_as_grid(&call->in[0], &in) ||
      !dmt_as_grid(&call->out, &out) || in.n != out.n || in.c != out.c) {
    return 0;
  }
  for (uint32_t i = 0; i < 2; i++) {
    uint64_t kernel = dmt_word(call, 4 * i), stride = dmt_word(call, 8 + 4 * i);
    uint64_t pad = dmt_word(call, 16 + 4 * i);
    uint64_t last = dmt_times((i ? out.w : out.h) - 1, stride);
    if (kernel < 1 || kernel > DMT_MAX_STEP || stride < 1 || stride > DMT_MAX_STEP ||
        pad > DMT_MAX_STEP || last > DMT_MAX_STEP) {
      return 0;
    }
  }
  return 1;
}

/* Every window that is not empty has a divisor. Equal neighbours are looked up once. */
static inline int pool_has_divisors(const pool_job *job) {
  int32_t height = 0, width = 0;
  for (uint32_t y = 0; y < job->out.h; y++) {
    pool_span rows = pool_span_at(job, 0, y);
    if (rows.length == height || rows.begin == rows.end) {
      continue;
    }
    height = rows.length;
    width = 0;
    for (uint32_t x = 0; x < job->out.w; x++) {
      pool_span cols = pool_span_at(job, 1, x);
      if (cols.length == width || cols.begin == cols.end) {
        continue;
      }
      width = cols.length;
      if (pool_divisor(job, rows, cols) == NULL) {
        return 0;
      }
    }
  }
  return 1;
}

static inline dmt_status pool_max_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  int good = pool_geometry_ok(call, call->dtype) && x->zero_point == y->zero_point &&
             x->scale == y->scale && dmt_word(call, 28) == 0;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static inline dmt_status pool_average_check(const dmt_call *call) {
  pool_job job;
  if (!pool_geometry_ok(call, call->dtype)) {
    return DMT_E_OPERATOR;
  }
  uint32_t count = dmt_word(call, 28);
  if (call->dtype == DMT_F32) {
    return count == 0 ? DMT_OK : DMT_E_OPERATOR;
  }
  if (count > UINT32_MAX / 4 || !dmt_has_arrays(call, dmt_word(call, 24), 1, 4 * count) ||
      !dmt_is_range(dmt_signed(call, 32), dmt_signed(call, 36), call->dtype)) {
    return DMT_E_OPERATOR;
  }
  pool_read(call, &job);
  for (uint32_t i = 0; i < count; i++) {
    const int32_t *record = job.divisors + 4 * i;
    if (((uint32_t)record[2] | (uint32_t)record[3]) > 31) {
      return DMT_E_OPERATOR;
    }
  }
  return pool_has_divisors(&job) ? DMT_OK : DMT_E_OPERATOR;
}

static inline void pool_open(const dmt_call *call, pool_job *job) {
  pool_read(call, job);
  uint32_t rows = job->out.n * job->out.h;
  uint64_t area = (uint64_t)(uint32_t)job->kernel[0] * (uint32_t)job->kernel[1];
  job->tasks = dmt_tasks(call, area * rows * job->out.w * job->out.c, 50000, rows);
}

#endif
