/* libFuzzer on frames: any width, height, stride and kind, on models with preprocessing.
 *
 * The first 16 bytes of an input say what the frame is like, the rest is the model.
 */
#define _POSIX_C_SOURCE 200809L
static const char program[] = "fuzz_frame";

#include "../tests/hostile.h"

#define SHAPE 16u
#define MOST_PIXELS (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly the bytes that a frame which passes may be read from; as few for one that must not. */
static void show(dmt_context *context, const uint8_t *shape) {
  uint32_t width = dmt_u16(shape) | (uint32_t)(shape[12] & 1) << 16;
  uint32_t height = dmt_u16(shape + 2), stride = dmt_u32(shape + 4), kind = shape[8] % 6;
  static const uint8_t bytes[] = {1, 3, 3, 4, 1, 0};
  uint32_t row = width * bytes[kind] + (kind == DMT_NV12 ? width & 1 : 0);
  stride = shape[9] & 1 ? stride : row + shape[10];
  size_t luma = 0, chroma = 0;
  if (stride >= row && height > 0 && (uint64_t)stride * height <= MOST_PIXELS * 4) {
    luma = (size_t)stride * (height - 1) + width * bytes[kind];
    chroma = kind == DMT_NV12 ? (size_t)stride * ((height - 1) / 2) + row : 0;
  } else if (stride >= row && height > 0) {
    return; /* legal, and too large to try */
  }
  uint8_t *picture = exact(luma), *pairs = exact(chroma);
  memset(picture, shape[11], luma);
  memset(pairs, shape[13], chroma);
  const dmt_frame frame = {picture, pairs, width, height, stride, (dmt_pixels)kind};
  for (uint32_t i = 0; i <= dmt_input_count(context); i++) {
    (void)dmt_image(context, i, &frame);
  }
  free(picture);
  free(pairs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const dmt_config config = {dmt_kernels("generic", NULL), 1, NULL, NULL, NULL};
  if (size < SHAPE + DMT_HEADER_BYTES) {
    return 0;
  }
  uint8_t *model = exact(size - SHAPE);
  memcpy(model, data + SHAPE, size - SHAPE);
  repair(model, (uint32_t)(size - SHAPE));
  dmt_memory sizes;
  dmt_context *context;
  if (dmt_sizes(&config, model, size - SHAPE, &sizes) == DMT_OK && sizes.arena <= MOST_MEMORY) {
    void *persistent = exact(sizes.persistent), *arena = exact(sizes.arena);
    if (dmt_init(&config, model, size - SHAPE, persistent, sizes.persistent, arena, sizes.arena,
                 &context) == DMT_OK) {
      show(context, data);
    }
    free(persistent);
    free(arena);
  }
  free(model);
  return 0;
}
