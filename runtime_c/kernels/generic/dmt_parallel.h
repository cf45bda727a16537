/* Sharing work between threads. What a task computes never depends on how many there are. */
#ifndef DMT_PARALLEL_H
#define DMT_PARALLEL_H

#include "dmt_op.h"

enum { DMT_PRODUCTS_WORTH = 100000 }; /* products that are worth a thread */

typedef struct {
  uint32_t begin, end;
} dmt_range;

/* The part of [0, total) that is task `index` of `tasks`. */
static inline dmt_range dmt_share(uint32_t total, uint32_t index, uint32_t tasks) {
  dmt_range range = {(uint32_t)((uint64_t)total * index / tasks),
                     (uint32_t)((uint64_t)total * (index + 1) / tasks)};
  return range;
}

/* As many tasks as there are threads and pieces of work worth the trouble. */
static inline uint32_t dmt_tasks(const dmt_call *call, uint64_t work, uint64_t worth,
                                 uint32_t most) {
  uint64_t tasks = 1 + work / worth;
  tasks = tasks < call->threads ? tasks : call->threads;
  tasks = tasks < most ? tasks : most;
  return tasks > 0 ? (uint32_t)tasks : 1;
}

/* Work over two things, of which the threads share one: its pieces are tasks, the other has one. */
static inline uint32_t dmt_tasks_over(const dmt_call *call, uint64_t work, int by_first,
                                      uint32_t first, uint32_t second, uint32_t *first_tasks,
                                      uint32_t *second_tasks) {
  uint32_t tasks = dmt_tasks(call, work, DMT_PRODUCTS_WORTH, by_first ? first : second);
  *first_tasks = by_first ? tasks : 1;
  *second_tasks = by_first ? 1 : tasks;
  return tasks;
}

static inline void dmt_parallel(const dmt_call *call, uint32_t tasks, dmt_task task,
                                void *argument) {
  if (tasks == 1) {
    task(argument, 0);
  } else {
    call->parallel_for(call->user, tasks, task, argument);
  }
}

#endif
