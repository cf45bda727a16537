/* A pool of threads that share out the numbers 0 to count - 1 of one job at a time.
 *
 * The caller works too and waits only for numbers that a worker has taken: it never waits for a
 * thread that does not run (a worker not yet awake, or lost in a fork).
 */
#define _GNU_SOURCE /* pthread_setaffinity_np */
#include "dmt_pool.h"

#include <pthread.h>
#include <sched.h>

#include "dmt_port.h"

/* Looks at a counter before a thread goes to sleep: about as long as waking it up takes. */
#define SPINS 2000

struct dmt_pool {
  pthread_mutex_t lock;
  pthread_cond_t work, finished;
  uint32_t job; /* counts jobs: workers watch it */
  uint32_t count, next, running;
  dmt_task task;
  void *argument;
  int stop;
  uint32_t workers;
  pthread_t worker[];
};

static uint32_t look(const uint32_t *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
static void put(uint32_t *counter, uint32_t value) {
  __atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

/* Take numbers until there are none left. Called, and left, with the lock held. */
static void work_on(dmt_pool *pool) {
  while (pool->next < pool->count) {
    uint32_t i = pool->next++;
    dmt_task task = pool->task;
    void *argument = pool->argument;
    put(&pool->running, pool->running + 1);
    pthread_mutex_unlock(&pool->lock);
    task(argument, i);
    pthread_mutex_lock(&pool->lock);
    put(&pool->running, pool->running - 1);
  }
}

static void *worker_main(void *user) {
  dmt_pool *pool = user;
  uint32_t seen = 0;
  pthread_mutex_lock(&pool->lock);
  while (!pool->stop) {
    if (pool->job == seen) {
      pthread_mutex_unlock(&pool->lock);
      for (uint32_t i = 0; i < SPINS && look(&pool->job) == seen; i++) {
        DMT_RELAX();
      }
      pthread_mutex_lock(&pool->lock);
      while (pool->job == seen) {
        pthread_cond_wait(&pool->work, &pool->lock);
      }
    }
    seen = pool->job;
    work_on(pool);
    if (pool->running == 0) {
      pthread_cond_signal(&pool->finished);
    }
  }
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

size_t dmt_pool_size(uint32_t threads) {
  return sizeof(dmt_pool) + (size_t)threads * sizeof(pthread_t);
}

dmt_pool *dmt_pool_start(void *memory, uint32_t threads) {
  dmt_pool *pool = memory;
  memset(pool, 0, sizeof *pool);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->finished, NULL);
  while (pool->workers + 1 < threads &&
         pthread_create(&pool->worker[pool->workers], NULL, worker_main, pool) == 0) {
    pool->workers++;
  }
  return pool;
}

uint32_t dmt_pool_pin(dmt_pool *pool, uint64_t processors) {
  uint32_t pinned = 0;
#ifdef __GLIBC__
  for (uint32_t i = 0, at = 0; processors != 0 && i < pool->workers; i++, at++) {
    cpu_set_t one;
    while (!(processors >> at % 64 & 1)) {
      at++;
    }
    CPU_ZERO(&one);
    CPU_SET(at % 64, &one);
    pinned += pthread_setaffinity_np(pool->worker[i], sizeof one, &one) == 0;
  }
#else
  (void)pool;
  (void)processors;
#endif
  return pinned;
}

void dmt_pool_for(void *user, uint32_t count, dmt_task task, void *argument) {
  dmt_pool *pool = user;
  if (count < 2 || pool->workers == 0) {
    for (uint32_t i = 0; i < count; i++) {
      task(argument, i);
    }
    return;
  }
  pthread_mutex_lock(&pool->lock);
  pool->task = task;
  pool->argument = argument;
  pool->count = count;
  pool->next = 0;
  put(&pool->job, pool->job + 1);
  pthread_cond_broadcast(&pool->work);
  work_on(pool);
  if (pool->running > 0) {
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < SPINS && look(&pool->running) > 0; i++) {
      DMT_RELAX();
    }
    pthread_mutex_lock(&pool->lock);
  }
  while (pool->running > 0) {
    pthread_cond_wait(&pool->finished, &pool->lock);
  }
  pthread_mutex_unlock(&pool->lock);
}

void dmt_pool_stop(dmt_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  pool->stop = 1;
  put(&pool->job, pool->job + 1);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (uint32_t i = 0; i < pool->workers; i++) {
    pthread_join(pool->worker[i], NULL);
  }
  pthread_cond_destroy(&pool->finished);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->lock);
}
