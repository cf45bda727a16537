/* Max and average pooling, eight channels at a time, and where the maxima stand. */
#include "dmt_lanes.h"
#include "dmt_pooling.h"

enum { POOL_MAX, POOL_AVERAGE, POOL_MASK };

static dmt_status pool_mask_check(const dmt_call *call) {
  return pool_geometry_ok(call, DMT_F32) ? DMT_OK : DMT_E_OPERATOR;
}

/* Eight channels (n of them) of one window. */
static void pool_average_int(const pool_job *job, const uint8_t *x, pool_span rows, pool_span cols,
                             uint32_t n, uint8_t *y) {
  const dmt_call *call = job->call;
  uint32_t dtype = call->dtype, item = dmt_item(dtype);
  dmt_i8 zero = dmt_i8_set(-call->in[0].zero_point), sum = dmt_i8_set(0);
  for (int32_t r = rows.begin; r < rows.end; r++) {
    const uint8_t *at = x + (size_t)r * job->in.row + (size_t)cols.begin * job->in.pixel;
    for (int32_t c = cols.begin; c < cols.end; c++, at += job->in.pixel) {
      sum = dmt_i8_add(sum, dmt_i8_add(dmt_i8_take(at, item, n, dtype), zero));
    }
  }
  if (!pool_is_empty(rows, cols)) {
    const int32_t *record = pool_divisor(job, rows, cols);
    sum = dmt_i8_rq(sum, dmt_i8_set(record[1]), dmt_i8_set(record[2]), dmt_i8_set(record[3]));
  }
  sum = dmt_i8_place(sum, call->out.zero_point, dmt_signed(call, 32), dmt_signed(call, 36));
  dmt_i8_put(y, item, n, dtype, sum);
}

static void pool_max_int(const pool_job *job, const uint8_t *x, pool_span rows, pool_span cols,
                         uint32_t n, uint8_t *y) {
  uint32_t dtype = job->call->dtype, item = dmt_item(dtype);
  dmt_i8 most = dmt_i8_set(dmt_lowest(dtype));
  for (int32_t r = rows.begin; r < rows.end; r++) {
    const uint8_t *at = x + (size_t)r * job->in.row + (size_t)cols.begin * job->in.pixel;
    for (int32_t c = cols.begin; c < cols.end; c++, at += job->in.pixel) {
      most = dmt_i8_max(most, dmt_i8_take(at, item, n, dtype));
    }
  }
  dmt_i8_put(y, item, n, dtype, most);
}

static void pool_f32(const pool_job *job, const uint8_t *x, pool_span rows, pool_span cols,
                     uint32_t n, uint8_t *y, int average) {
  float some[8];
  for (uint32_t i = 0; i < 8; i++) {
    some[i] = average ? 0.0f : -3.402823466e38f;
  }
  for (int32_t r = rows.begin; r < rows.end; r++) {
    const uint8_t *at = x + (size_t)r * job->in.row + (size_t)cols.begin * job->in.pixel;
    for (int32_t c = cols.begin; c < cols.end; c++, at += job->in.pixel) {
      const float *v = (const float *)(const void *)at;
      for (uint32_t i = 0; i < n; i++) {
        some[i] = average ? some[i] + v[i] : v[i] > some[i] ? v[i] : some[i];
      }
    }
  }
  float area = (float)((int64_t)rows.length * cols.length);
  for (uint32_t i = 0; i < n; i++) {
    ((float *)(void *)y)[i] = average ? some[i] / area : some[i];
  }
}

static float pool_value(const void *x, uint32_t dtype) {
  return dtype == DMT_F32  ? *(const float *)x
         : dtype == DMT_S8 ? (float)*(const int8_t *)x
                           : (float)*(const int16_t *)x;
}

/* The place of the first maximum of each channel; -1 where nothing exceeds the lowest float. */
static void pool_mask(const pool_job *job, const uint8_t *x, pool_span rows, pool_span cols,
                      uint32_t n, uint8_t *y) {
  uint32_t dtype = job->call->dtype, item = dmt_item(dtype);
  for (uint32_t i = 0; i < n; i++) {
    float most = -3.402823466e38f, place = -1.0f;
    for (int32_t r = rows.begin; r < rows.end; r++) {
      const uint8_t *at = x + (size_t)r * job->in.row + (size_t)cols.begin * job->in.pixel;
      for (int32_t c = cols.begin; c < cols.end; c++, at += job->in.pixel) {
        float value = pool_value(at + i * item, dtype);
        if (value > most) {
          most = value;
          place = (float)(r * (int32_t)job->in.w + c);
        }
      }
    }
    ((float *)(void *)y)[i] = place;
  }
}

static void pool_window(const pool_job *job, const uint8_t *x, pool_span rows, pool_span cols,
                        uint32_t n, uint8_t *y, uint32_t kind) {
  if (kind == POOL_MASK) {
    pool_mask(job, x, rows, cols, n, y);
  } else if (job->call->dtype == DMT_F32) {
    pool_f32(job, x, rows, cols, n, y, kind == POOL_AVERAGE);
  } else if (kind == POOL_AVERAGE) {
    pool_average_int(job, x, rows, cols, n, y);
  } else {
    pool_max_int(job, x, rows, cols, n, y);
  }
}

/* Output rows, of all samples. */
static void pool_rows(const pool_job *job, uint32_t index, uint32_t kind) {
  const dmt_grid *in = &job->in, *out = &job->out;
  size_t item = dmt_item(job->call->dtype), out_item = dmt_item(job->call->out.dtype);
  dmt_range all = dmt_share(out->n * out->h, index, job->tasks);
  for (uint32_t i = all.begin; i < all.end; i++) {
    uint32_t n = i / out->h, row = i % out->h;
    pool_span rows = pool_span_at(job, 0, row);
    for (uint32_t col = 0; col < out->w; col++) {
      pool_span cols = pool_span_at(job, 1, col);
      const uint8_t *x = in->data + (size_t)n * in->sample;
      uint8_t *y = dmt_at(out, n, row, col);
      for (uint32_t c = 0; c < out->c; c += 8) {
        uint32_t some = out->c - c < 8 ? out->c - c : 8;
        pool_window(job, x + c * item, rows, cols, some, y + c * out_item, kind);
      }
    }
  }
}

static void pool_max_task(void *argument, uint32_t index) { pool_rows(argument, index, POOL_MAX); }
static void pool_average_task(void *argument, uint32_t index) {
  pool_rows(argument, index, POOL_AVERAGE);
}
static void pool_mask_task(void *argument, uint32_t index) {
  pool_rows(argument, index, POOL_MASK);
}

static void pool_run(const dmt_call *call, dmt_task task) {
  pool_job job;
  pool_open(call, &job);
  dmt_parallel(call, job.tasks, task, &job);
}

static void pool_max_run(const dmt_call *call) { pool_run(call, pool_max_task); }
static void pool_average_run(const dmt_call *call) { pool_run(call, pool_average_task); }
static void pool_mask_run(const dmt_call *call) { pool_run(call, pool_mask_task); }

#define POOL(type, dtype)                                                                          \
  const dmt_operator DMT_KERNEL(dmt_op_pool_max_##type) = {                                        \
      DMT_OP_POOL_MAX, dtype, 1, pool_max_check, NULL, pool_max_run,                               \
  };                                                                                               \
  const dmt_operator DMT_KERNEL(dmt_op_pool_average_##type) = {                                    \
      DMT_OP_POOL_AVERAGE, dtype, 1, pool_average_check, NULL, pool_average_run,                   \
  };                                                                                               \
  const dmt_operator DMT_KERNEL(dmt_op_pool_mask_##type) = {                                       \
      DMT_OP_POOL_MASK, dtype, 1, pool_mask_check, NULL, pool_mask_run,                            \
  };

POOL(f32, DMT_F32)
POOL(s8, DMT_S8)
POOL(s16, DMT_S16)
