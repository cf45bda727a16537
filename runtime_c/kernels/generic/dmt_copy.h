/* Moving elements. */
#ifndef DMT_COPY_H
#define DMT_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void dmt_copy_elements(uint8_t *to, size_t to_step, const uint8_t *from,
                                     size_t from_step, uint32_t n, uint32_t item) {
  if (to_step == item && from_step == item) {
    memmove(to, from, (size_t)n * item);
    return;
  }
  for (uint32_t i = 0; i < n; i++) {
    void *y = to + i * to_step;
    const void *x = from + i * from_step;
    if (item == 1) {
      *(uint8_t *)y = *(const uint8_t *)x;
    } else if (item == 2) {
      *(uint16_t *)y = *(const uint16_t *)x;
    } else {
      *(uint32_t *)y = *(const uint32_t *)x;
    }
  }
}

/* A run of elements, operand 1 to operand 0 (dmt_loop.h); the context is their size. */
static inline void dmt_copy_line(const void *context, uint32_t n, uint8_t *const *at,
                                 const size_t *step) {
  dmt_copy_elements(at[0], step[0], at[1], step[1], n, *(const uint32_t *)context);
}

#endif
