/* How an int16 convolution goes through its sum, so that L1 misses least.
 *
 * The weights of a few blocks of outputs stay in L1 while pixels are swept, three at a time. Where
 * they do not fit, the sum goes in parts (rounded blocks may be added in any order), and totals
 * wait between the parts.
 */
#ifndef DMT_PLAN_S16_H
#define DMT_PLAN_S16_H

#include "../generic/dmt_conv.h"

enum {
  DMT_L2_BYTES = 1 << 20,
  DMT_L1_WEIGHTS = 18432, /* of 32 KiB; the inputs of a tile, twice, want the rest */
  DMT_TOTALS_BYTES = 16384,
  DMT_PATCHES_BYTES = 8192,
  DMT_PATCH_MORE = 16,
  DMT_TABLES_BYTES = 32768,
  DMT_MOST_TAPS = 64,
  DMT_MOST_ZEROS = 512 /* inputs of a tap outside */
};

/* A part is `rows` x `cols` taps of the kernel and `inputs` channels. */
typedef struct {
  uint32_t rows, cols, inputs;
  uint32_t blocks; /* of eight outputs that share a sweep */
  uint32_t parts;
  uint32_t pixels; /* of a sweep */
} dmt_plan;

/* Bytes that a pixel and a block bring into L1, all parts together. */
static inline float dmt_plan_cost(const dmt_conv *c, const dmt_plan *p) {
  uint32_t stride = (uint32_t)c->x.stride, fresh = stride < p->cols ? stride : p->cols;
  float line = (float)p->rows * (float)p->inputs * 2.0f;
  float weights = line * (float)p->cols * 8.0f * (float)p->blocks;
  float part = line * (float)fresh;
  uint32_t uses = weights > DMT_L1_WEIGHTS && p->pixels > 3 ? 3 : p->pixels;
  part += weights / (float)uses;
  part += p->parts > 1 ? (float)p->blocks * 32.0f + weights / (float)uses : 0.0f;
  part += (100.0f + (float)p->blocks * 50.0f) * 0.1f; /* the time it takes to begin and to end */
  return part * (float)p->parts / (float)p->blocks;
}

static inline int dmt_axis_padded(const dmt_axis *a) {
  return a->pad > 0 || (a->out - 1) * a->stride + (a->kernel - 1) * a->dilation - a->pad >= a->in;
}

typedef struct {
  dmt_plan plan;
  float cost;
} dmt_choice;

static inline uint64_t dmt_plan_weights(const dmt_plan *p) {
  return dmt_times(dmt_times(dmt_times(p->rows, p->cols), p->inputs), 16 * p->blocks);
}

/* Whether the weights of a part, if it is one, can be copied. */
static inline int dmt_plan_fits(const dmt_plan *p) {
  return p->parts == 1 || dmt_plan_weights(p) <= DMT_L1_WEIGHTS;
}

static inline void dmt_plan_try(const dmt_conv *c, dmt_plan p, dmt_choice *best) {
  uint32_t height = (uint32_t)c->y.kernel, width = (uint32_t)c->x.kernel;
  uint32_t all = c->out.n * c->out.h * c->out.w;
  int padded = dmt_axis_padded(&c->y) || dmt_axis_padded(&c->x);
  if ((uint64_t)p.rows * p.cols > DMT_MOST_TAPS || (padded && p.inputs > DMT_MOST_ZEROS)) {
    return;
  }
  p.parts = dmt_ceil(height, p.rows) * dmt_ceil(width, p.cols) * dmt_ceil(c->ig, p.inputs);
  for (uint32_t sweeps = dmt_ceil(c->blocks, p.parts > 1 ? 8 : 32); p.blocks != 1; sweeps++) {
    p.blocks = dmt_ceil(c->blocks, sweeps);
    uint32_t most = p.parts > 1 ? DMT_TOTALS_BYTES / 32 / p.blocks / 3 * 3 : all;
    p.pixels = dmt_ceil(dmt_ceil(all, dmt_ceil(all, most)), 3) * 3;
    float cost = dmt_plan_cost(c, &p);
    if (dmt_plan_fits(&p) && (best->plan.blocks == 0 || cost < best->cost)) {
      best->plan = p;
      best->cost = cost;
    }
    sweeps = p.blocks > 1 ? dmt_ceil(c->blocks, p.blocks - 1) - 1 : sweeps;
  }
}

/* blocks is 0 where no plan fits. */
static __attribute__((noinline)) dmt_plan dmt_plan_of(const dmt_conv *c) {
  uint32_t height = (uint32_t)c->y.kernel, width = (uint32_t)c->x.kernel;
  dmt_choice best = {{0, 0, 0, 0, 0, 0}, 0.0f};
  dmt_plan whole = {height, width, c->ig, 0, 0, 0}, row = {1, width, c->ig, 0, 0, 0};
  dmt_plan_try(c, whole, &best);
  dmt_plan_try(c, row, &best);
  for (uint32_t cut = 1; cut == 1 || (c->ig / cut >= 128 && cut <= 8); cut++) {
    dmt_plan tap = {1, 1, (dmt_ceil(c->ig, cut) + 15) / 16 * 16, 0, 0, 0};
    tap.inputs = tap.inputs < c->ig ? tap.inputs : c->ig;
    dmt_plan_try(c, tap, &best);
  }
  return best.plan;
}

/* Pixels whose patches stand side by side in L1. */
static inline uint32_t dmt_patches_s16(const dmt_conv *c) {
  uint64_t pixels = DMT_PATCHES_BYTES / sizeof(int16_t) / dmt_taps(c) / 3 * 3;
  return pixels < 3 ? 3 : (uint32_t)pixels;
}

/* Products of an output; in patches there are as many bytes to three pixels. */
#define DMT_MOST_PATCH (1u << 24)

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  const struct dmt_ending *ending; /* for run() alone */
  dmt_plan plan;
  uint32_t patched; /* inputs are gathered: dmt_patch_s16.h */
  uint32_t simple;  /* a pixel meets one input, as far from the last as that from the one before */
  uint32_t touch_x, touch_y; /* inputs, outputs: see dmt_touch_all_s16() */
  uint32_t tables;  /* bytes: where all tiles of a sweep meet the input, kept for all outputs */
  uint32_t scratch; /* weights of a part or patches, totals, tables */
  uint32_t pixel_tasks, block_tasks;
} dmt_job_s16;

static inline void dmt_job_patched(dmt_job_s16 *job) {
  const dmt_conv *c = &job->conv;
  uint32_t sum = (uint32_t)dmt_taps(c), fit = DMT_L1_WEIGHTS / 16 / sum;
  fit = fit < 1 ? 1 : fit < c->blocks ? fit : c->blocks;
  dmt_plan plan = {(uint32_t)c->y.kernel, (uint32_t)c->x.kernel, c->ig, fit, 1, 0};
  plan.pixels = dmt_patches_s16(c);
  job->plan = plan;
  job->scratch = plan.pixels * sum * (uint32_t)sizeof(int16_t) + DMT_PATCH_MORE;
}

static inline void dmt_job_direct(dmt_job_s16 *job) {
  const dmt_conv *c = &job->conv;
  job->plan = dmt_plan_of(c);
  if (job->plan.blocks == 0) {
    return;
  }
  uint32_t tiles = dmt_ceil(job->plan.pixels, 3);
  if (job->plan.parts > 1) {
    job->scratch = tiles * job->plan.blocks * 96 + (uint32_t)dmt_plan_weights(&job->plan);
  }
  uint64_t taps = (uint64_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel;
  uint64_t bytes = dmt_times(tiles, 12 * dmt_times(taps, dmt_ceil(c->ig, job->plan.inputs)) + 12);
  if (!job->simple && job->plan.blocks < c->blocks && bytes <= DMT_TABLES_BYTES) {
    job->tables = (uint32_t)bytes;
    job->scratch += job->tables;
  }
}

/* Whether three pixels `step` bytes apart are touched, of tensors that large. */
static inline uint32_t dmt_job_touches(const dmt_conv *c, size_t step, uint32_t more_than) {
  uint64_t bytes = dmt_times(c->in.pixel, (uint64_t)c->in.w * c->in.h) +
                   dmt_times(c->out.pixel, (uint64_t)c->out.w * c->out.h);
  return bytes > more_than && step > DMT_ALIGN && step <= 8 * DMT_ALIGN;
}

static inline dmt_status dmt_job_open(const dmt_call *call, dmt_job_s16 *job) {
  dmt_conv *c = &job->conv;
  dmt_status status = dmt_conv_lanes(call, 0, c);
  if (status != DMT_OK) {
    return status;
  }
  dmt_conv_flatten(c);
  if (call->out.zero_point != 0 || dmt_taps(c) > DMT_MOST_PATCH) {
    return DMT_E_UNSUPPORTED;
  }
  int one = c->y.kernel == 1 && c->x.kernel == 1;
  job->call = call;
  job->ending = NULL;
  job->scratch = job->tables = 0;
  job->patched = c->ig < 16 && !one;
  job->simple = job->patched || (one && !dmt_axis_padded(&c->y) && !dmt_axis_padded(&c->x));
  if (job->patched) {
    dmt_job_patched(job);
  } else {
    dmt_job_direct(job);
  }
  job->touch_x = !job->patched && dmt_job_touches(c, c->in.pixel, DMT_L2_BYTES);
  job->touch_y = dmt_job_touches(c, c->out.pixel, DMT_L2_BYTES / 2);
  job->scratch = (uint32_t)dmt_round_up(job->scratch);
  return job->plan.blocks > 0 ? DMT_OK : DMT_E_UNSUPPORTED;
}

#endif
