/* shared_arena FIRST.demi SECOND.demi PICTURE.ppm: two nets that run in turn over one arena.
 *
 * Only persistent memory is each net's own. What one net has in the arena, outputs included, is
 * gone when the other starts: read it before.
 */
#include "example.h"

static size_t arena_of(const char *path, const dmt_config *config) {
  size_t size;
  void *model = read_whole(path, &size);
  dmt_memory needs;
  check(dmt_sizes(config, model, size, &needs), path);
  free(model);
  return needs.arena;
}

int main(int count, char **argument) {
  if (count != 4) {
    fprintf(stderr, "usage: shared_arena FIRST.demi SECOND.demi PICTURE.ppm\n");
    return 2;
  }
  const dmt_config config = {dmt_kernels(NULL, NULL), 1, NULL, NULL, NULL};
  size_t first = arena_of(argument[1], &config), second = arena_of(argument[2], &config);
  size_t size = first > second ? first : second;
  uint8_t *arena = memory(size);
  dmt_context *net[2] = {open_model(argument[1], &config, arena, size),
                         open_model(argument[2], &config, arena, size)};
  printf("%lu and %lu bytes, together %lu\n", (unsigned long)first, (unsigned long)second,
         (unsigned long)size);
  dmt_frame picture = read_picture(argument[3]);
  for (int i = 0; i < 4; i++) { /* back and forth */
    dmt_context *context = net[i % 2];
    check(dmt_image(context, 0, &picture), argument[3]);
    check(dmt_run(context), argument[1 + i % 2]);
    dmt_view view;
    check(dmt_output(context, 0, &view), argument[1 + i % 2]);
    size_t values = 1;
    for (uint32_t axis = 0; axis < view.rank; axis++) {
      values *= view.dim[axis];
    }
    float *value = memory(values * sizeof *value);
    dmt_read_f32(&view, value);
    size_t best = 0;
    for (size_t k = 1; k < values; k++) {
      best = value[k] > value[best] ? k : best;
    }
    printf("%s: %lu\n", argument[1 + i % 2], (unsigned long)best);
    free(value);
  }
  return 0;
}
