/* Bilinear resizing, eight channels at a time. */
#include "dmt_grid.h"
#include "dmt_lanes.h"
#include "dmt_parallel.h"

enum { RESIZE_ALIGN_CORNERS, RESIZE_HALF_PIXEL };
#define RESIZE_MOST 32768u /* rows and columns: all positions are s32 */

typedef struct {
  const dmt_call *call;
  dmt_grid in, out; /* the input without what is cropped */
  uint32_t tasks;
} resize_job;

/* Bytes from a row (or column) to the two that an output lies between, and the second's weight. */
typedef struct {
  size_t first, second;
  int32_t weight, whole; /* 2^11 (int8) or 2^14 (int16) */
  float share, rest;     /* second and first in float32 */
} resize_at;

static int resize_geometry(const dmt_call *call, resize_job *job) {
  dmt_grid *in = &job->in, *out = &job->out;
  int grids = dmt_as_grid(&call->in[0], in) & dmt_as_grid(&call->out, out);
  uint32_t begin = dmt_word(call, 4), end = dmt_word(call, 8);
  job->call = call;
  if (!grids || begin > RESIZE_MOST || end > RESIZE_MOST || begin + end >= in->h ||
      begin + end >= in->w) {
    return 0;
  }
  in->h -= begin + end;
  in->w -= begin + end;
  return in->n == out->n && in->c == out->c && in->h <= RESIZE_MOST && in->w <= RESIZE_MOST &&
         out->h <= RESIZE_MOST && out->w <= RESIZE_MOST;
}

static dmt_status resize_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *y = &call->out;
  resize_job job;
  int good = dmt_has(call, 1, 1, call->dtype, 12) && resize_geometry(call, &job) &&
             dmt_word(call, 0) <= RESIZE_HALF_PIXEL && x->scale == y->scale &&
             x->zero_point == y->zero_point;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

/* Output o of `out` over `size` rows that are `step` bytes apart. */
static resize_at resize_position(const dmt_call *call, uint32_t size, uint32_t out, uint32_t o,
                                 size_t step) {
  int32_t whole, at;
  if (dmt_word(call, 0) == RESIZE_ALIGN_CORNERS) {
    whole = out > 1 ? (int32_t)out - 1 : 1;
    at = (int32_t)(o * (size - 1));
  } else {
    whole = 2 * (int32_t)out;
    at = (int32_t)((2 * o + 1) * size) - (int32_t)out;
    at = dmt_clamp(at, 0, whole * (int32_t)(size - 1));
  }
  uint32_t first = (uint32_t)(at / whole), bits = call->dtype == DMT_S8 ? 11 : 14;
  int32_t rest = at % whole;
  resize_at found = {
      .first = first * step,
      .second = (first + 1 < size ? first + 1 : first) * step,
      .weight = (int32_t)((((uint32_t)rest << bits) + (uint32_t)whole / 2) / (uint32_t)whole),
      .whole = 1 << bits,
      .share = (float)rest / (float)whole,
  };
  found.rest = 1.0f - found.share;
  return found;
}

static void resize_f32(const uint8_t *x, const resize_at *row, const resize_at *col, uint32_t n,
                       uint8_t *y) {
  static const float none[8] = {0};
  dmt_f8 zero = dmt_f8_load(none), line[2];
  for (uint32_t i = 0; i < 2; i++) {
    const uint8_t *at = x + (i ? row->second : row->first);
    dmt_f8 a = dmt_f8_words((const float *)(const void *)(at + col->first), n);
    dmt_f8 b = dmt_f8_words((const float *)(const void *)(at + col->second), n);
    line[i] = dmt_f8_add_scaled(dmt_f8_add_scaled(zero, &col->rest, a), &col->share, b);
  }
  line[0] = dmt_f8_add_scaled(dmt_f8_add_scaled(zero, &row->rest, line[0]), &row->share, line[1]);
  dmt_f8_put((float *)(void *)y, n, line[0]);
}

static dmt_i8 resize_between(dmt_i8 a, dmt_i8 b, const resize_at *at) {
  return dmt_i8_add(dmt_i8_mul(a, dmt_i8_set(at->whole - at->weight)),
                    dmt_i8_mul(b, dmt_i8_set(at->weight)));
}

static void resize_int(const uint8_t *x, const resize_at *row, const resize_at *col, uint32_t n,
                       uint8_t *y, uint32_t dtype) {
  uint32_t item = dmt_item(dtype);
  dmt_i8 line[2];
  for (uint32_t i = 0; i < 2; i++) {
    const uint8_t *at = x + (i ? row->second : row->first);
    line[i] = resize_between(dmt_i8_take(at + col->first, item, n, dtype),
                             dmt_i8_take(at + col->second, item, n, dtype), col);
    if (dtype == DMT_S16) {
      line[i] = dmt_i8_rshr(line[i], dmt_i8_set(13));
    }
  }
  line[0] = resize_between(line[0], line[1], row);
  dmt_i8_put(y, item, n, dtype, dmt_i8_rshr(line[0], dmt_i8_set(dtype == DMT_S8 ? 22 : 15)));
}

static void resize_task(void *argument, uint32_t index) {
  const resize_job *job = argument;
  const dmt_grid *in = &job->in, *out = &job->out;
  uint32_t dtype = job->call->dtype, item = dmt_item(dtype), some = out->c < 8 ? out->c : 8;
  dmt_range all = dmt_share(out->n * out->h, index, job->tasks);
  for (uint32_t i = all.begin; i < all.end; i++) {
    uint32_t n = i / out->h, y = i % out->h;
    resize_at row = resize_position(job->call, in->h, out->h, y, in->row);
    for (uint32_t x = 0; x < out->w; x++) {
      resize_at col = resize_position(job->call, in->w, out->w, x, in->pixel);
      const uint8_t *from = in->data + (size_t)n * in->sample;
      uint8_t *to = dmt_at(out, n, y, x);
      for (uint32_t c = 0; c < out->c; c += 8) {
        uint32_t at = c <= out->c - some ? c : out->c - some; /* the last eight may overlap */
        if (dtype == DMT_F32) {
          resize_f32(from + at * item, &row, &col, some, to + at * item);
        } else {
          resize_int(from + at * item, &row, &col, some, to + at * item, dtype);
        }
      }
    }
  }
}

static void resize_run(const dmt_call *call) {
  resize_job job;
  resize_geometry(call, &job);
  job.in.data = dmt_at(&job.in, 0, dmt_word(call, 4), dmt_word(call, 4));
  uint32_t rows = job.out.n * job.out.h;
  job.tasks = dmt_tasks(call, (uint64_t)rows * job.out.w * job.out.c, 8192, rows);
  dmt_parallel(call, job.tasks, resize_task, &job);
}

#define RESIZE(type, dtype)                                                                        \
  const dmt_operator DMT_KERNEL(dmt_op_resize_##type) = {                                          \
      DMT_OP_RESIZE, dtype, 1, resize_check, NULL, resize_run,                                     \
  };

RESIZE(f32, DMT_F32)
RESIZE(s8, DMT_S8)
RESIZE(s16, DMT_S16)
