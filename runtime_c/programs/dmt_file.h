/* Files and memory for the programs; every failure is one line and exit status 2. */
#ifndef DMT_FILE_H
#define DMT_FILE_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demitasse.h"

static inline void die(const char *program, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s: ", program);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  exit(2);
}

/* Zeroed memory at a multiple of DMT_ALIGN; it lives as long as the program. */
static inline void *allocate(const char *program, size_t size) {
  void *memory = NULL;
  size_t whole = size + (size == 0);
  if (posix_memalign(&memory, DMT_ALIGN, whole) != 0) {
    die(program, "out of memory: %lu bytes", (unsigned long)size);
  }
  memset(memory, 0, whole);
  return memory;
}

static inline void *read_file(const char *program, const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  long end = -1;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0 ||
      end == LONG_MAX /* a folder */ || fseek(file, 0, SEEK_SET) != 0) {
    die(program, "%s: %s", path, strerror(errno));
  }
  *size = (size_t)end;
  void *data = allocate(program, *size);
  if (fread(data, 1, *size, file) != *size) {
    die(program, "%s: cannot be read", path);
  }
  fclose(file);
  return data;
}

/* A model's context, or the end with what is wrong with it. */
static inline dmt_context *open_model(const char *program, const char *path,
                                      const dmt_config *config, dmt_memory *sizes) {
  size_t size;
  const void *model = read_file(program, path, &size);
  dmt_where where = {0, 0};
  dmt_context *context = NULL;
  dmt_status status = dmt_check(config, model, size, &where);
  if (status == DMT_OK) {
    status = dmt_sizes(config, model, size, sizes);
  }
  if (status == DMT_OK) {
    void *persistent = allocate(program, sizes->persistent);
    void *arena = allocate(program, sizes->arena);
    status =
        dmt_init(config, model, size, persistent, sizes->persistent, arena, sizes->arena, &context);
  }
  if (status != DMT_OK) {
    die(program, "%s: %s (record %u, byte %u)", path, dmt_strerror(status), (unsigned)where.index,
        (unsigned)where.offset);
  }
  return context;
}

/* Operators of one's own (examples/plugins), where such a file is linked in. */
extern const dmt_operator *const dmt_library[] __attribute__((weak));

static inline uint32_t count_operators(const dmt_operator *const *table) {
  uint32_t count = 0;
  while (table != NULL && table[count] != NULL) {
    count++;
  }
  return count;
}

/* The kernels of that name, after those that are linked in; NULL where there is no such set. */
static inline const dmt_operator *const *find_kernels(const char *program, const char *name,
                                                      const char **found) {
  const dmt_operator *const *table = dmt_kernels(name, found);
  uint32_t own = count_operators(dmt_library), given = count_operators(table);
  if (table == NULL || own == 0) {
    return table;
  }
  const dmt_operator **all = allocate(program, (own + given + 1) * sizeof *all);
  memcpy(all, dmt_library, own * sizeof *all);
  memcpy(all + own, table, given * sizeof *all);
  return all;
}

/* A number from 1 on given to an option. */
static inline uint32_t read_count(const char *program, const char *option, const char *text) {
  char *end;
  long value = text != NULL ? strtol(text, &end, 10) : 0;
  if (text == NULL || *end != 0 || value < 1 || value > 1000000) {
    die(program, "%s wants a number from 1 on", option);
  }
  return (uint32_t)value;
}

#endif
