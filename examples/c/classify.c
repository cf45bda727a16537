/* classify MODEL.demi PICTURE.ppm: the five likeliest classes. */
#include "example.h"

#define BEST 5

int main(int count, char **argument) {
  if (count != 3) {
    fprintf(stderr, "usage: classify MODEL.demi PICTURE.ppm\n");
    return 2;
  }
  const dmt_config config = {dmt_kernels(NULL, NULL), 1, NULL, NULL, NULL};
  dmt_context *context = open_model(argument[1], &config, NULL, 0);
  dmt_frame picture = read_picture(argument[2]);
  check(dmt_image(context, 0, &picture), argument[2]);
  check(dmt_run(context), argument[1]);

  dmt_view view;
  check(dmt_output(context, 0, &view), argument[1]);
  size_t classes = 1;
  for (uint32_t axis = 0; axis < view.rank; axis++) {
    classes *= view.dim[axis];
  }
  float *score = memory(classes * sizeof *score);
  dmt_read_f32(&view, score);
  for (int shown = 0; shown < BEST && (size_t)shown < classes; shown++) {
    size_t best = 0;
    for (size_t i = 1; i < classes; i++) {
      best = score[i] > score[best] ? i : best;
    }
    printf("%lu %.4f\n", (unsigned long)best, (double)score[best]);
    score[best] = -3.4e38f;
  }
  return 0;
}
