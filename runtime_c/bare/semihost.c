/* Semihosting: the debugger, or QEMU, prints and ends the program for us. Put a UART here. */
#include "bare.h"

#include <stdint.h>

#define SYS_WRITE0 0x04
#define SYS_EXIT_EXTENDED 0x20
#define STOPPED_APPLICATION_EXIT 0x20026u

static void call(int operation, const void *argument) {
  register int r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory", "cc", "lr");
#elif defined(__thumb__)
  __asm__ volatile("svc 0xAB" : "+r"(r0) : "r"(r1) : "memory", "cc", "lr");
#else
  __asm__ volatile("svc 0x123456" : "+r"(r0) : "r"(r1) : "memory", "cc", "lr");
#endif
}

void bare_print(const char *text) { call(SYS_WRITE0, text); }

void bare_exit(int status) {
  const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)status};
  call(SYS_EXIT_EXTENDED, block);
  for (;;) {
  }
}
