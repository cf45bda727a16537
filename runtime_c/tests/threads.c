/* Two threads, each with a context and a pool of its own, on one model; ThreadSanitizer judges.
 *
 *   threads MODEL.demi
 *
 * Every run must give the bytes that a single thread gives, for any number of workers.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include <pthread.h>
#include <sched.h>

#include "../programs/dmt_file.h"
#include "dmt_internal.h"
#include "dmt_pool.h"
#include "dmt_quantize.h"

#define LOOPS 20u
#define MOST_THREADS 4u

static const char program[] = "threads";

typedef struct {
  const void *model;
  size_t size;
  uint32_t threads, failed;
  uint32_t crc[LOOPS];
} job;

static size_t extent(const dmt_view *view) {
  size_t bytes = dmt_item(view->dtype);
  for (uint32_t axis = 0; axis < view->rank; axis++) {
    bytes += (size_t)(view->dim[axis] - 1) * view->stride[axis];
  }
  return bytes;
}

/* Where workers stand: each on one processor that this process may use. */
static void note(void *argument, uint32_t index) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    ((int *)argument)[index] = CPU_COUNT(&set);
  }
}

static int pinned(dmt_pool *pool, uint32_t threads) {
  cpu_set_t set;
  uint64_t processors = 0;
  int counts[64] = {0}, all = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  for (unsigned i = 0; i < 64; i++) {
    processors |= (uint64_t)(CPU_ISSET(i, &set) != 0) << i;
  }
  int good = dmt_pool_pin(pool, 0) == 0 && dmt_pool_pin(pool, processors) == threads - 1;
  dmt_pool_for(pool, 64, note, counts);
  for (unsigned i = 0; i < 64; i++) {
    good &= counts[i] == 1 || counts[i] == all;
  }
  return good;
}

static void *run(void *user) {
  job *work = user;
  dmt_pool *pool = dmt_pool_start(allocate(program, dmt_pool_size(work->threads)), work->threads);
  const dmt_config config = {dmt_kernels("generic", NULL), work->threads, dmt_pool_for, NULL, pool};
  dmt_memory needs;
  dmt_context *context;
  work->failed |= !pinned(pool, work->threads);
  if (dmt_sizes(&config, work->model, work->size, &needs) != DMT_OK ||
      dmt_init(&config, work->model, work->size, allocate(program, needs.persistent),
               needs.persistent, allocate(program, needs.arena), needs.arena, &context) != DMT_OK) {
    work->failed = 1;
    return NULL;
  }
  for (uint32_t loop = 0; loop < LOOPS; loop++) {
    dmt_view view;
    for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
      uint8_t *at = view.data;
      for (size_t k = 0; view.dtype != DMT_F32 && k < extent(&view); k++) {
        at[k] = (uint8_t)(k * 37 + loop * 11);
      }
    }
    work->failed |= dmt_run(context) != DMT_OK;
    work->crc[loop] = 0;
    for (uint32_t i = 0; dmt_output(context, i, &view) == DMT_OK; i++) {
      work->crc[loop] = dmt_crc32(work->crc[loop], view.data, extent(&view));
    }
  }
  dmt_pool_stop(pool);
  return NULL;
}

int main(int count, char **argument) {
  if (count != 2) {
    die(program, "usage: threads MODEL.demi");
  }
  size_t size;
  const void *model = read_file(program, argument[1], &size);
  job expected = {model, size, 1, 0, {0}};
  run(&expected);
  for (uint32_t threads = 1; threads <= MOST_THREADS; threads++) {
    job jobs[2] = {{model, size, threads, 0, {0}}, {model, size, threads, 0, {0}}};
    pthread_t other;
    if (pthread_create(&other, NULL, run, &jobs[1]) != 0) {
      die(program, "no thread");
    }
    run(&jobs[0]);
    pthread_join(other, NULL);
    for (int i = 0; i < 2; i++) {
      if (jobs[i].failed || memcmp(jobs[i].crc, expected.crc, sizeof expected.crc) != 0) {
        die(program, "other results with %u threads", (unsigned)threads);
      }
    }
  }
  if (expected.failed || expected.crc[0] == expected.crc[1]) {
    die(program, "the model does not run, or does not look at its inputs");
  }
  puts("same results");
  return 0;
}
