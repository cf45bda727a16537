/* Damage models on purpose, repair their checksum, and run whatever dmt_check lets pass.
 *
 *   mutate COUNT SEED MODEL.demi ...
 *
 * Built with -fsanitize=address,undefined, which ends the program at the first byte read or written
 * where it must not be. Prints how many mutants of each status there were.
 */
#define _POSIX_C_SOURCE 200809L
static const char program[] = "mutate";

#include "hostile.h"

int main(int count, char **argument) {
  if (count < 4) {
    die(program, "usage: mutate COUNT SEED MODEL.demi ...");
  }
  unsigned long statuses[DMT_E_STOPPED + 1] = {0};
  const dmt_config config = {dmt_kernels(getenv("KERNELS"), NULL), 3, NULL, NULL, NULL};
  state = strtoull(argument[2], NULL, 10);
  for (int file = 3; file < count; file++) {
    size_t size;
    uint8_t *original = read_file(program, argument[file], &size);
    for (unsigned long i = strtoul(argument[1], NULL, 10); i-- > 0;) {
      uint8_t *model = exact(size);
      memcpy(model, original, size);
      for (uint32_t changes = 1 + random_below(3); changes-- > 0;) {
        mutate(model, (uint32_t)size);
      }
      repair(model, (uint32_t)size);
      dmt_where where;
      dmt_status status = dmt_check(&config, model, size, &where);
      statuses[status]++;
      if (status == DMT_OK) {
        use(&config, model, size);
      }
      free(model);
    }
    free(original);
  }
  for (int i = 0; i <= DMT_E_STOPPED; i++) {
    printf("%d %lu %s\n", i, statuses[i], dmt_strerror((dmt_status)i));
  }
  return 0;
}
