/* Calls one operator the way the core would, for tests that fill the call themselves. */
#include "dmt_op.h"

static const dmt_operator *const *ops_table(int avx2) {
#if defined(__x86_64__)
  return avx2 ? dmt_avx2 : dmt_generic;
#else
  (void)avx2;
  return dmt_generic;
#endif
}

/* The first operator of the set that takes the call; its status. */
static const dmt_operator *ops_find(int avx2, uint32_t opcode, const dmt_call *call,
                                    dmt_status *status) {
  *status = DMT_E_UNSUPPORTED;
  for (const dmt_operator *const *next = ops_table(avx2); *next != NULL; next++) {
    if ((*next)->opcode == opcode && (*next)->dtype == call->dtype) {
      *status = (*next)->check(call);
      if (*status != DMT_E_UNSUPPORTED) {
        return *next;
      }
    }
  }
  return NULL;
}

/* Last task first: no order is promised. */
static void ops_backwards(void *user, uint32_t count, dmt_task task, void *argument) {
  (void)user;
  while (count-- > 0) {
    task(argument, count);
  }
}

/* Data pointers are hidden from check() and scratch(), as the core does. */
static dmt_call ops_blind(const dmt_call *call) {
  dmt_call blind = *call;
  blind.out.data = NULL;
  for (uint32_t i = 0; i < DMT_MAX_INPUTS; i++) {
    blind.in[i].data = NULL;
  }
  blind.scratch = NULL;
  return blind;
}

/* Status of the call, and the scratch of one thread. */
int ops_check(int avx2, uint32_t opcode, const dmt_call *call, uint32_t *scratch) {
  dmt_call blind = ops_blind(call);
  dmt_status status;
  const dmt_operator *op = ops_find(avx2, opcode, &blind, &status);
  *scratch = status == DMT_OK && op->scratch != NULL ? op->scratch(&blind) : 0;
  return (int)status;
}

int ops_run(int avx2, uint32_t opcode, dmt_call *call) {
  dmt_call blind = ops_blind(call);
  dmt_status status;
  const dmt_operator *op = ops_find(avx2, opcode, &blind, &status);
  if (status == DMT_OK) {
    call->parallel_for = ops_backwards;
    op->run(call);
  }
  return (int)status;
}
