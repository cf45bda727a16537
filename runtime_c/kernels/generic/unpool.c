/* Values back to where max pooling found them. */
#include "dmt_grid.h"
#include "dmt_parallel.h"

typedef struct {
  const dmt_call *call;
  dmt_grid in, mask, out;
  uint32_t tasks;
} unpool_job;

static int unpool_read(const dmt_call *call, unpool_job *job) {
  job->call = call;
  return dmt_as_grid(&call->in[0], &job->in) & dmt_as_grid(&call->in[1], &job->mask) &
         dmt_as_grid(&call->out, &job->out);
}

static dmt_status unpool_check(const dmt_call *call) {
  const dmt_view *x = &call->in[0], *mask = &call->in[1], *y = &call->out;
  unpool_job job;
  int good = call->inputs == 2 && x->dtype == call->dtype && y->dtype == call->dtype &&
             mask->dtype == DMT_F32 && dmt_same_shape(x, mask) && unpool_read(call, &job) &&
             job.in.n == job.out.n && job.in.c == job.out.c && x->scale == y->scale &&
             x->zero_point == y->zero_point;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void unpool_put(uint8_t *to, const void *from, uint32_t item) {
  void *at = to;
  if (item == 1) {
    *(uint8_t *)at = *(const uint8_t *)from;
  } else if (item == 2) {
    *(uint16_t *)at = *(const uint16_t *)from;
  } else {
    *(uint32_t *)at = *(const uint32_t *)from;
  }
}

/* Channels [begin, end) of one sample: zeros, then the values in the order of the rows. */
static void unpool_sample(const unpool_job *job, uint32_t n, uint32_t begin, uint32_t end) {
  const dmt_grid *in = &job->in, *out = &job->out;
  uint32_t item = dmt_item(job->call->dtype);
  int32_t zero = job->call->out.zero_point; /* the low bytes are the code, 0.0f too */
  float places = (float)(out->h * out->w);
  for (uint32_t i = 0; i < out->h * out->w; i++) {
    uint8_t *to = dmt_at(out, n, i / out->w, i % out->w);
    for (uint32_t c = begin; c < end; c++) {
      unpool_put(to + c * item, &zero, item);
    }
  }
  for (uint32_t i = 0; i < in->h * in->w; i++) {
    const uint8_t *from = dmt_at(in, n, i / in->w, i % in->w);
    const float *mask = (const float *)(const void *)dmt_at(&job->mask, n, i / in->w, i % in->w);
    for (uint32_t c = begin; c < end; c++) {
      if (mask[c] > -1.0f && mask[c] < places) {
        uint32_t place = (uint32_t)(int32_t)mask[c];
        uint8_t *to = dmt_at(out, n, place / out->w, place % out->w);
        unpool_put(to + c * item, from + c * item, item);
      }
    }
  }
}

static void unpool_task(void *argument, uint32_t index) {
  const unpool_job *job = argument;
  dmt_range channels = dmt_share(job->in.c, index, job->tasks);
  for (uint32_t n = 0; n < job->in.n; n++) {
    unpool_sample(job, n, channels.begin, channels.end);
  }
}

static void unpool_run(const dmt_call *call) {
  unpool_job job;
  unpool_read(call, &job);
  uint64_t values = (uint64_t)job.out.n * job.out.h * job.out.w * job.out.c;
  job.tasks = dmt_tasks(call, values, 16384, job.in.c);
  dmt_parallel(call, job.tasks, unpool_task, &job);
}

#define UNPOOL(type, dtype)                                                                        \
  const dmt_operator dmt_op_unpool_##type = {                                                      \
      DMT_OP_UNPOOL, dtype, 1, unpool_check, NULL, unpool_run,                                     \
  };

UNPOOL(f32, DMT_F32)
UNPOOL(s8, DMT_S8)
UNPOOL(s16, DMT_S16)
