/* Time a model on zeros. What runs between the two getpriority() calls is what counts; simulators
 * look for them. */
#define _DEFAULT_SOURCE
#include <sys/resource.h>
#include <time.h>

#include "dmt_file.h"
#include "dmt_pool.h"
#include "dmt_quantize.h"

static const char usage[] =
    "usage: dmt_bench MODEL.demi [--loops N] [--threads T] [--kernels NAME] [--profile] [--table]\n"
    "  --table: a row of docs/rk3288-speed.md, with this machine's clock and governor";

static const char program[] = "dmt_bench";

typedef struct {
  const char *path, *kernels;
  uint32_t loops, threads;
  int profile, table;
} options;

/* An input's bytes. The arena is used again and again, so they are put back before every run:
 * results fed in as inputs end up as infinities or denormals, which take their own time. */
typedef struct {
  void *at, *copy;
  size_t bytes;
} input;

typedef struct {
  dmt_context *context;
  input *inputs;
  uint32_t count;
} job;

/* What the hooks are given. */
typedef struct {
  dmt_pool *pool;
  double *seconds; /* one for each operator */
  double started;
} bench;

static options parse(int count, char **argument) {
  options found = {NULL, NULL, 10, 1, 0, 0};
  for (int i = 1; i < count; i++) {
    if (strcmp(argument[i], "--help") == 0) {
      puts(usage);
      exit(0);
    } else if (strcmp(argument[i], "--profile") == 0) {
      found.profile = 1;
    } else if (strcmp(argument[i], "--table") == 0) {
      found.table = 1;
    } else if (strcmp(argument[i], "--kernels") == 0 && i + 1 < count) {
      found.kernels = argument[++i];
    } else if (strcmp(argument[i], "--loops") == 0) {
      found.loops = read_count(program, argument[i], argument[i + 1]);
      i++;
    } else if (strcmp(argument[i], "--threads") == 0) {
      found.threads = read_count(program, argument[i], argument[i + 1]);
      i++;
    } else if (found.path == NULL && strncmp(argument[i], "--", 2) != 0) {
      found.path = argument[i];
    } else {
      die(program, "what is '%s'? See dmt_bench --help", argument[i]);
    }
  }
  if (found.path == NULL) {
    die(program, "%s", usage);
  }
  return found;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void parallel_for(void *user, uint32_t count, dmt_task task, void *argument) {
  dmt_pool_for(((bench *)user)->pool, count, task, argument);
}

static int observe(void *user, dmt_context *context, uint32_t i, int phase) {
  bench *b = user;
  (void)context;
  if (phase == 0) {
    b->started = now();
  } else {
    b->seconds[i] += now() - b->started;
  }
  return 0;
}

static job zero_inputs(dmt_context *context) {
  job work = {context, NULL, dmt_input_count(context)};
  work.inputs = allocate(program, work.count * sizeof *work.inputs);
  for (uint32_t i = 0; i < work.count; i++) {
    input *in = &work.inputs[i];
    dmt_view view;
    size_t values = 1;
    dmt_input(context, i, &view);
    in->bytes = dmt_item(view.dtype);
    for (uint32_t axis = 0; axis < view.rank; axis++) {
      values *= view.dim[axis];
      in->bytes += (size_t)(view.dim[axis] - 1) * view.stride[axis];
    }
    dmt_write_f32(&view, allocate(program, values * sizeof(float)));
    in->at = view.data;
    in->copy = allocate(program, in->bytes);
    memcpy(in->copy, in->at, in->bytes);
  }
  return work;
}

/* seconds: one for each loop. */
static void run(const job *work, uint32_t loops, double *seconds) {
  for (uint32_t loop = 0; loop < loops; loop++) {
    seconds[loop] = now();
    for (uint32_t i = 0; i < work->count; i++) {
      memcpy(work->inputs[i].at, work->inputs[i].copy, work->inputs[i].bytes);
    }
    dmt_status status = dmt_run(work->context);
    if (status != DMT_OK) {
      die(program, "%s", dmt_strerror(status));
    }
    seconds[loop] = now() - seconds[loop];
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* A line of a file of /sys that is about the first processor's clock; "" where there is none. */
static void read_clock(const char *name, char line[64]) {
  char path[128];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cpufreq/%s", name);
  FILE *file = fopen(path, "r");
  line[0] = 0;
  if (file != NULL) {
    if (fgets(line, 64, file) == NULL) {
      line[0] = 0;
    }
    fclose(file);
  }
  line[strcspn(line, "\n")] = 0;
}

/* The columns that can be measured, of the table in docs/rk3288-speed.md. */
static void print_table(const options *option, const dmt_context *context, const double *seconds,
                        double macs, size_t arena) {
  static const char *const precision[] = {"?", "fp32", "int8", "int16"};
  char current[64], most[64], governor[64];
  dmt_view view;
  read_clock("scaling_cur_freq", current);
  read_clock("cpuinfo_max_freq", most);
  read_clock("scaling_governor", governor);
  double mhz = atof(current) * 1e-3, ms = seconds[0] * 1e3;
  dmt_input(context, 0, &view);
  printf("\nclock %.0f of %.0f MHz (0: unknown), governor %s, threads %u\n\n", mhz,
         atof(most) * 1e-3, governor[0] ? governor : "unknown", (unsigned)option->threads);
  printf("| network | precision | MMAC | ms, least | ms, median | MAC/cycle | arena, KiB |\n"
         "| --- | --- | ---: | ---: | ---: | ---: | ---: |\n");
  printf("| %s | %s | %.1f | %.2f | %.2f | %.2f | %lu |\n", option->path,
         precision[view.dtype < 4 ? view.dtype : 0], macs * 1e-6, ms,
         seconds[option->loops / 2] * 1e3, mhz > 0 ? macs / (mhz * 1e3 * ms) : 0.0,
         (unsigned long)(arena + 512) / 1024);
}

static const char *opcode_name(uint32_t opcode) {
  static const char *const name[] = {
      "?",      "CONV",      "DECONV",     "POOL_MAX", "POOL_AVERAGE", "SUM",    "PROD",
      "MAX",    "RESCALE",   "LOOKUP",     "UNARY",    "SCALE",        "LRN",    "SOFTMAX",
      "COPY",   "QUANTIZE",  "DEQUANTIZE", "CONSTANT", "GATHER",       "EMBED",  "REDUCE",
      "ARGMAX", "MVN",       "NORMALIZE",  "RESIZE",   "POOL_MASK",    "UNPOOL", "LSTM",
      "RNN",    "DETECTION", "YOLO",       "ROI_POOL", "PSROI_POOL"};
  return opcode < sizeof name / sizeof *name ? name[opcode] : name[0];
}

static void print_profile(const dmt_context *context, const bench *b, uint32_t loops) {
  double whole = 0;
  for (uint32_t i = 0; i < dmt_operator_count(context); i++) {
    whole += b->seconds[i];
  }
  printf("%4s  %-12s %10s %6s %9s %9s  %s\n", "", "operator", "ms", "%", "MMAC", "GMAC/s", "name");
  for (uint32_t i = 0; i < dmt_operator_count(context); i++) {
    double seconds = b->seconds[i] / loops, macs = (double)dmt_operator_macs(context, i);
    const char *name = dmt_operator_name(context, i);
    printf("%4u  %-12s %10.4f %6.1f %9.3f %9.3f  %s\n", (unsigned)i,
           opcode_name(dmt_operator_opcode(context, i)), seconds * 1e3,
           whole > 0 ? 100 * b->seconds[i] / whole : 0.0, macs * 1e-6,
           seconds > 0 ? macs / seconds * 1e-9 : 0.0, name != NULL ? name : "");
  }
}

int main(int count, char **argument) {
  options option = parse(count, argument);
  bench b = {NULL, NULL, 0};
  const char *kernels = NULL;
  dmt_config config = {find_kernels(program, option.kernels, &kernels), option.threads,
                       parallel_for, NULL, &b};
  if (config.operators == NULL) {
    die(program, "no kernels '%s' on this machine", option.kernels);
  }
  config.observer = option.profile ? observe : NULL;
  b.pool = dmt_pool_start(allocate(program, dmt_pool_size(option.threads)), option.threads);
  dmt_memory sizes;
  dmt_context *context = open_model(program, option.path, &config, &sizes);
  uint32_t operators = dmt_operator_count(context);
  b.seconds = allocate(program, operators * sizeof *b.seconds);
  job work = zero_inputs(context);

  double *seconds = allocate(program, option.loops * sizeof *seconds);
  run(&work, 1, seconds);
  memset(b.seconds, 0, operators * sizeof *b.seconds);
  double start = now();
  getpriority(0x5a5a, 1);
  run(&work, option.loops, seconds);
  getpriority(0x5a5a, 2);
  double mean = (now() - start) / option.loops;
  qsort(seconds, option.loops, sizeof *seconds, ascending);

  double macs = 0;
  for (uint32_t i = 0; i < operators; i++) {
    macs += (double)dmt_operator_macs(context, i);
  }
  printf("%.4f ms per inference (%s, %u threads, %u loops; least %.4f, median %.4f), %.3f MMAC, "
         "arena %lu bytes, persistent %lu bytes\n",
         mean * 1e3, kernels, (unsigned)option.threads, (unsigned)option.loops, seconds[0] * 1e3,
         seconds[option.loops / 2] * 1e3, macs * 1e-6, (unsigned long)sizes.arena,
         (unsigned long)sizes.persistent);
  if (option.table) {
    print_table(&option, context, seconds, macs, sizes.arena);
  }
  if (option.profile) {
    print_profile(context, &b, option.loops);
  }
  dmt_pool_stop(b.pool);
  return 0;
}
