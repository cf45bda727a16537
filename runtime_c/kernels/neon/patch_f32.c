/* Gathers the patches of dmt_patch_f32.h. */
#include "dmt_neon.h"
#include "dmt_patch_f32.h"

#ifdef DMT_NEON

dmt_products dmt_products_at(const dmt_conv *c, uint32_t first, uint32_t count) {
  uint32_t tap = first / c->ig;
  dmt_products part = {.first = first,
                       .count = count,
                       .row = (int32_t)(tap / (uint32_t)c->x.kernel),
                       .col = (int32_t)(tap % (uint32_t)c->x.kernel),
                       .input = first % c->ig};
  return part;
}

/* n floats, or zeros where there are none; fours stand `step` floats apart. */
static float *copy(float *to, const float *from, uint32_t n, ptrdiff_t step) {
  if (from == NULL) {
    for (; n >= 4; n -= 4, to += step) {
      vst1q_f32(to, vdupq_n_f32(0.0f));
    }
    for (uint32_t i = 0; i < n; i++) {
      to[i] = 0.0f;
    }
    return to + n;
  }
  for (; n >= 4; n -= 4, from += 4, to += step) {
    vst1q_f32(to, vld1q_f32(from));
  }
  for (uint32_t i = 0; i < n; i++) {
    to[i] = from[i];
  }
  return to + n;
}

/* A pixel of the output, as the input pixel that its first tap meets. */
typedef struct {
  const uint8_t *sample;
  int32_t y, x;
} place;

/* Its products in order, runs as long as they stand side by side. */
static void gather(const dmt_conv *c, place at, dmt_products part, float *to, ptrdiff_t step) {
  const uint32_t dense = c->in.pixel == c->ig * sizeof(float) && c->x.dilation == 1;
  int32_t row = part.row, col = part.col;
  uint32_t input = part.input, left = part.count;
  while (left > 0) {
    int32_t y = at.y + row * c->y.dilation, x = at.x + col * c->x.dilation, taps = 1;
    const float *from = NULL;
    if (y >= 0 && y < c->y.in && x >= 0 && x < c->x.in) {
      from = (const float *)(const void *)(at.sample + (size_t)(uint32_t)y * c->in.row +
                                           (size_t)(uint32_t)x * c->in.pixel) +
             input;
      if (dense) {
        taps = c->x.kernel - col < c->x.in - x ? c->x.kernel - col : c->x.in - x;
      }
    }
    uint32_t run = (uint32_t)taps * c->ig - input;
    run = run < left ? run : left;
    to = copy(to, from, run, step);
    left -= run;
    input = 0;
    col += taps;
    if (col >= c->x.kernel) {
      col = 0;
      row++;
    }
  }
}

static place place_of(const dmt_conv *c, uint32_t group, uint32_t pixel) {
  uint32_t row = pixel / c->out.w;
  place at = {c->in.data + row / c->out.h * c->in.sample + group * c->ig * sizeof(float),
              (int32_t)(row % c->out.h) * c->y.stride - c->y.pad,
              (int32_t)(pixel % c->out.w) * c->x.stride - c->x.pad};
  return at;
}

void dmt_patch_f32(const dmt_conv *c, uint32_t group, uint32_t first, uint32_t count,
                   dmt_products part, float *to) {
  const uint32_t fours = c->ig % 4 == 0; /* and so are all parts */
  for (uint32_t p = 0; p < count; p++) {
    float *here = to + (size_t)(p / 4) * 4 * ((part.count + 3) & ~3u) + p % 4 * 4;
    place at = place_of(c, group, first + p);
    if (fours) {
      gather(c, at, part, here, 16);
    } else {
      float line[DMT_PART_F32]; /* runs do not come in fours: first side by side */
      gather(c, at, part, line, 4);
      for (uint32_t k = 0; k < part.count; k += 4, here += 16) {
        vst1q_f32(here, vld1q_f32(line + k));
      }
    }
  }
}

void dmt_patch_f32_row(const dmt_conv *c, uint32_t group, uint32_t pixel, dmt_products part,
                       float *to) {
  gather(c, place_of(c, group, pixel), part, to, 4);
}

#else
typedef int dmt_no_patch_f32; /* C99 wants something in a file */
#endif
