/* ROI_POOL and PSROI_POOL: pooling of regions of interest. float32. */
#include "dmt_grid.h"
#include "dmt_parallel.h"

typedef struct {
  int32_t begin, end;
} roi_span;

typedef struct {
  const dmt_call *call;
  dmt_grid in, out;
  float scale;
  uint32_t tasks;
} roi_job;

static int roi_read(const dmt_call *call, roi_job *job) {
  job->call = call;
  job->scale = dmt_float(call, 0);
  return dmt_as_grid(&call->in[0], &job->in) & dmt_as_grid(&call->out, &job->out);
}

static dmt_status roi_check(const dmt_call *call, uint64_t planes) {
  roi_job job;
  if (!dmt_has(call, 2, 2, DMT_F32, 4)) {
    return DMT_E_OPERATOR;
  }
  const dmt_view *regions = &call->in[1];
  uint64_t channels = dmt_times(planes, call->out.dim[1]);
  int good = roi_read(call, &job) && call->in[0].rank == 4 && call->out.rank == 4 &&
             call->in[0].dim[1] == channels && regions->rank >= 2 &&
             regions->dim[0] == call->out.dim[0] && regions->dim[1] == 5 && regions->dim[2] == 1 &&
             regions->dim[3] == 1 && regions->dim[4] == 1 && regions->dim[5] == 1;
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static dmt_status roi_pool_check(const dmt_call *call) { return roi_check(call, 1); }

static dmt_status psroi_pool_check(const dmt_call *call) {
  return roi_check(call, (uint64_t)call->out.dim[2] * call->out.dim[3]);
}

static float roi_edge(const roi_job *job, uint32_t region, uint32_t column) {
  const dmt_view *regions = &job->call->in[1];
  const uint8_t *at = (const uint8_t *)regions->data + (size_t)region * regions->stride[0] +
                      (size_t)column * regions->stride[1];
  return *(const float *)(const void *)at;
}

/* Within what an int32 holds with room to spare; NaN is the lower end. */
static float roi_bound(float x) {
  const float limit = (float)DMT_MAX_STEP;
  x = x > -limit ? x : -limit;
  return x < limit ? x : limit;
}

static int32_t roi_floor(float x) {
  x = roi_bound(x);
  int32_t whole = (int32_t)x;
  return whole - ((float)whole > x);
}

static int32_t roi_ceil(float x) { return -roi_floor(-roi_bound(x)); }

/* Halves away from zero. */
static int32_t roi_round(float x) {
  x = roi_bound(x);
  int32_t whole = (int32_t)x;
  float rest = x - (float)whole;
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static roi_span roi_inside(int32_t begin, int32_t end, uint32_t size) {
  int32_t most = (int32_t)size;
  roi_span span = {begin < 0      ? 0
                   : begin < most ? begin
                                  : most,
                   end < 0      ? 0
                   : end < most ? end
                                : most};
  return span;
}

/* Pixels of bin i of `bins` along one axis, between two edges of a region. */
static roi_span roi_pool_span(const roi_job *job, float near, float far, uint32_t i, uint32_t bins,
                              uint32_t size) {
  int32_t start = roi_round(near * job->scale), end = roi_round(far * job->scale);
  int32_t length = end - start + 1 > 1 ? end - start + 1 : 1;
  float step = (float)length / (float)bins;
  return roi_inside(start + roi_floor((float)i * step), start + roi_ceil((float)(i + 1) * step),
                    size);
}

static roi_span psroi_pool_span(const roi_job *job, float near, float far, uint32_t i,
                                uint32_t bins, uint32_t size) {
  float start = (float)roi_round(near) * job->scale;
  float end = (float)(roi_round(far) + 1) * job->scale;
  float side = end - start > 0.1f ? end - start : 0.1f, step = side / (float)bins;
  return roi_inside(roi_floor((float)i * step + start), roi_ceil((float)(i + 1) * step + start),
                    size);
}

/* One channel of a bin: the largest value or, of an average, the sum. */
static float roi_reduce(const roi_job *job, uint32_t image, uint32_t channel, roi_span rows,
                        roi_span cols, int average) {
  float found = average ? 0.0f : -3.402823466e38f;
  for (int32_t y = rows.begin; y < rows.end; y++) {
    for (int32_t x = cols.begin; x < cols.end; x++) {
      const uint8_t *at = dmt_at(&job->in, image, (uint32_t)y, (uint32_t)x);
      float v = ((const float *)(const void *)at)[channel];
      found = average ? found + v : v > found ? v : found;
    }
  }
  return found;
}

static void roi_bin(const roi_job *job, uint32_t region, uint32_t row, uint32_t col, int average) {
  float image = roi_edge(job, region, 0);
  int known = image >= 0.0f && image < (float)job->in.n;
  float left = roi_edge(job, region, 1), top = roi_edge(job, region, 2);
  float right = roi_edge(job, region, 3), bottom = roi_edge(job, region, 4);
  uint32_t high = job->out.h, wide = job->out.w;
  roi_span rows = average ? psroi_pool_span(job, top, bottom, row, high, job->in.h)
                          : roi_pool_span(job, top, bottom, row, high, job->in.h);
  roi_span cols = average ? psroi_pool_span(job, left, right, col, wide, job->in.w)
                          : roi_pool_span(job, left, right, col, wide, job->in.w);
  known = known && rows.begin < rows.end && cols.begin < cols.end;
  float *y = (float *)(void *)dmt_at(&job->out, region, row, col);
  float area = (float)((int64_t)(rows.end - rows.begin) * (cols.end - cols.begin));
  for (uint32_t c = 0; c < job->out.c; c++) {
    uint32_t from = average ? (c * high + row) * wide + col : c;
    float found = known ? roi_reduce(job, (uint32_t)image, from, rows, cols, average) : 0.0f;
    y[c] = average && known ? found / area : found;
  }
}

static void roi_rows(const roi_job *job, uint32_t index, int average) {
  dmt_range all = dmt_share(job->out.n * job->out.h, index, job->tasks);
  for (uint32_t i = all.begin; i < all.end; i++) {
    for (uint32_t col = 0; col < job->out.w; col++) {
      roi_bin(job, i / job->out.h, i % job->out.h, col, average);
    }
  }
}

static void roi_pool_task(void *argument, uint32_t index) { roi_rows(argument, index, 0); }
static void psroi_pool_task(void *argument, uint32_t index) { roi_rows(argument, index, 1); }

static void roi_run(const dmt_call *call, dmt_task task) {
  roi_job job;
  roi_read(call, &job);
  uint32_t rows = job.out.n * job.out.h;
  job.tasks = dmt_tasks(call, (uint64_t)rows * job.out.w * job.out.c, 2000, rows);
  dmt_parallel(call, job.tasks, task, &job);
}

static void roi_pool_run(const dmt_call *call) { roi_run(call, roi_pool_task); }
static void psroi_pool_run(const dmt_call *call) { roi_run(call, psroi_pool_task); }

const dmt_operator dmt_op_roi_pool_f32 = {
    DMT_OP_ROI_POOL, DMT_F32, 1, roi_pool_check, NULL, roi_pool_run,
};
const dmt_operator dmt_op_psroi_pool_f32 = {
    DMT_OP_PSROI_POOL, DMT_F32, 1, psroi_pool_check, NULL, psroi_pool_run,
};
