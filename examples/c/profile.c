/* profile MODEL.demi: the time of each layer, by the observer that is called around it. */
#include "example.h"

#include <time.h>

#define LOOPS 10

typedef struct {
  double started, *seconds;
} profile;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int observe(void *user, dmt_context *context, uint32_t index, int phase) {
  profile *times = user;
  (void)context;
  if (phase == 0) {
    times->started = now();
  } else if (times->seconds != NULL) {
    times->seconds[index] += now() - times->started;
  }
  return 0; /* anything else stops the run: a watchdog */
}

int main(int count, char **argument) {
  if (count != 2) {
    fprintf(stderr, "usage: profile MODEL.demi\n");
    return 2;
  }
  profile times = {0, NULL};
  const dmt_config config = {dmt_kernels(NULL, NULL), 1, NULL, observe, &times};
  dmt_context *context = open_model(argument[1], &config, NULL, 0);
  check(dmt_run(context), argument[1]); /* warm up; on whatever the inputs hold */
  uint32_t layers = dmt_operator_count(context);
  times.seconds = memory(layers * sizeof *times.seconds);
  for (uint32_t i = 0; i < layers; i++) {
    times.seconds[i] = 0;
  }
  for (int i = 0; i < LOOPS; i++) {
    check(dmt_run(context), argument[1]);
  }
  double total = 0;
  for (uint32_t i = 0; i < layers; i++) {
    const char *name = dmt_operator_name(context, i);
    printf("%9.3f ms  %s\n", 1e3 * times.seconds[i] / LOOPS, name != NULL ? name : "?");
    total += times.seconds[i];
  }
  printf("%9.3f ms  all\n", 1e3 * total / LOOPS);
  return 0;
}
