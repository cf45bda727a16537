/* What all convolutions share, compiled once: dmt_conv.h says what it is. */
#include "dmt_conv.h"

static int axis_ok(const dmt_axis *a) {
  const uint64_t most = DMT_MAX_STEP;
  uint64_t kernel = (uint32_t)a->kernel, stride = (uint32_t)a->stride;
  uint64_t dilation = (uint32_t)a->dilation, end = (uint32_t)(a->transposed ? a->in : a->out);
  return kernel >= 1 && stride >= 1 && dilation >= 1 && stride <= most && dilation <= most &&
         (uint32_t)a->pad <= most && dmt_times(kernel - 1, dilation) <= most &&
         dmt_times(end - 1, stride) <= most;
}

/* Bytes of the weights in their packing. */
static uint64_t weights_size(const dmt_conv *c, uint32_t item) {
  int depthwise = c->packing == DMT_PACKING_DEPTHWISE, dots = c->packing == DMT_PACKING_DOTS;
  uint64_t outputs = depthwise ? c->out.c : c->og, lanes = dots ? 4 : 8;
  dmt_dots d = dmt_dots_of(c);
  uint64_t taps = dots ? d.rows : (uint64_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel;
  outputs = c->packing == DMT_PACKING_PLAIN ? outputs : (outputs + lanes - 1) / lanes * lanes;
  outputs *= (uint64_t)item * (depthwise ? 1 : c->groups);
  uint64_t bytes = dmt_times(dmt_times(outputs, taps), dots ? d.run : c->ig);
  return c->halves ? bytes / 2 + bytes % 2 : bytes;
}

dmt_status dmt_conv_read(const dmt_call *call, int transposed, dmt_conv *c) {
  if (!dmt_has(call, 1, 1, call->dtype, 64) || !dmt_as_grid(&call->in[0], &c->in) ||
      !dmt_as_grid(&call->out, &c->out) || c->in.n != c->out.n) {
    return DMT_E_OPERATOR;
  }
  dmt_axis y = {dmt_signed(call, 0),
                dmt_signed(call, 8),
                dmt_signed(call, 16),
                dmt_signed(call, 24),
                (int32_t)c->in.h,
                (int32_t)c->out.h,
                transposed};
  dmt_axis x = {dmt_signed(call, 4),
                dmt_signed(call, 12),
                dmt_signed(call, 20),
                dmt_signed(call, 28),
                (int32_t)c->in.w,
                (int32_t)c->out.w,
                transposed};
  c->y = y;
  c->x = x;
  c->groups = dmt_word(call, 32);
  c->packing = dmt_word(call, 36);
  c->slopes = dmt_word(call, 52);
  if (!axis_ok(&y) || !axis_ok(&x) || c->groups < 1 || c->out.c % c->groups ||
      c->in.c % c->groups || c->slopes > 1) {
    return DMT_E_OPERATOR;
  }
  c->og = c->out.c / c->groups;
  c->ig = c->in.c / c->groups;
  c->blocks = (c->og + 7) / 8;
  if (c->packing > DMT_PACKING_DOTS ||
      (c->packing >= DMT_PACKING_PLAIN_4 && call->dtype != DMT_S8)) {
    return DMT_E_UNSUPPORTED;
  }
  c->halves = c->packing == DMT_PACKING_PLAIN_4 || c->packing == DMT_PACKING_DOTS_4;
  if (c->halves) {
    c->packing = c->packing == DMT_PACKING_PLAIN_4 ? DMT_PACKING_PLAIN : DMT_PACKING_DOTS;
  }
  uint32_t weights = dmt_word(call, 40), size = dmt_word(call, 44), chan = dmt_word(call, 48);
  uint32_t outputs = c->out.c, arrays = call->dtype == DMT_F32 ? 1 : 4;
  if ((c->packing == DMT_PACKING_DEPTHWISE && c->ig != 1) ||
      size < weights_size(c, dmt_item(call->dtype)) || !dmt_holds(call->data, weights, size) ||
      !dmt_has_arrays(call, chan, call->dtype == DMT_F32 ? 1 + c->slopes : 4 + 3 * c->slopes,
                      outputs)) {
    return DMT_E_OPERATOR;
  }
  if (call->dtype != DMT_F32) {
    for (uint32_t i = 1; i < arrays + 3 * c->slopes; i += 3) {
      if (!dmt_rescales(call, chan, i, outputs)) {
        return DMT_E_OPERATOR;
      }
    }
    if (!dmt_is_range(dmt_signed(call, 56), dmt_signed(call, 60), call->dtype)) {
      return DMT_E_OPERATOR;
    }
  }
  c->weights = call->data.data + weights;
  c->channels = dmt_array(call, chan, 0, outputs);
  return DMT_OK;
}

static int32_t gcd(int32_t a, int32_t b) {
  while (b) {
    int32_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

dmt_window dmt_window_at(const dmt_axis *a, uint32_t output) {
  dmt_window w = {0, 0, 1, 0, a->dilation};
  if (!a->transposed) {
    int32_t start = (int32_t)output * a->stride - a->pad;
    w.first = start < 0 ? (a->dilation - 1 - start) / a->dilation : 0;
    int32_t end = start < a->in ? (a->in - start + a->dilation - 1) / a->dilation : 0;
    end = end < a->kernel ? end : a->kernel;
    w.count = end > w.first ? end - w.first : 0;
    w.at = start + w.first * a->dilation;
    return w;
  }
  int32_t common = gcd(a->stride, a->dilation);
  int32_t v = (int32_t)output + a->pad;
  w.every = a->stride / common;
  w.step = -(a->dilation / common);
  while (w.first < a->kernel && w.first < w.every && (v - w.first * a->dilation) % a->stride) {
    w.first++;
  }
  if (w.first >= w.every || w.first >= a->kernel) {
    return w;
  }
  w.at = (v - w.first * a->dilation) / a->stride;
  while (w.first < a->kernel && w.at >= a->in) {
    w.first += w.every;
    w.at += w.step;
  }
  for (int32_t k = w.first, at = w.at; k < a->kernel && at >= 0; k += w.every, at += w.step) {
    w.count++;
  }
  return w;
}

static uint32_t segment_length(const dmt_conv_job *job, const dmt_segment *s, uint32_t end) {
  const dmt_axis *a = &job->conv.x;
  uint32_t most = (end - s->x + s->every - 1) / s->every, count = 1;
  most = most < job->most ? most : job->most;
  if (!job->clipped) {
    return most;
  }
  if (!a->transposed && s->cols.count == a->kernel) { /* up to the last that misses none */
    int32_t last = (a->in - 1 - (a->kernel - 1) * a->dilation + a->pad) / a->stride;
    uint32_t whole = (uint32_t)last - s->x + 1;
    return whole < most ? whole : most;
  }
  while (count < most) {
    dmt_window next = dmt_window_at(a, s->x + count * s->every);
    if (next.first != s->cols.first || next.count != s->cols.count) {
      break;
    }
    count++;
  }
  return count;
}

static void conv_row(const dmt_conv_job *job, dmt_segment *s, uint32_t begin, uint32_t end,
                     dmt_range blocks, void *scratch) {
  const dmt_conv *c = &job->conv;
  s->rows = dmt_window_at(&c->y, s->y);
  s->every = job->clipped && c->x.transposed ? (uint32_t)c->x.stride : 1;
  for (uint32_t phase = begin; phase < end && phase - begin < s->every; phase++) {
    for (s->x = phase; s->x < end; s->x += s->count * s->every) {
      s->cols = dmt_window_at(&c->x, s->x);
      s->count = segment_length(job, s, end);
      job->segment(job, s, blocks, scratch);
    }
  }
}

static void conv_task(void *argument, uint32_t index) {
  const dmt_conv_job *job = argument;
  const dmt_conv *c = &job->conv;
  dmt_range pixels =
      dmt_share(c->out.n * c->out.h * c->out.w, index / job->block_tasks, job->pixel_tasks);
  dmt_range blocks = dmt_share(job->all_blocks, index % job->block_tasks, job->block_tasks);
  void *scratch = job->call->scratch + (size_t)index * job->scratch;
  for (uint32_t p = pixels.begin; p < pixels.end;) {
    uint32_t row = p / c->out.w, x = p % c->out.w;
    uint32_t end = pixels.end - p < c->out.w - x ? x + pixels.end - p : c->out.w;
    dmt_segment s = {.n = row / c->out.h, .y = row % c->out.h};
    conv_row(job, &s, x, end, blocks, scratch);
    p += end - x;
  }
}

void dmt_conv_go(dmt_conv_job *job, uint32_t all_blocks) {
  const dmt_conv *c = &job->conv;
  uint32_t pixels = c->out.n * c->out.h * c->out.w;
  uint64_t work = (uint64_t)pixels * c->out.c *
                  ((uint64_t)(uint32_t)c->y.kernel * (uint32_t)c->x.kernel * c->ig);
  int by_pixels = pixels >= 8 * job->call->threads;
  job->all_blocks = all_blocks;
  uint32_t tasks = dmt_tasks_over(job->call, work, by_pixels, pixels, all_blocks, &job->pixel_tasks,
                                  &job->block_tasks);
  dmt_parallel(job->call, tasks, conv_task, job);
}
