/* Which kernels this machine can run. */
#include "../kernels/neon/dmt_neon.h"
#include "dmt_op.h"

const uint32_t dmt_abi = sizeof(dmt_call);

typedef struct {
  const char *name;
  const dmt_operator *const *operators;
} kernel_set;

static int equal(const char *a, const char *b) {
  while (*a && *a == *b) {
    a++;
    b++;
  }
  return *a == *b;
}

const dmt_operator *const *dmt_kernels(const char *name, const char **found) {
  /* The fastest first. */
  const kernel_set sets[] = {
#if defined(__x86_64__)
      {"avx2", __builtin_cpu_supports("avx2") ? dmt_avx2 : NULL},
#elif defined(DMT_NEON)
      {"neon", dmt_neon},
#endif
      {"generic", dmt_generic},
  };
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    if (sets[i].operators != NULL && (name == NULL || equal(name, sets[i].name))) {
      if (found != NULL) {
        *found = sets[i].name;
      }
      return sets[i].operators;
    }
  }
  return NULL;
}
