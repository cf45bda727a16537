/* Winograd's F(4 x 4, 3 x 3) in float32: 36 products where a convolution has 144.
 *
 * A tile is 4 x 4 outputs, of 6 x 6 inputs d. With g the 3 x 3 weights of an output and input,
 * Y = S (sum over inputs of (G g G') * (B d B')) S', element by element, where
 *
 *       4  0 -5  0  1  0        1  0  0
 *       0 -4 -4  1  1  0        1  1  1        1/4 -1/6 -1/6 1/24 1/24 0
 *   B = 0  4 -4 -1  1  0    G = 1 -1  1    S =  0  -1/6  1/6 1/12 -1/12 0
 *       0 -2 -1  2  1  0        1  2  4         0  -1/6 -1/6 1/6  1/6  0
 *       0  2 -1 -2  1  0        1 -2  4         0  -1/6  1/6 1/3 -1/3  1
 *       0  4  0 -5  0  1        0  0  1
 *
 * Weights are transformed in every run, so what is left to S is cheap there.
 */
#ifndef DMT_WINOGRAD_F32_H
#define DMT_WINOGRAD_F32_H

#include <stddef.h>
#include <stdint.h>

enum {
  DMT_WINOGRAD_ALL = 36,      /* elements of a transformed tile */
  DMT_WINOGRAD_SPAN = 64,     /* most floats side by side in a call of these */
  DMT_WINOGRAD_HALF = 36 * 64 /* floats of `half`, where a tile waits with one axis done */
};

/* from: 6 x 6 pixels, steps in floats; channels by four. Element e of four channels goes to
 * to[e * element], the next four sixteen floats on. */
void dmt_winograd_f32_input(const float *from, ptrdiff_t row, ptrdiff_t pixel, uint32_t fours,
                            float *half, float *to, size_t element);

/* from: nine taps, `tap` floats apart, of inputs by eight outputs. */
void dmt_winograd_f32_weights(const float *from, size_t tap, uint32_t inputs, float *half,
                              float *to, size_t element);

/* What becomes of the sums of some outputs, in fours. */
typedef struct {
  uint32_t fours;
  const float *bias, *slopes; /* slopes may be NULL */
  float low, high;
} dmt_winograd_end;

/* from: four tiles of eight outputs, elements apart; to half. */
void dmt_winograd_f32_columns(const float *from, size_t element, float *half);

/* The output of one of them: 4 x 4 pixels. */
void dmt_winograd_f32_output(const float *half, uint32_t tile, const dmt_winograd_end *end,
                             float *to, ptrdiff_t row, ptrdiff_t pixel);

#endif
