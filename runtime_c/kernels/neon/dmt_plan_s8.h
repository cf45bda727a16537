/* How an int8 convolution goes through its sums, so that L1 misses least.
 *
 * The inputs of a run of pixels stay in L1 while the weights pass by, four outputs at a time. Where
 * that is too few pixels the sums go in parts, and wait between them.
 */
#ifndef DMT_PLAN_S8_H
#define DMT_PLAN_S8_H

#include "../generic/dmt_conv.h"

enum {
  DMT_L1_BYTES = 19456,    /* of 32 KiB, for a run of pixels and the weights of a part */
  DMT_MOST_ROWS = 1024,    /* of a run: a pointer each */
  DMT_MOST_RUN = 256,      /* pixels */
  DMT_MOST_WAITING = 65536 /* bytes of sums */
};

typedef struct {
  uint32_t parts;  /* of the sum: taps, or chunks of a single tap's inputs */
  uint32_t part;   /* taps or chunks of a part */
  uint32_t pixels; /* of a run */
} dmt_plan;

/* Pixels that fit, and the cycles that all of L1's misses take: 14 for what L2 has, 28 else. */
static inline uint64_t dmt_plan_try(const dmt_conv *c, dmt_dots d, dmt_plan *plan) {
  uint32_t all = c->out.n * c->out.h * c->out.w, taps = (uint32_t)d.rows, run = (uint32_t)d.run;
  uint32_t line = dmt_least((uint32_t)c->x.stride, (uint32_t)c->x.kernel);
  uint32_t rows = taps == 1 ? 1 : dmt_ceil(plan->part, (uint32_t)c->x.kernel);
  uint32_t length = taps == 1 && plan->parts > 1 ? 16 * plan->part : run;
  uint32_t fresh = length * rows * line, weights = 4 * length * (taps == 1 ? 1 : plan->part);
  uint32_t room = weights < DMT_L1_BYTES / 2 ? DMT_L1_BYTES - weights : DMT_L1_BYTES / 2;
  uint32_t fit = room / (fresh + 4 * taps + 16 + dmt_least(c->og, 64));
  fit = dmt_least(dmt_least(fit, DMT_MOST_ROWS / taps - 2), DMT_MOST_RUN) & ~1u;
  plan->pixels = fit < 2 ? 2 : fit;
  uint32_t runs = dmt_ceil(all, plan->pixels);
  plan->pixels = (dmt_ceil(all, runs) + 1u) & ~1u; /* equal ones */
  uint64_t bytes = (uint64_t)run * taps * c->og;
  uint64_t cost = bytes / 64 * (bytes > 600000 ? 28 : 14);
  if (plan->parts > 1) { /* the weights are read in jumps */
    cost += bytes > 600000 ? bytes / length * 30 : 0;
  }
  return cost * runs + (uint64_t)(plan->parts - 1) * all * c->og * 3;
}

static inline dmt_plan dmt_plan_of(const dmt_conv *c, dmt_dots d) {
  uint32_t pieces = d.rows > 1 ? (uint32_t)d.rows : ((uint32_t)d.run + 15) / 16;
  dmt_plan best = {1, pieces, 0};
  uint64_t least = dmt_plan_try(c, d, &best);
  uint32_t most = d.rows > 1 ? (uint32_t)(d.rows * d.run / 128) : pieces / 8;
  for (uint32_t parts = 2; parts <= 8 && parts <= most; parts++) {
    dmt_plan plan = {parts, dmt_ceil(pieces, parts), 0};
    uint64_t cost = dmt_plan_try(c, d, &plan);
    if (cost < least) {
      best = plan;
      least = cost;
    }
  }
  best.parts = dmt_ceil(pieces, best.part);
  return best;
}

#endif
