/* faces MODEL.demi FRAME.ppm: boxes that a detector of SSD's or YOLO's kind finds, in pixels. */
#include "example.h"

#define LEAST 0.5f

int main(int count, char **argument) {
  if (count != 3) {
    fprintf(stderr, "usage: faces MODEL.demi FRAME.ppm\n");
    return 2;
  }
  const dmt_config config = {dmt_kernels(NULL, NULL), 1, NULL, NULL, NULL};
  dmt_context *context = open_model(argument[1], &config, NULL, 0);
  dmt_frame frame = read_picture(argument[2]);
  check(dmt_image(context, 0, &frame), argument[2]);
  check(dmt_run(context), argument[1]);

  /* (1, 1, most, 7), of which view.rows are there: image, label, score, left, top, right, bottom */
  dmt_view view;
  check(dmt_output(context, 0, &view), argument[1]);
  if (view.rows == DMT_ALL_ROWS || view.dtype != DMT_F32 || view.dim[3] != 7) {
    fprintf(stderr, "%s: no detector\n", argument[1]);
    return 2;
  }
  uint32_t found = 0;
  for (uint32_t i = 0; i < view.rows; i++) {
    const float *row =
        (const float *)(const void *)((const uint8_t *)view.data + i * view.stride[2]);
    if (row[1] >= 0.0f && row[2] >= LEAST) { /* one row of label -1: nothing at all */
      printf("label %.0f score %.3f box %.0f %.0f %.0f %.0f\n", (double)row[1], (double)row[2],
             (double)(row[3] * (float)frame.width), (double)(row[4] * (float)frame.height),
             (double)(row[5] * (float)frame.width), (double)(row[6] * (float)frame.height));
      found++;
    }
  }
  printf("%u found\n", (unsigned)found);
  return 0;
}
