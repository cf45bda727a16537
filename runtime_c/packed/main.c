/* The packed program: a picture, a raw frame or floats in, the outputs as text. */
#define _POSIX_C_SOURCE 200809L

#include "dmt_file.h"
#include "dmt_packed.h"
#include "dmt_pool.h"

static const char usage[] =
    "usage: PROGRAM [--model NAME] FILE|-            a picture: PPM or PGM (binary, 8 bits)\n"
    "       PROGRAM [--model NAME] --raw KIND WxH FILE|-  a frame: gray, rgb, bgr, bgra or nv12\n"
    "       PROGRAM [--model NAME] --floats FILE|-   all inputs: float32 in Caffe's order\n"
    "       PROGRAM --self-test                      every model's sample and its expected CRC\n"
    "--all prints every value of long outputs";

static const char program[] = "packed";

#define SHOWN 16u /* values of an output, or so many of the largest */
#define LARGEST 5u

typedef struct {
  const char *model, *path, *kind, *extent;
  int floats, all, self_test;
} options;

static options parse(int count, char **argument) {
  options found = {NULL, NULL, NULL, NULL, 0, 0, 0};
  for (int i = 1; i < count; i++) {
    if (strcmp(argument[i], "--help") == 0) {
      puts(usage);
      exit(0);
    } else if (strcmp(argument[i], "--self-test") == 0) {
      found.self_test = 1;
    } else if (strcmp(argument[i], "--floats") == 0) {
      found.floats = 1;
    } else if (strcmp(argument[i], "--all") == 0) {
      found.all = 1;
    } else if (strcmp(argument[i], "--model") == 0 && i + 1 < count) {
      found.model = argument[++i];
    } else if (strcmp(argument[i], "--raw") == 0 && i + 2 < count) {
      found.kind = argument[++i];
      found.extent = argument[++i];
    } else if (found.path == NULL && (argument[i][0] != '-' || argument[i][1] == 0)) {
      found.path = argument[i];
    } else {
      die(program, "what is '%s'? See --help", argument[i]);
    }
  }
  if (found.path == NULL && !found.self_test) {
    die(program, "%s", usage);
  }
  return found;
}

static const dmt_packed *find_model(const char *name) {
  for (uint32_t i = 0; i < dmt_packed_count; i++) {
    if (name == NULL || strcmp(name, dmt_packed_models[i].name) == 0) {
      return &dmt_packed_models[i];
    }
  }
  die(program, "no model '%s'", name);
  return NULL;
}

/* The whole of a file, or of the standard input. */
static const uint8_t *read_all(const char *path, size_t *size) {
  if (strcmp(path, "-") != 0) {
    return read_file(program, path, size);
  }
  size_t room = 1u << 16, got;
  uint8_t *data = malloc(room);
  *size = 0;
  while (data != NULL && (got = fread(data + *size, 1, room - *size, stdin)) > 0) {
    *size += got;
    if (*size == room) {
      data = realloc(data, room *= 2);
    }
  }
  if (data == NULL) {
    die(program, "out of memory");
  }
  return data;
}

/* A number of a PNM header; comments count as blanks. 0: there is none. */
static uint32_t pnm_number(const uint8_t *data, size_t size, size_t *at) {
  uint32_t value = 0;
  while (*at < size && (data[*at] <= ' ' || data[*at] == '#')) {
    if (data[*at] == '#') {
      while (*at < size && data[*at] != '\n') {
        ++*at;
      }
    } else {
      ++*at;
    }
  }
  while (*at < size && data[*at] >= '0' && data[*at] <= '9' && value < 100000) {
    value = value * 10 + data[(*at)++] - '0';
  }
  return value;
}

static dmt_frame picture(const char *path, const uint8_t *data, size_t size) {
  dmt_frame frame = {NULL, NULL, 0, 0, 0, DMT_RGB};
  size_t at = 2;
  if (size < 2 || data[0] != 'P' || (data[1] != '5' && data[1] != '6')) {
    die(program, "%s: neither a binary PPM nor PGM; for other data see --raw and --floats", path);
  }
  uint32_t channels = data[1] == '6' ? 3 : 1;
  frame.pixels = channels == 3 ? DMT_RGB : DMT_GRAY;
  frame.width = pnm_number(data, size, &at);
  frame.height = pnm_number(data, size, &at);
  uint32_t most = pnm_number(data, size, &at);
  at += 1;
  frame.row_stride = frame.width * channels;
  if (most != 255 || frame.width > 16384 || frame.height > 16384 || at > size ||
      size - at < (size_t)frame.row_stride * frame.height) {
    die(program, "%s: broken picture, or not of 8 bits", path);
  }
  frame.data = data + at;
  return frame;
}

static dmt_frame raw_frame(const options *option, const uint8_t *data, size_t size) {
  static const char *const kinds[] = {"gray", "rgb", "bgr", "bgra", "nv12"};
  static const uint32_t bytes[] = {1, 3, 3, 4, 1};
  dmt_frame frame = {data, NULL, 0, 0, 0, DMT_GRAY};
  uint32_t kind = 0;
  unsigned width = 0, height = 0;
  while (kind < 5 && strcmp(option->kind, kinds[kind]) != 0) {
    kind++;
  }
  if (kind == 5 || sscanf(option->extent, "%ux%u", &width, &height) != 2 || width > 16384 ||
      height > 16384) {
    die(program, "--raw %s %s: see --help", option->kind, option->extent);
  }
  frame.pixels = (dmt_pixels)kind;
  frame.width = width;
  frame.height = height;
  frame.row_stride = width * bytes[kind] + (kind == DMT_NV12 ? width & 1 : 0);
  size_t luma = (size_t)frame.row_stride * height;
  size_t wanted = luma + (kind == DMT_NV12 ? (size_t)frame.row_stride * ((height + 1) / 2) : 0);
  if (size != wanted) {
    die(program, "%s: %lu bytes, such a frame has %lu", option->path, (unsigned long)size,
        (unsigned long)wanted);
  }
  frame.chroma = kind == DMT_NV12 ? data + luma : NULL;
  return frame;
}

static size_t elements(const dmt_view *view) {
  size_t count = 1;
  for (uint32_t i = 0; i < view->rank; i++) {
    count *= view->dim[i];
  }
  return count;
}

static void write_floats(dmt_context *context, const char *path, const uint8_t *data, size_t size) {
  dmt_view view;
  size_t wanted = 0, at = 0;
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    wanted += elements(&view) * sizeof(float);
  }
  if (size != wanted) {
    die(program, "%s: %lu bytes, the model's inputs take %lu", path, (unsigned long)size,
        (unsigned long)wanted);
  }
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    float *values = allocate(program, elements(&view) * sizeof *values);
    memcpy(values, data + at, elements(&view) * sizeof *values);
    dmt_write_f32(&view, values);
    at += elements(&view) * sizeof *values;
    free(values);
  }
}

static void print_values(const float *values, size_t count, int all) {
  if (all || count <= SHOWN) {
    for (size_t i = 0; i < count; i++) {
      printf(" %.6g", (double)values[i]);
    }
    return;
  }
  size_t before = count; /* the one printed last: of equal values the earlier comes first */
  for (uint32_t shown = 0; shown < LARGEST; shown++) {
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
      int later = before == count || values[i] < values[before] ||
                  (values[i] == values[before] && i > before);
      if (later && (best == count || values[i] > values[best])) {
        best = i;
      }
    }
    if (best == count) {
      return; /* the rest are no numbers */
    }
    printf(" [%lu] %.6g", (unsigned long)best, (double)values[best]);
    before = best;
  }
}

static void print_output(const dmt_context *context, uint32_t index, dmt_view view, int all) {
  const char *name = dmt_output_name(context, index);
  uint32_t counted = view.rows != DMT_ALL_ROWS;
  view.dim[2] = counted ? view.rows : view.dim[2];
  size_t count = elements(&view), row = counted ? view.dim[3] : count;
  float *values = allocate(program, count * sizeof *values);
  if (count > 0) {
    dmt_read_f32(&view, values);
  }
  printf("%s", name != NULL ? name : "output");
  for (uint32_t i = 0; i < view.rank; i++) {
    printf("%s%u", i > 0 ? "x" : " ", (unsigned)view.dim[i]);
  }
  printf(":");
  for (size_t at = 0; at < count; at += row) {
    printf("%s", counted ? "\n " : "");
    print_values(values + at, row, all);
  }
  printf("\n");
  free(values);
}

static int self_test(void) {
  int failed = 0;
  for (uint32_t i = 0; i < dmt_packed_count; i++) {
    const dmt_packed *packed = &dmt_packed_models[i];
    uint32_t crc;
    int good;
    dmt_status status = dmt_packed_test(packed, &crc, &good);
    printf("%s: status %08x, output CRC %08x, %s\n", packed->name, (unsigned)status, (unsigned)crc,
           good ? "as expected" : "WRONG");
    failed |= !good;
  }
  return failed;
}

int main(int count, char **argument) {
  options option = parse(count, argument);
  if (option.self_test) {
    return self_test();
  }
  const dmt_packed *packed = find_model(option.model);
  dmt_pool *pool =
      dmt_pool_start(allocate(program, dmt_pool_size(packed->threads)), packed->threads);
  dmt_context *context;
  dmt_status status = dmt_packed_open(packed, dmt_pool_for, pool, &context);
  if (status != DMT_OK) {
    die(program, "%s: %s", packed->name, dmt_strerror(status));
  }
  size_t size;
  const uint8_t *data = read_all(option.path, &size);
  if (option.floats) {
    write_floats(context, option.path, data, size);
  } else {
    dmt_frame frame =
        option.kind != NULL ? raw_frame(&option, data, size) : picture(option.path, data, size);
    status = dmt_image(context, 0, &frame);
    if (status != DMT_OK) {
      die(program, "%s: %s; a model takes pictures if it was compiled with preprocessing",
          option.path, dmt_strerror(status));
    }
  }
  status = dmt_run(context);
  if (status != DMT_OK) {
    die(program, "%s: %s", packed->name, dmt_strerror(status));
  }
  dmt_view view;
  for (uint32_t i = 0; dmt_output(context, i, &view) == DMT_OK; i++) {
    print_output(context, i, view, option.all);
  }
  dmt_pool_stop(pool);
  return 0;
}
