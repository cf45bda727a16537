/* Threads for dmt_config.parallel_for, on systems with pthreads. The core does not need them.
 *
 *   dmt_pool *pool = dmt_pool_start(memory, threads);    memory: dmt_pool_size(threads) bytes
 *   config.threads = threads, config.parallel_for = dmt_pool_for, config.user = pool;
 *   ... dmt_init, dmt_run ...
 *   dmt_pool_stop(pool);
 */
#ifndef DMT_POOL_H
#define DMT_POOL_H

#include "demitasse.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dmt_pool dmt_pool;

/* Bytes of a pool of that many threads, the caller's own included. */
size_t dmt_pool_size(uint32_t threads);
/* Start threads - 1 workers. Where the system gives fewer, the pool works with those. */
dmt_pool *dmt_pool_start(void *memory, uint32_t threads);
/* A hint: let workers keep to the processors whose bits are set, one each in turn. The caller's own
 * thread stays free. How many did: 0 where the system cannot (glibc on Linux can). */
uint32_t dmt_pool_pin(dmt_pool *pool, uint64_t processors);
/* A dmt_parallel_for: `user` is the pool. One caller at a time. */
void dmt_pool_for(void *user, uint32_t count, dmt_task task, void *argument);
/* End the workers; the memory is the caller's again. */
void dmt_pool_stop(dmt_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
