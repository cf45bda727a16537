/* Hostile models: damage one, repair its checksum, do with it all that a caller may do.
 *
 * Model, persistent memory and arena are blocks of exactly the stated sizes, so that a sanitizer
 * sees every byte read or written outside them. The includer defines `program`, the name for
 * messages.
 */
#ifndef DMT_HOSTILE_H
#define DMT_HOSTILE_H

#include "../programs/dmt_file.h"
#include "dmt_internal.h"

/* What a run may cost before a mutant is passed over. */
#ifndef MOST_MEMORY
#define MOST_MEMORY (1u << 20)
#endif

static uint64_t state; /* of the random numbers */

/* splitmix64 */
static uint32_t random_below(uint32_t limit) {
  uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (uint32_t)((z ^ (z >> 31)) % limit);
}

static void *exact(size_t size) {
  void *memory = NULL;
  if (posix_memalign(&memory, DMT_ALIGN, size + (size == 0)) != 0) {
    die(program, "out of memory");
  }
  return memory;
}

/* Where a word stands: in every section as often as in any other, however large weights are. */
static uint32_t somewhere(const uint8_t *model, uint32_t size) {
  uint32_t sections = dmt_u32(model + DMT_HEADER_SECTIONS), words = size / 4;
  if (size >= DMT_HEADER_BYTES && sections > 0 && random_below(4) != 0) {
    uint32_t entry = DMT_HEADER_BYTES + DMT_ENTRY_BYTES * random_below(sections);
    if (entry <= size && size - entry >= DMT_ENTRY_BYTES) {
      uint32_t offset = dmt_u32(model + entry + DMT_ENTRY_OFFSET) / 4;
      uint32_t length = dmt_u32(model + entry + DMT_ENTRY_SIZE) / 4;
      if (offset < words && length > 0 && length <= words - offset) {
        return (offset + random_below(length)) * 4;
      }
    }
  }
  return random_below(words) * 4;
}

/* Another value for the four bytes at a multiple of 4, or for one byte or two. */
static void mutate(uint8_t *model, uint32_t size) {
  static const uint32_t edges[] = {
      0,  1,  2,  3,   4,   5,   6,    7,    8,          15,         16,         31,
      32, 63, 64, 127, 128, 255, 1024, 4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0, 0xFFFFFFFF};
  uint32_t at = somewhere(model, size), value = dmt_u32(model + at);
  switch (random_below(7)) {
  case 0:
    model[at + random_below(4)] ^= (uint8_t)(1u << random_below(8));
    return;
  case 1:
    model[at + random_below(4)] = (uint8_t)random_below(20);
    return;
  case 2:
    value = edges[random_below(sizeof edges / sizeof *edges)];
    break;
  case 3:
    value += random_below(9) - 4;
    break;
  case 4:
    value = random_below(2) ? value << random_below(8) : value >> random_below(8);
    break;
  case 5:
    value = dmt_u32(model + somewhere(model, size));
    break;
  default:
    value = random_below(0xFFFFFFFF);
  }
  memcpy(model + at, &value, sizeof value);
}

static void repair(uint8_t *model, uint32_t size) {
  uint32_t claimed = dmt_u32(model + DMT_HEADER_FILE_SIZE);
  if (claimed >= DMT_HEADER_BYTES && claimed <= size) {
    uint32_t crc = dmt_crc32(0, model, DMT_HEADER_CRC);
    crc = dmt_crc32(crc, model + DMT_HEADER_CRC + 4, claimed - DMT_HEADER_CRC - 4);
    memcpy(model + DMT_HEADER_CRC, &crc, sizeof crc);
  }
}

static void use_view(const dmt_view *view) {
  size_t count = 1;
  for (uint32_t axis = 0; axis < view->rank; axis++) {
    count *= view->dim[axis];
  }
  float *values = exact(count * sizeof *values);
  dmt_read_f32(view, values);
  dmt_write_f32(view, values);
  free(values);
}

static void show_picture(dmt_context *context, uint32_t input) {
  static const uint8_t bytes[] = {1, 3, 3, 4, 1};
  uint32_t width = 1 + random_below(40), height = 1 + random_below(40), kind = random_below(5);
  uint32_t row = width * bytes[kind] + (kind == DMT_NV12 ? width & 1 : 0);
  uint8_t *data = exact((size_t)row * height), *chroma = exact((size_t)row * ((height + 1) / 2));
  memset(data, 100, (size_t)row * height);
  memset(chroma, 200, (size_t)row * ((height + 1) / 2));
  dmt_frame frame = {data, chroma, width, height, row, (dmt_pixels)kind};
  (void)dmt_image(context, input, &frame);
  free(data);
  free(chroma);
}

/* Everything that a caller may do with a model that passed. */
static void use(const dmt_config *config, const void *model, size_t size) {
  dmt_memory sizes;
  if (dmt_sizes(config, model, size, &sizes) != DMT_OK || sizes.arena > MOST_MEMORY) {
    return;
  }
  void *persistent = exact(sizes.persistent);
  uint8_t *arena = exact(sizes.arena);
  for (size_t i = 0; i < sizes.arena; i++) {
    arena[i] = (uint8_t)random_below(256);
  }
  dmt_context *context;
  dmt_status status =
      dmt_init(config, model, size, persistent, sizes.persistent, arena, sizes.arena, &context);
  if (status != DMT_OK) {
    die(program, "dmt_init after dmt_sizes: %s", dmt_strerror(status));
  }
  dmt_view view;
  uint32_t after;
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    use_view(&view);
    show_picture(context, i);
  }
  if (dmt_run(context) != DMT_OK) {
    die(program, "dmt_run failed");
  }
  for (uint32_t i = 0; dmt_tensor(context, i, &view, &after) == DMT_OK; i++) {
    use_view(&view);
    const char *name = dmt_name(context, view.name);
    if (name != NULL && strlen(name) > size) {
      die(program, "a name without end");
    }
  }
  free(persistent);
  free(arena);
}

#endif
