/* Reset of an ARMv7-M: the vector table, initialised data, main. */
#include "bare.h"

#include <stdint.h>

extern uint32_t bare_data_load[], bare_data_start[], bare_data_end[], bare_bss_start[],
    bare_bss_end[], bare_stack_top[];

void bare_reset(void) {
  const uint32_t *from = bare_data_load;
  for (uint32_t *to = bare_data_start; to < bare_data_end; to++) {
    *to = *from++;
  }
  for (uint32_t *to = bare_bss_start; to < bare_bss_end; to++) {
    *to = 0;
  }
  *(volatile uint32_t *)0xE000ED14u |= 1u << 3; /* CCR: unaligned accesses fault */
#if defined(__ARM_FP)
  *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the FPU is ours */
  __asm__ volatile("dsb\n isb" ::: "memory");
#endif
  bare_stack_paint();
  bare_exit(main());
}

static void fault(void) {
  bare_print("fault\n");
  bare_exit(3);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    bare_stack_top,      (const void *)bare_reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault,      (const void *)fault,
};
