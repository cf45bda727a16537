/* Convolution and InnerProduct, int8, packing 5, on NEON: the bits of generic/conv_s8.c.
 *
 * Every tap of a pixel is a row of inputs where it stands in the tensor, found by a pointer; taps
 * outside share a row of zero points. With fewer than 8 inputs the taps of a pixel are one row,
 * which is gathered first. A run of pixels is aimed at once, and swept by all outputs
 * (dmt_plan_s8.h).
 */
#include "dmt_neon.h"
#include "dmt_plan_s8.h"

typedef struct {
  dmt_conv conv;
  const dmt_call *call;
  const struct dmt_end *end;
  dmt_plan plan;
  uint32_t taps, run,
      quads;     /* of a pixel; inputs of one with zeros; fours of outputs of a group, */
  uint32_t most; /* and as many as wait between parts */
  uint32_t patched, aside, patches, waiting; /* bytes of scratch */
  uint32_t pixel_tasks, quad_tasks;
} conv_job;

static uint32_t conv_bytes(const conv_job *job) { return job->aside + job->patches + job->waiting; }

/* Whether pixels do not overlap: then only the last one's row can run over the tensor. */
static int conv_is_spread(const dmt_grid *g) {
  return (g->w == 1 || g->pixel >= g->c) && (g->h == 1 || g->row >= g->c) &&
         (g->n == 1 || g->sample >= g->c);
}

static int conv_is_inside(const dmt_axis *a) {
  return a->pad == 0 &&
         (a->out - 1) * (int64_t)a->stride + (a->kernel - 1) * (int64_t)a->dilation < a->in;
}

static dmt_status conv_open(const dmt_call *call, conv_job *job) {
  dmt_conv *c = &job->conv;
  dmt_status status = dmt_conv_read(call, 0, c);
  if (status != DMT_OK) {
    return status;
  }
  dmt_dots d = dmt_dots_of(c);
  if (c->packing != DMT_PACKING_DOTS || c->halves || d.rows > DMT_MOST_ROWS / 4 ||
      d.run > DMT_MAX_STEP / 64 || !conv_is_spread(&c->in) || !conv_is_spread(&c->out)) {
    return DMT_E_UNSUPPORTED;
  }
  dmt_conv_flatten(c);
  job->call = call;
  job->taps = (uint32_t)d.rows;
  job->run = (uint32_t)d.run;
  job->quads = dmt_ceil(c->og, 4);
  job->plan = dmt_plan_of(c, d);
  job->patched = c->ig < 8;
  int plain = job->taps == 1 && d.used == d.run && conv_is_inside(&c->y) && conv_is_inside(&c->x);
  job->aside = plain || job->patched ? 0 : 2 * (uint32_t)dmt_round_up(job->run);
  job->patches = job->waiting = 0;
  if (job->patched) {
    uint32_t fit = 8192 / job->run & ~1u;
    job->plan.parts = 1;
    job->plan.pixels = dmt_least(job->plan.pixels, fit < 2 ? 2 : fit);
    job->patches = (uint32_t)dmt_round_up(job->plan.pixels * job->run + 16);
  } else if (job->plan.parts > 1) {
    uint32_t pixels = 16 * job->plan.pixels;
    job->most = dmt_least(job->quads, DMT_MOST_WAITING / pixels);
    job->waiting = (uint32_t)dmt_round_up(pixels * job->most + 3 * DMT_ALIGN);
    job->patches = job->taps > 1 ? 0 : (uint32_t)dmt_round_up(pixels * job->plan.part);
  }
  return DMT_OK;
}

static dmt_status conv_check(const dmt_call *call) {
  conv_job job;
  return conv_open(call, &job);
}

static uint32_t conv_scratch(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  return conv_bytes(&job);
}

#ifdef DMT_NEON

#include "../generic/dmt_patch.h"
#include "dmt_dots_s8.h"
#include "dmt_end_s8.h"

/* A run of pixels of a group, for one part of the sums. */
typedef struct {
  const conv_job *job;
  uint32_t group;
  dmt_range pixels, quads;
  uint32_t tap, taps, input; /* the part: taps from `tap` on, inputs from `input` on */
  uint32_t chunks, half;
  int8_t *aside; /* zero points, then the very last pixel where a row would run over the tensor */
  uint8_t *patches;
  const int8_t **at;
  int8_t *lines; /* outputs of the run: dmt_end_s8.h */
} conv_sweep;

/* --- Where the rows of a run start --------------------------------------------------------------
 */

/* The end of the group's channels in the last pixel. */
static const uint8_t *conv_end_of(const conv_sweep *s) {
  const dmt_grid *in = &s->job->conv.in;
  return dmt_at(in, in->n - 1, in->h - 1, in->w - 1) + (size_t)(s->group + 1) * s->job->conv.ig;
}

static const int8_t *conv_row_at(const conv_sweep *s, const uint8_t *at, const uint8_t *end) {
  const conv_job *job = s->job;
  if (job->aside > 0 && (size_t)(end - at) < job->run) {
    int8_t *copy = s->aside + job->aside / 2;
    memcpy(copy, at, job->conv.ig);
    return copy + s->input;
  }
  return (const int8_t *)at + s->input;
}

/* The rows of one pixel, two pointers apart. */
static void conv_aim_pixel(const conv_sweep *s, const dmt_place *place, const int8_t **at) {
  const dmt_conv *c = &s->job->conv;
  const uint8_t *from = c->in.data + (size_t)place->n * c->in.sample + (size_t)s->group * c->ig;
  const uint8_t *end = conv_end_of(s);
  uint32_t width = (uint32_t)c->x.kernel, kw = s->tap % width;
  int32_t y =
      (int32_t)place->y * c->y.stride - c->y.pad + (int32_t)(s->tap / width) * c->y.dilation;
  int32_t left = (int32_t)place->x * c->x.stride - c->x.pad;
  int32_t x = left + (int32_t)kw * c->x.dilation;
  for (uint32_t t = 0; t < s->taps; t++, at += 2) {
    int inside = (uint32_t)y < c->in.h && (uint32_t)x < c->in.w;
    *at = inside ? conv_row_at(s, from + (uint32_t)y * c->in.row + (uint32_t)x * c->in.pixel, end)
                 : s->aside;
    x += c->x.dilation;
    if (++kw == width) {
      kw = 0;
      x = left;
      y += c->y.dilation;
    }
  }
}

/* 1 x 1 without padding, where rows are as long as the pixels' channels. */
static void conv_aim_plain(const conv_sweep *s, dmt_place place, uint32_t count) {
  const dmt_conv *c = &s->job->conv;
  size_t step = (uint32_t)c->x.stride * c->in.pixel, skip = s->input + (size_t)s->group * c->ig;
  const int8_t **at = s->at;
  while (count > 0) {
    uint32_t some = dmt_least(count, c->out.w - place.x);
    const uint8_t *from =
        dmt_at(&c->in, place.n, place.y * (uint32_t)c->y.stride, place.x * (uint32_t)c->x.stride);
    from += skip;
    count -= some;
    place.x += some - 1;
    dmt_place_step(&c->out, &place);
    for (; some > 0; some--, from += step) {
      *at++ = (const int8_t *)from;
    }
  }
}

static void conv_aim(const conv_sweep *s) {
  const dmt_conv *c = &s->job->conv;
  uint32_t count = s->pixels.end - s->pixels.begin, pairs = (count + 1) / 2;
  dmt_place place = dmt_place_of(&c->out, s->pixels.begin);
  if (s->job->patched) {
    for (uint32_t p = 0; p < count; p++) {
      s->at[p] = (const int8_t *)s->patches + (size_t)p * s->job->run;
    }
  } else if (s->job->aside == 0) {
    conv_aim_plain(s, place, count);
  } else {
    for (uint32_t p = 0; p < count; p++) {
      conv_aim_pixel(s, &place, s->at + (size_t)(p / 2) * 2 * s->taps + p % 2);
      dmt_place_step(&c->out, &place);
    }
  }
  const int8_t **last = s->at + (size_t)(pairs - 1) * 2 * s->taps;
  for (uint32_t t = 0; count % 2 && t < s->taps; t++) {
    last[2 * t + 1] = last[2 * t];
  }
  last[2 * s->taps] = last[2 * s->taps + 1] = s->at[0]; /* read ahead */
}

/* --- Gathered rows ------------------------------------------------------------------------------
 */

/* Pixels from `place` on that miss no tap, at most `most` of its row, where a kernel's rows are
 * without gaps: how many were gathered. Up to 15 bytes more than a row are read and written. */
static uint32_t conv_gather_inside(const conv_sweep *s, const dmt_place *place, uint32_t most,
                                   uint8_t *patch) {
  const dmt_conv *c = &s->job->conv;
  int32_t y = (int32_t)place->y * c->y.stride - c->y.pad;
  int32_t x = (int32_t)place->x * c->x.stride - c->x.pad;
  size_t bytes = (size_t)(uint32_t)c->x.kernel * c->ig;
  size_t step = (uint32_t)c->x.stride * c->in.pixel;
  if (y < 0 || x < 0 || y + c->y.kernel > c->y.in || x + c->x.kernel > c->x.in ||
      c->y.dilation != 1 || c->x.dilation != 1 || c->in.pixel != c->ig) {
    return 0;
  }
  uint32_t count = (uint32_t)((c->x.in - c->x.kernel - x) / c->x.stride) + 1;
  count = dmt_least(dmt_least(count, most), c->out.w - place->x);
  const uint8_t *from = dmt_at(&c->in, place->n, (uint32_t)y, (uint32_t)x);
  const uint8_t *last = from + (count - 1) * step + (uint32_t)(c->y.kernel - 1) * c->in.row;
  for (; count > 0 && (size_t)(conv_end_of(s) - last) < ((bytes + 15) & ~(size_t)15); count--) {
    last -= step;
  }
  for (uint32_t p = 0; p < count; p++, from += step, patch += s->job->run) {
    const uint8_t *row = from;
    uint8_t *to = patch;
    for (int32_t k = c->y.kernel; k > 0; k--, row += c->in.row, to += bytes) {
      for (size_t i = 0; i < bytes; i += 16) {
        vst1q_u8(to + i, vld1q_u8(row + i));
      }
    }
  }
  return count;
}

static void conv_gather(const conv_sweep *s) {
  const dmt_conv *c = &s->job->conv;
  uint8_t *patch = s->patches;
  for (uint32_t p = s->pixels.begin, some; p < s->pixels.end; p += some) {
    dmt_place place = dmt_place_of(&c->out, p);
    some = conv_gather_inside(s, &place, s->pixels.end - p, patch);
    if (some == 0) {
      dmt_segment one = {.n = place.n, .y = place.y, .x = place.x, .every = 1, .count = 1};
      dmt_patch_whole(c, &one, s->group, patch, 1, s->job->call->in[0].zero_point, c->ig, 0);
      some = 1;
    }
    patch += some * s->job->run;
  }
}

/* --- Sums and outputs ---------------------------------------------------------------------------
 */

/* The sums of four outputs in a part, as running totals (dmt_dots_s8.h). */
static void conv_sum(const conv_sweep *s, uint32_t quad, int32_t *sums) {
  const conv_job *job = s->job;
  size_t output = (size_t)job->taps * job->run;
  const int8_t *weights = (const int8_t *)job->conv.weights;
  weights += 4 * (((size_t)s->group * job->quads + quad) * output + (size_t)s->tap * job->run);
  dmt_dots_part part = {weights + 4 * (size_t)s->input, s->taps, s->chunks, s->half};
  uint32_t count = s->pixels.end - s->pixels.begin;
  if (count > 1 && part.chunks > 0 && part.taps == 1 && !part.half) {
    dmt_dots_2x4_plain(&part, s->at, (count + 1) / 2, sums);
  } else if (count > 1 && part.chunks > 0) {
    dmt_dots_2x4(&part, s->at, (count + 1) / 2, sums);
  } else {
    dmt_dots_1x4(&part, s->at, count, sums);
  }
}

/* Running totals are added to those of the parts before. */
static void conv_add(const int32_t *sums, uint32_t pairs, int32_t *waiting) {
  for (uint32_t i = 0; i < 8 * pairs; i += 4) {
    vst1q_s32(waiting + i, vaddq_s32(vld1q_s32(waiting + i), vld1q_s32(sums + i)));
  }
}

/* Outputs `begin` to `end` of the group, from lines to the tensor. */
static void conv_move(const conv_sweep *s, uint32_t begin, uint32_t end) {
  const dmt_conv *c = &s->job->conv;
  dmt_place place = dmt_place_of(&c->out, s->pixels.begin);
  uint32_t count = s->pixels.end - s->pixels.begin;
  const int8_t *from = s->lines;
  while (count > 0) {
    uint32_t some = dmt_least(count, c->out.w - place.x);
    uint8_t *y = dmt_at(&c->out, place.n, place.y, place.x) + (size_t)s->group * c->og + begin;
    dmt_end_move(y, c->out.pixel, from, end - begin, some);
    from += DMT_END_LINE * (size_t)some;
    count -= some;
    place.x += some - 1;
    dmt_place_step(&c->out, &place);
  }
}

static void conv_finish(const conv_sweep *s, uint32_t quad, const int32_t *sums) {
  const dmt_conv *c = &s->job->conv;
  uint32_t pairs = (s->pixels.end - s->pixels.begin + 1) / 2, first = 4 * quad;
  uint32_t in_line = 4 * (quad - s->quads.begin) % DMT_END_LINE, n = dmt_least(c->og - first, 4);
  dmt_end_pairs(s->job->end, sums, pairs, s->lines + in_line, s->group * c->og + first, n);
  if (in_line + 4 == DMT_END_LINE || quad + 1 == s->quads.end) {
    conv_move(s, first - in_line, first + n);
  }
}

/* The rows of a single tap, one behind the other. */
static void conv_copy(const conv_sweep *s) {
  uint32_t count = s->pixels.end - s->pixels.begin, length = 16 * s->chunks + 8 * s->half;
  int8_t *to = (int8_t *)s->patches;
  for (uint32_t p = 0; p < count; p++, to += length) {
    const int8_t *from = s->at[p];
    for (uint32_t i = 0; i < s->chunks; i++) {
      vst1q_s8(to + 16 * i, vld1q_s8(from + 16 * i));
    }
    if (s->half) {
      vst1_s8(to + length - 8, vld1_s8(from + length - 8));
    }
    s->at[p] = to;
  }
  s->at[count] = s->at[count - 1]; /* of a pair, or read ahead */
  s->at[count + 1] = s->at[count + 2] = s->at[0];
}

static void conv_at_once(conv_sweep *s, int32_t *sums) {
  conv_aim(s);
  for (uint32_t quad = s->quads.begin; quad < s->quads.end; quad++) {
    conv_sum(s, quad, sums);
    conv_finish(s, quad, sums);
  }
}

/* Part after part; of a single tap the inputs are copied, for they stand apart, often at distances
 * that share few sets of the cache. */
static void conv_in_parts(conv_sweep *s, int32_t *sums, int32_t *waiting) {
  const conv_job *job = s->job;
  uint32_t count = s->pixels.end - s->pixels.begin, taps = s->taps, chunks = s->chunks;
  uint32_t half = s->half, pieces = taps > 1 ? taps : chunks + half;
  size_t step = 4 * (size_t)((count + 1) & ~1u);
  for (uint32_t piece = 0; piece < pieces; piece += job->plan.part) {
    uint32_t some = dmt_least(job->plan.part, pieces - piece);
    if (taps > 1) {
      s->tap = piece;
      s->taps = some;
    } else {
      s->input = 16 * piece;
      s->half = half && piece + some == pieces;
      s->chunks = some - s->half;
    }
    conv_aim(s);
    if (taps == 1) {
      conv_copy(s);
    }
    int32_t *total = waiting;
    for (uint32_t quad = s->quads.begin; quad < s->quads.end; quad++, total += step) {
      conv_sum(s, quad, piece == 0 ? total : sums);
      if (piece > 0) {
        conv_add(sums, (count + 1) / 2, total);
      }
      if (piece + some == pieces) {
        conv_finish(s, quad, total);
      }
    }
  }
  s->tap = s->input = 0;
  s->taps = taps;
  s->chunks = chunks;
  s->half = half;
}

/* --- All of it ----------------------------------------------------------------------------------
 */

static void conv_task(void *argument, uint32_t index) {
  const conv_job *job = argument;
  const dmt_conv *c = &job->conv;
  dmt_range pixels =
      dmt_share(c->out.n * c->out.h * c->out.w, index / job->quad_tasks, job->pixel_tasks);
  dmt_range all = dmt_share(c->groups * job->quads, index % job->quad_tasks, job->quad_tasks);
  uint8_t *scratch = job->call->scratch + (size_t)index * conv_bytes(job);
  const int8_t *at[DMT_MOST_ROWS + 2];
  int32_t sums[4 * DMT_MOST_RUN + DMT_END_MORE];
  int8_t lines[DMT_END_LINE * (4 + DMT_MOST_RUN + 2)];
  conv_sweep s = {.job = job, .taps = job->taps, .chunks = job->run / 16, .half = job->run / 8 % 2};
  s.at = at;
  s.lines = lines + 4 * DMT_END_LINE;
  s.aside = (int8_t *)scratch;
  s.patches = scratch + job->aside;
  int32_t *waiting = (int32_t *)(void *)(s.patches + job->patches);
  memset(s.aside, job->call->in[0].zero_point, job->aside / 2);
  for (s.group = all.begin / job->quads; s.group * job->quads < all.end; s.group++) {
    uint32_t before = s.group * job->quads;
    s.quads.begin = all.begin > before ? all.begin - before : 0;
    s.quads.end = dmt_least(all.end - before, job->quads);
    for (uint32_t p = pixels.begin; p < pixels.end; p = s.pixels.end) {
      s.pixels.begin = p;
      s.pixels.end = p + dmt_least(pixels.end - p, job->plan.pixels);
      if (job->patched) {
        conv_gather(&s);
      }
      if (job->plan.parts > 1) {
        dmt_range quads = s.quads;
        for (; s.quads.begin < quads.end; s.quads.begin = s.quads.end) {
          s.quads.end = s.quads.begin + dmt_least(quads.end - s.quads.begin, job->most);
          conv_in_parts(&s, sums, waiting);
        }
        s.quads = quads;
      } else {
        conv_at_once(&s, sums);
      }
    }
  }
}

/* Threads share what is larger, the pixels or the outputs. */
static void conv_run(const dmt_call *call) {
  conv_job job;
  conv_open(call, &job);
  const dmt_conv *c = &job.conv;
  uint32_t pixels = c->out.n * c->out.h * c->out.w, quads = c->groups * job.quads;
  uint64_t output = (uint64_t)job.taps * job.run, work = dmt_times(pixels, c->out.c * output);
  int by_pixels = pixels >= quads * 2 || quads < 2 * call->threads;
  uint32_t tasks =
      dmt_tasks_over(call, work, by_pixels, pixels, quads, &job.pixel_tasks, &job.quad_tasks);
  const dmt_end end = dmt_end_of(call, &job.conv);
  job.end = &end;
  dmt_parallel(call, tasks, conv_task, &job);
}

#endif

const dmt_operator dmt_op_conv_s8_neon = {
    DMT_OP_CONV, DMT_S8, 1, conv_check, conv_scratch, DMT_NEON_RUN(conv_run),
};
