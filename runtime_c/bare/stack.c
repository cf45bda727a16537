/* How much of the stack a program used: it is painted before main, and looked at afterwards. */
#include "bare.h"

#include <stdint.h>

#define PAINT 0xA5A5A5A5u

extern volatile uint32_t bare_stack_painted[], bare_stack_top[]; /* the part to look at */

void bare_stack_paint(void) {
  volatile uint32_t *end = (volatile uint32_t *)__builtin_frame_address(0) - 16;
  for (volatile uint32_t *at = bare_stack_painted; at < end; at++) {
    *at = PAINT;
  }
}

unsigned bare_stack_used(void) {
  volatile uint32_t *at = bare_stack_painted;
  while (at < bare_stack_top && *at == PAINT) {
    at++;
  }
  return (unsigned)((uintptr_t)bare_stack_top - (uintptr_t)at);
}
