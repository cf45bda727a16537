/* The three functions that compilers call on their own, too. Replace them by a C library's. */
#include <string.h>

#include <stdint.h>

/* The compiler must not see a loop that it could turn into a call of the very function. */
#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  uint8_t *out = to;
  const uint8_t *in = from;
  for (; size > 0; size--) {
    *out++ = *in++;
    KEEP_LOOP();
  }
  return to;
}

void *memmove(void *to, const void *from, size_t size) {
  uint8_t *out = to;
  const uint8_t *in = from;
  if ((uintptr_t)to - (uintptr_t)from >= size) {
    return memcpy(to, from, size);
  }
  while (size-- > 0) {
    out[size] = in[size];
    KEEP_LOOP();
  }
  return to;
}

void *memset(void *at, int value, size_t size) {
  uint8_t *out = at;
  for (; size > 0; size--) {
    *out++ = (uint8_t)value;
    KEEP_LOOP();
  }
  return at;
}
