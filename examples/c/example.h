/* Files and memory for the examples; what goes wrong is one line and exit status 2. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demitasse.h"

static inline void check(dmt_status status, const char *what) {
  if (status != DMT_OK) {
    fprintf(stderr, "%s: %s\n", what, dmt_strerror(status));
    exit(2);
  }
}

/* Zeros at a multiple of 64 bytes, as models and their memory must be. */
static inline void *memory(size_t size) {
  void *found = NULL;
  if (posix_memalign(&found, DMT_ALIGN, size > 0 ? size : 1) != 0) {
    check(DMT_E_MEMORY, "memory");
  }
  memset(found, 0, size);
  return found;
}

static inline void *read_whole(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  long end = -1;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0) {
    perror(path);
    exit(2);
  }
  rewind(file);
  *size = (size_t)end;
  void *data = memory(*size);
  if (fread(data, 1, *size, file) != *size) {
    fprintf(stderr, "%s: cannot be read\n", path);
    exit(2);
  }
  fclose(file);
  return data;
}

/* A binary PPM (P6) or PGM (P5) of 8 bits. */
static inline dmt_frame read_picture(const char *path) {
  size_t size;
  const uint8_t *data = read_whole(path, &size);
  unsigned width = 0, height = 0;
  char kind = 0, text[64] = {0};
  int head = 0;
  for (size_t i = 0; i < sizeof text - 1 && i < size; i++) {
    text[i] = (char)data[i];
  }
  int found = sscanf(text, "P%c %u %u 255%n", &kind, &width, &height, &head);
  uint32_t channels = kind == '6' ? 3 : 1;
  size_t bytes = (size_t)width * height * channels;
  if (found != 3 || head == 0 || (kind != '5' && kind != '6') || width > 16384 || height > 16384 ||
      size < (size_t)head + 1 + bytes) {
    fprintf(stderr, "%s: neither a binary PPM nor PGM\n", path);
    exit(2);
  }
  const dmt_frame frame = {
      data + head + 1, NULL, width, height, width * channels, kind == '6' ? DMT_RGB : DMT_GRAY};
  return frame;
}

/* A context with memory of its own, or with an arena that is given. */
static inline dmt_context *open_model(const char *path, const dmt_config *config, uint8_t *arena,
                                      size_t arena_size) {
  size_t size;
  const void *model = read_whole(path, &size);
  dmt_memory needs;
  dmt_context *context;
  check(dmt_sizes(config, model, size, &needs), path);
  if (arena == NULL) {
    arena_size = needs.arena;
    arena = memory(arena_size);
  }
  check(dmt_init(config, model, size, memory(needs.persistent), needs.persistent, arena, arena_size,
                 &context),
        path);
  return context;
}

#endif
