/* The models of a packed program, and its test of itself. `demitasse pack` writes the tables. */
#ifndef DMT_PACKED_H
#define DMT_PACKED_H

#include "demitasse.h"

typedef struct {
  const char *name;
  const uint8_t *model;
  size_t size;
  size_t persistent, arena; /* bytes, with that many threads */
  uint32_t threads;
  const uint8_t *sample; /* elements of all inputs as stored, dense in Caffe's order */
  uint32_t crc; /* of the outputs for that sample: zlib's CRC-32 of their elements likewise */
  const uint8_t *answer; /* those float32 elements, where kernels may round them otherwise; NULL */
} dmt_packed;

extern const dmt_packed dmt_packed_models[];
extern const uint32_t dmt_packed_count;
extern const dmt_operator *const dmt_packed_operators[]; /* all that the models use, no other */

/* Memory for one model at a time. */
extern uint8_t dmt_packed_persistent[], dmt_packed_arena[];

/* Both may be NULL: one thread does all. */
dmt_status dmt_packed_open(const dmt_packed *packed, dmt_parallel_for parallel_for, void *user,
                           dmt_context **context);
/* Run the sample; `crc` is of what came out, `good` whether that is as expected. */
dmt_status dmt_packed_test(const dmt_packed *packed, uint32_t *crc, int *good);

#endif
