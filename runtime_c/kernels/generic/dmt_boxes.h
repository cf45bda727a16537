/* Boxes with scores: the best ones, and of those that overlap the best. float32, no NaN counts. */
#ifndef DMT_BOXES_H
#define DMT_BOXES_H

#include "dmt_math.h"
#include "dmt_params.h"

#define DMT_BOX_COLUMNS 7u /* image, label, score, left, top, right, bottom */

typedef struct {
  float left, top, right, bottom, size;
} dmt_box;

/* Scores of count boxes, `step` bytes apart. */
typedef struct {
  const uint8_t *base;
  size_t step;
  uint32_t count;
} dmt_scores;

static inline float dmt_load(const uint8_t *at) { return *(const float *)(const void *)at; }

/* An index that was kept in scratch is not trusted: a bad file may have put a tensor there. */
static inline float dmt_score(const dmt_scores *scores, uint32_t i) {
  return dmt_load(scores->base + (i < scores->count ? i : 0) * scores->step);
}

static inline int dmt_is_better(const dmt_scores *scores, uint32_t a, uint32_t b) {
  float x = dmt_score(scores, a), y = dmt_score(scores, b);
  return x > y || (x == y && a < b);
}

static inline void dmt_swap(uint32_t *a, uint32_t *b) {
  uint32_t kept = *a;
  *a = *b;
  *b = kept;
}

/* In a heap of boxes, the worst at its root, let the one at `at` sink to its place. */
static void dmt_sink(const dmt_scores *scores, uint32_t *heap, uint32_t count, uint32_t at) {
  for (;;) {
    uint32_t worst = at;
    for (uint32_t i = 2 * at + 1; i <= 2 * at + 2 && i < count; i++) {
      worst = dmt_is_better(scores, heap[worst], heap[i]) ? i : worst;
    }
    if (worst == at) {
      return;
    }
    dmt_swap(&heap[at], &heap[worst]);
    at = worst;
  }
}

/* At most `most` boxes with scores above `least`, best first, of equals the earlier; how many. */
static uint32_t dmt_strongest(const dmt_scores *scores, float least, uint32_t most,
                              uint32_t *best) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < scores->count; i++) {
    if (!(dmt_score(scores, i) > least)) {
      continue;
    }
    if (count < most) {
      uint32_t at = count++;
      best[at] = i;
      while (at > 0 && dmt_is_better(scores, best[(at - 1) / 2], best[at])) {
        dmt_swap(&best[at], &best[(at - 1) / 2]);
        at = (at - 1) / 2;
      }
    } else if (most > 0 && dmt_is_better(scores, i, best[0])) {
      best[0] = i;
      dmt_sink(scores, best, count, 0);
    }
  }
  for (uint32_t left = count; left > 1;) {
    dmt_swap(&best[0], &best[--left]);
    dmt_sink(scores, best, left, 0);
  }
  return count;
}

static inline void dmt_measure(dmt_box *box) {
  int none = box->right < box->left || box->bottom < box->top;
  box->size = none ? 0.0f : (box->right - box->left) * (box->bottom - box->top);
}

/* Intersection over union. */
static inline float dmt_overlap(const dmt_box *a, const dmt_box *b) {
  float left = a->left < b->left ? b->left : a->left;
  float top = a->top < b->top ? b->top : a->top;
  float right = b->right < a->right ? b->right : a->right;
  float bottom = b->bottom < a->bottom ? b->bottom : a->bottom;
  float width = right - left, height = bottom - top;
  if (width > 0.0f && height > 0.0f) {
    float common = width * height;
    return common / (a->size + b->size - common);
  }
  return 0.0f;
}

/* Of `count` boxes, best first, keep those that overlap no kept one more than `most`, which
 * shrinks by `eta` with each while it is over a half. `boxes` gets them; how many. */
static uint32_t dmt_suppress(void (*decode)(const void *job, uint32_t i, dmt_box *box),
                             const void *job, float most, float eta, uint32_t *best, uint32_t count,
                             dmt_box *boxes) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; i++) {
    dmt_box box;
    decode(job, best[i], &box);
    dmt_measure(&box);
    int keep = 1;
    for (uint32_t k = 0; keep && k < kept; k++) {
      keep = dmt_overlap(&box, &boxes[k]) <= most;
    }
    if (keep) {
      best[kept] = best[i];
      boxes[kept++] = box;
      most = eta < 1.0f && most > 0.5f ? most * eta : most;
    }
  }
  return kept;
}

/* (1, 1, rows, 7) with a number of rows, and room for `most`. */
static inline int dmt_is_rows(const dmt_view *out, uint64_t most) {
  return out->rank == 4 && out->dim[0] == 1 && out->dim[1] == 1 && out->dim[2] >= most &&
         out->dim[3] == DMT_BOX_COLUMNS && out->rows != DMT_ALL_ROWS;
}

static void dmt_put_row(const dmt_call *call, uint32_t row, uint32_t image, float label,
                        float score, const dmt_box *box) {
  const float values[DMT_BOX_COLUMNS] = {(float)image, label,      score,      box->left,
                                         box->top,     box->right, box->bottom};
  if (row < call->out.dim[2]) {
    uint8_t *at = (uint8_t *)call->out.data + (size_t)row * call->out.stride[2];
    for (uint32_t i = 0; i < DMT_BOX_COLUMNS; i++, at += call->out.stride[3]) {
      *(float *)(void *)at = values[i];
    }
  }
}

/* How many rows there are; where there is none, each image gets one that says so. */
static void dmt_end_rows(const dmt_call *call, uint32_t rows, uint32_t images) {
  static const dmt_box none = {-1.0f, -1.0f, -1.0f, -1.0f, 0.0f};
  if (rows == 0) {
    for (; rows < images; rows++) {
      dmt_put_row(call, rows, rows, -1.0f, -1.0f, &none);
    }
  }
  *call->rows = rows;
}

#endif
