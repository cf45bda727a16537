/* libFuzzer on model files: check, sizes, init, pictures, run, outputs.
 *
 * Inputs are repaired first, else the checksum would hide everything behind it. The mutator changes
 * fields of the format as often as bytes.
 */
#define _POSIX_C_SOURCE 200809L
static const char program[] = "fuzz_model";
#define MOST_MEMORY (1u << 16) /* more would only be slower */

#include "../tests/hostile.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  state = seed;
  if (size < DMT_HEADER_BYTES || random_below(2) == 0) {
    size = LLVMFuzzerMutate(data, size, most);
  } else {
    for (uint32_t changes = 1 + random_below(3); changes > 0; changes--) {
      mutate(data, (uint32_t)size);
    }
  }
  if (size >= DMT_HEADER_BYTES) {
    repair(data, (uint32_t)size);
  }
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const dmt_config config = {dmt_kernels(getenv("KERNELS"), NULL), 3, NULL, NULL, NULL};
  uint8_t *model = exact(size);
  memcpy(model, data, size);
  if (size >= DMT_HEADER_BYTES) {
    repair(model, (uint32_t)size);
    state = dmt_u32(model + DMT_HEADER_CRC);
  }
  if (dmt_check(&config, model, size, NULL) == DMT_OK) {
    use(&config, model, size);
  }
  free(model);
  return 0;
}
