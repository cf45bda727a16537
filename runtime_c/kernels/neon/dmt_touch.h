/* Loads a byte of each line of memory, in the order of the addresses: then what follows may take
 * them in another, which caches and memories take longer to bring. */
#ifndef DMT_TOUCH_H
#define DMT_TOUCH_H

#include <stddef.h>
#include <stdint.h>

enum { DMT_LINE = 64 };

static inline void dmt_touch(const void *from, size_t bytes) {
  const volatile uint8_t *at = from;
  for (size_t i = 0; i < bytes; i += DMT_LINE) {
    (void)at[i];
  }
}

#endif
