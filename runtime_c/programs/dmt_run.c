/* Run a model once: raw little-endian float32 in Caffe's order in and out. */
#define _POSIX_C_SOURCE 200809L
#include <sys/stat.h>
#include <unistd.h>

#include "dmt_file.h"
#include "dmt_pool.h"
#include "dmt_quantize.h"

static const char usage[] =
    "usage: dmt_run MODEL.demi IN OUT [--quantized] [--kernels NAME] [--threads T]\n"
    "IN, OUT: little-endian float32 of one sample in Caffe's order, all inputs (outputs) one "
    "after\n"
    "the other; with --quantized OUT holds the integers as stored; an output that has as many "
    "rows\n"
    "as are found (detections) follows their number, a uint32";

static const char program[] = "dmt_run";

typedef struct {
  const char *path[3]; /* model, in, out */
  const char *kernels;
  uint32_t threads;
  int quantized;
} options;

static options parse(int count, char **argument) {
  options found = {{NULL, NULL, NULL}, NULL, 1, 0};
  int paths = 0;
  for (int i = 1; i < count; i++) {
    if (strcmp(argument[i], "--help") == 0) {
      puts(usage);
      exit(0);
    } else if (strcmp(argument[i], "--quantized") == 0) {
      found.quantized = 1;
    } else if (strcmp(argument[i], "--kernels") == 0 && i + 1 < count) {
      found.kernels = argument[++i];
    } else if (strcmp(argument[i], "--threads") == 0) {
      found.threads = read_count(program, argument[i], argument[i + 1]);
      i++;
    } else if (paths < 3 && strncmp(argument[i], "--", 2) != 0) {
      found.path[paths++] = argument[i];
    } else {
      die(program, "what is '%s'? See dmt_run --help", argument[i]);
    }
  }
  if (paths < 3) {
    die(program, "%s", usage);
  }
  return found;
}

static size_t elements(const dmt_view *view) {
  size_t count = 1;
  for (uint32_t i = 0; i < view->rank; i++) {
    count *= view->dim[i];
  }
  return count;
}

static void write_inputs(const char *path, dmt_context *context) {
  size_t size, at = 0, wanted = 0;
  const float *values = read_file(program, path, &size);
  dmt_view view;
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    wanted += elements(&view) * sizeof(float);
  }
  if (size != wanted) {
    die(program, "%s: %lu bytes, the model's inputs take %lu", path, (unsigned long)size,
        (unsigned long)wanted);
  }
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    dmt_write_f32(&view, values + at);
    at += elements(&view);
  }
}

/* The elements as stored, dense in Caffe's order: a copy between two views of the same bytes. */
static void read_stored(const dmt_view *view, uint8_t *out) {
  uint32_t index[DMT_MAX_RANK] = {0}, item = dmt_item(view->dtype);
  for (size_t left = elements(view); left-- > 0; out += item) {
    const uint8_t *at = view->data;
    for (uint32_t axis = 0; axis < view->rank; axis++) {
      at += (size_t)index[axis] * view->stride[axis];
    }
    memcpy(out, at, item);
    for (uint32_t axis = view->rank; axis-- > 0 && ++index[axis] == view->dim[axis];) {
      index[axis] = 0;
    }
  }
}

/* Written aside and renamed, so that OUT is whole or not there; pipes and devices directly. */
static void write_outputs(const char *path, const dmt_context *context, int quantized) {
  struct stat known;
  int aside = stat(path, &known) != 0 || S_ISREG(known.st_mode);
  char *target = allocate(program, strlen(path) + sizeof ".new");
  strcat(strcpy(target, path), aside ? ".new" : "");
  FILE *file = fopen(target, "wb");
  int good = file != NULL;
  dmt_view view;
  for (uint32_t i = 0; good && dmt_output(context, i, &view) == DMT_OK; i++) {
    if (view.rows != DMT_ALL_ROWS) {
      good = fwrite(&view.rows, sizeof view.rows, 1, file) == 1;
      view.dim[2] = view.rows;
    }
    size_t count = elements(&view), item = quantized ? dmt_item(view.dtype) : sizeof(float);
    if (count == 0) {
      continue;
    }
    void *values = allocate(program, count * item);
    if (quantized) {
      read_stored(&view, values);
    } else {
      dmt_read_f32(&view, values);
    }
    good = good && fwrite(values, item, count, file) == count;
  }
  good = file != NULL && fclose(file) == 0 && good;
  if (!good || (aside && rename(target, path) != 0)) {
    int reason = errno;
    if (aside) {
      unlink(target);
    }
    die(program, "%s: %s", path, strerror(reason));
  }
}

int main(int count, char **argument) {
  options option = parse(count, argument);
  dmt_config config = {find_kernels(program, option.kernels, NULL), option.threads, NULL, NULL,
                       NULL};
  if (config.operators == NULL) {
    die(program, "no kernels '%s' on this machine", option.kernels);
  }
  dmt_pool *pool = dmt_pool_start(allocate(program, dmt_pool_size(option.threads)), option.threads);
  config.parallel_for = dmt_pool_for;
  config.user = pool;
  dmt_memory sizes;
  dmt_context *context = open_model(program, option.path[0], &config, &sizes);
  write_inputs(option.path[1], context);
  dmt_status status = dmt_run(context);
  if (status != DMT_OK) {
    die(program, "%s", dmt_strerror(status));
  }
  write_outputs(option.path[2], context, option.quantized);
  dmt_pool_stop(pool);
  return 0;
}
