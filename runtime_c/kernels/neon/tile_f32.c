/* The tiles of dmt_tile_f32.h. In assembly: compilers spill the accumulators. */
#include "dmt_neon.h"
#include "dmt_tile_f32.h"

#ifdef DMT_NEON

/* clang-format off */

/* Sums of pixel p (or of the row's block p) in two registers: q8 and q9, q10 and q11, ... */
#define OPEN_2(next)                                  \
  "ldr %[at], [%[t], %[from]]\n\t"                    \
  "vld1.32 {d16-d19}, [%[at]]" next "\n\t"            \
  "vld1.32 {d20-d23}, [%[at]]" next "\n\t"
#define OPEN_4(next)                                  \
  OPEN_2(next)                                        \
  "vld1.32 {d24-d27}, [%[at]]" next "\n\t"            \
  "vld1.32 {d28-d31}, [%[at]]" next "\n\t"

/* One k: its lane times the eight weights in two registers. */
#define PIXEL(a, b, lane, w0, w1)                     \
  "vmla.f32 " #a ", " #w0 ", " #lane "\n\t"           \
  "vmla.f32 " #b ", " #w1 ", " #lane "\n\t"
#define TWO(lane0, lane1, w0, w1)                     \
  PIXEL(q8, q9, lane0, w0, w1)                        \
  PIXEL(q10, q11, lane1, w0, w1)
#define FOUR(lane0, lane1, lane2, lane3, w0, w1)      \
  TWO(lane0, lane1, w0, w1)                           \
  PIXEL(q12, q13, lane2, w0, w1)                      \
  PIXEL(q14, q15, lane3, w0, w1)
#define BLOCK(w, a, b, lane)                          \
  "vld1.32 {d8-d11}, [%[" #w "]]!\n\t"                \
  PIXEL(a, b, lane, q4, q5)
#define OTHER(w, a, b, lane)                          \
  "vld1.32 {d12-d15}, [%[" #w "]]!\n\t"               \
  PIXEL(a, b, lane, q6, q7)
#define ROW(lane)                                     \
  BLOCK(w, q8, q9, lane)                              \
  OTHER(w1, q10, q11, lane)                           \
  BLOCK(w2, q12, q13, lane)                           \
  OTHER(w3, q14, q15, lane)

/* Four k of four pixels. */
#define QUAD                                          \
  "vld1.32 {d0-d3}, [%[x]]!\n\t"                      \
  "vld1.32 {d8-d11}, [%[w]]!\n\t"                     \
  "vld1.32 {d4-d7}, [%[x]]!\n\t"                      \
  "vld1.32 {d12-d15}, [%[w]]!\n\t"                    \
  "subs %[n], %[n], #1\n\t"                           \
  FOUR(d0[0], d2[0], d4[0], d6[0], q4, q5)            \
  "vld1.32 {d8-d11}, [%[w]]!\n\t"                     \
  FOUR(d0[1], d2[1], d4[1], d6[1], q6, q7)            \
  "vld1.32 {d12-d15}, [%[w]]!\n\t"                    \
  FOUR(d1[0], d3[0], d5[0], d7[0], q4, q5)            \
  FOUR(d1[1], d3[1], d5[1], d7[1], q6, q7)

#define LIMIT(a, b)                                   \
  "vmax.f32 " #a ", " #a ", q0\n\t"                   \
  "vmax.f32 " #b ", " #b ", q0\n\t"                   \
  "vmin.f32 " #a ", " #a ", q1\n\t"                   \
  "vmin.f32 " #b ", " #b ", q1\n\t"
#define CLOSE_2(next)                                 \
  "add %[at], %[t], %[limits]\n\t"                    \
  "vld1.32 {d0[], d1[]}, [%[at]]!\n\t"                \
  "vld1.32 {d2[], d3[]}, [%[at]]\n\t"                 \
  "ldr %[at], [%[t], %[to]]\n\t"                      \
  LIMIT(q8, q9)                                       \
  LIMIT(q10, q11)                                     \
  "vst1.32 {d16-d19}, [%[at]]" next "\n\t"            \
  "vst1.32 {d20-d23}, [%[at]]" next "\n\t"
#define CLOSE_4(next)                                 \
  CLOSE_2(next)                                       \
  LIMIT(q12, q13)                                     \
  LIMIT(q14, q15)                                     \
  "vst1.32 {d24-d27}, [%[at]]" next "\n\t"            \
  "vst1.32 {d28-d31}, [%[at]]" next "\n\t"

/* clang-format on */

#define CHANGED [x] "+r"(x), [w] "+r"(w), [n] "+r"(quads), [at] "=&r"(at)
#define FIELD(name) [name] "i"(offsetof(dmt_tile_f32, name))
#define GIVEN [t] "r"(t), [rest] "r"(t->k % 4), FIELD(from), FIELD(to), FIELD(limits)
#define CLOBBERED                                                                                  \
  "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",   \
      "q15", "cc", "memory"

/* PReLU afterwards, as it is rare: y > 0 ? y : y * slope. */
static void leak(const dmt_tile_f32 *t, uint32_t pixels, ptrdiff_t step, size_t slopes_step) {
  float32x4_t low = vdupq_n_f32(t->limits[0]), high = vdupq_n_f32(t->limits[1]);
  for (uint32_t p = 0; p < pixels; p++) {
    for (uint32_t i = 0; i < 8; i += 4) {
      float *at = t->to + (ptrdiff_t)p * step + i;
      float32x4_t y = vld1q_f32(at), slope = vld1q_f32(t->slopes + p * slopes_step + i);
      uint32x4_t above = dmt_greater_f32(y, vdupq_n_f32(0.0f));
      y = vbslq_f32(above, y, vmulq_f32(y, slope));
      vst1q_f32(at, vminq_f32(vmaxq_f32(y, low), high));
    }
  }
}

/* clang-format off */

static void four(const dmt_tile_f32 *t) {
  const float *x = t->x, *w = t->w, *at;
  uint32_t quads = t->k / 4;
  ptrdiff_t step = 4 * t->from_step;
  __asm__ volatile(
      OPEN_4(", %[step]")
      "cmp %[n], #0\n\t"
      "beq 2f\n"
      "1:\n\t"
      QUAD
      "bne 1b\n"
      "2:\n\t"
      "movs %[n], %[rest]\n\t"
      "beq 4f\n\t"
      "vld1.32 {d0-d3}, [%[x]]!\n\t"
      "vld1.32 {d4-d7}, [%[x]]\n"
      "3:\n\t"
      "vld1.32 {d8-d11}, [%[w]]!\n\t"
      "subs %[n], %[n], #1\n\t"
      FOUR(d0[0], d2[0], d4[0], d6[0], q4, q5)
      "vext.32 q0, q0, q0, #1\n\t"
      "vext.32 q1, q1, q1, #1\n\t"
      "vext.32 q2, q2, q2, #1\n\t"
      "vext.32 q3, q3, q3, #1\n\t"
      "bne 3b\n"
      "4:\n\t"
      "mov %[step], %[to_step]\n\t"
      CLOSE_4(", %[step]")
      : CHANGED, [step] "+r"(step)
      : GIVEN, [to_step] "r"(4 * t->to_step)
      : CLOBBERED);
}

static void two(const dmt_tile_f32 *t) {
  const float *x = t->x, *w = t->w, *at;
  uint32_t quads = t->k / 4;
  ptrdiff_t step = 4 * t->from_step;
  __asm__ volatile(
      OPEN_2(", %[step]")
      "cmp %[n], #0\n\t"
      "beq 2f\n"
      "1:\n\t"
      "vld1.32 {d0-d3}, [%[x]]!\n\t"
      "vld1.32 {d8-d11}, [%[w]]!\n\t"
      "add %[x], %[x], #32\n\t"
      "vld1.32 {d12-d15}, [%[w]]!\n\t"
      "subs %[n], %[n], #1\n\t"
      TWO(d0[0], d2[0], q4, q5)
      "vld1.32 {d8-d11}, [%[w]]!\n\t"
      TWO(d0[1], d2[1], q6, q7)
      "vld1.32 {d12-d15}, [%[w]]!\n\t"
      TWO(d1[0], d3[0], q4, q5)
      TWO(d1[1], d3[1], q6, q7)
      "bne 1b\n"
      "2:\n\t"
      "movs %[n], %[rest]\n\t"
      "beq 4f\n\t"
      "vld1.32 {d0-d3}, [%[x]]\n"
      "3:\n\t"
      "vld1.32 {d8-d11}, [%[w]]!\n\t"
      "subs %[n], %[n], #1\n\t"
      TWO(d0[0], d2[0], q4, q5)
      "vext.32 q0, q0, q0, #1\n\t"
      "vext.32 q1, q1, q1, #1\n\t"
      "bne 3b\n"
      "4:\n\t"
      "mov %[step], %[to_step]\n\t"
      CLOSE_2(", %[step]")
      : CHANGED, [step] "+r"(step)
      : GIVEN, [to_step] "r"(4 * t->to_step)
      : CLOBBERED);
}

static void row(const dmt_tile_f32 *t) {
  const float *x = t->x, *w = t->w, *at;
  const float *w1 = w + t->w_block, *w2 = w1 + t->w_block, *w3 = w2 + t->w_block;
  uint32_t quads = t->k / 4;
  __asm__ volatile(
      OPEN_4("!")
      "cmp %[n], #0\n\t"
      "beq 2f\n"
      "1:\n\t"
      "vld1.32 {d0-d1}, [%[x]]!\n\t"
      "subs %[n], %[n], #1\n\t"
      ROW(d0[0])
      ROW(d0[1])
      ROW(d1[0])
      ROW(d1[1])
      "bne 1b\n"
      "2:\n\t"
      "movs %[n], %[rest]\n\t"
      "beq 4f\n"
      "3:\n\t"
      "vld1.32 {d0[]}, [%[x]]!\n\t"
      "subs %[n], %[n], #1\n\t"
      ROW(d0[0])
      "bne 3b\n"
      "4:\n\t"
      CLOSE_4("!")
      : CHANGED, [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3)
      : GIVEN
      : CLOBBERED);
}

void dmt_tile_f32_sums(const dmt_sums_f32 *sums) {
  const float *x = sums->x, *w = sums->w;
  float *y = sums->y;
  uint32_t n, count = sums->count;
  size_t k = sums->k; /* x has passed 16 bytes of each, w 32; y has passed 128 in all */
  size_t x_step = 4 * (sums->x_step - 4 * k), w_step = 4 * (sums->w_step - 8 * k);
  __asm__ volatile(
      "0:\n\t"
      "lsr %[n], %[k], #2\n\t"
      "vld1.32 {d16-d19}, [%[y]]!\n\t"
      "vld1.32 {d20-d23}, [%[y]]!\n\t"
      "vld1.32 {d24-d27}, [%[y]]!\n\t"
      "vld1.32 {d28-d31}, [%[y]]\n\t"
      "sub %[y], %[y], #96\n"
      "1:\n\t"
      QUAD
      "bne 1b\n\t"
      "vst1.32 {d16-d19}, [%[y]]!\n\t"
      "add %[x], %[x], %[x_step]\n\t"
      "vst1.32 {d20-d23}, [%[y]]!\n\t"
      "add %[w], %[w], %[w_step]\n\t"
      "vst1.32 {d24-d27}, [%[y]]!\n\t"
      "subs %[count], %[count], #1\n\t"
      "vst1.32 {d28-d31}, [%[y]], %[y_step]\n\t"
      "bne 0b\n\t"
      : [x] "+r"(x), [w] "+r"(w), [y] "+r"(y), [n] "=&r"(n), [count] "+r"(count)
      : [k] "r"(k), [x_step] "r"(x_step), [w_step] "r"(w_step), [y_step] "r"(4 * sums->y_step - 96)
      : CLOBBERED);
}

/* clang-format on */

/* Without slopes and bounds: both are for leak(). */
static dmt_tile_f32 plain(const dmt_tile_f32 *t) {
  dmt_tile_f32 open = *t;
  open.limits[0] = -DMT_INFINITY;
  open.limits[1] = DMT_INFINITY;
  return open;
}

#define TILE(name, sums, pixels, step, slopes_step)                                                \
  void name(const dmt_tile_f32 *t) {                                                               \
    if (t->slopes == NULL) {                                                                       \
      sums(t);                                                                                     \
    } else {                                                                                       \
      dmt_tile_f32 open = plain(t);                                                                \
      sums(&open);                                                                                 \
      leak(t, pixels, step, slopes_step);                                                          \
    }                                                                                              \
  }

TILE(dmt_tile_f32_4, four, 4, t->to_step, 0)
TILE(dmt_tile_f32_2, two, 2, t->to_step, 0)
TILE(dmt_tile_f32_row, row, 4, 8, 8)

#else
typedef int dmt_no_tile_f32; /* C99 wants something in a file */
#endif
