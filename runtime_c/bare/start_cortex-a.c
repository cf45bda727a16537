/* Reset of an ARMv7-A in supervisor mode: NEON on, memory cached, then main.
 *
 * Without the MMU all memory is strongly ordered: slow, and unaligned loads trap. A flat table of
 * sections of 1 MB says that the RAM of the linker script is normal memory and all else a device.
 */
#include "bare.h"

#include <stdint.h>

#define SECTION 0x00000C02u        /* a section of 1 MB, all may access it */
#define NORMAL 0x0000100Cu         /* cached, write back, allocate on write */
#define DEVICE 0x00000014u         /* shared device, never executed */
#define MMU_AND_CACHES 0x00001005u /* SCTLR: I, C, M */

extern uint32_t bare_bss_start[], bare_bss_end[];
extern const char bare_ram_start[], bare_ram_end[];

static uint32_t sections[4096] __attribute__((aligned(16384)));

static void start_caches(void) {
  uint32_t first = (uint32_t)(uintptr_t)bare_ram_start >> 20;
  uint32_t last = ((uint32_t)(uintptr_t)bare_ram_end - 1) >> 20;
  for (uint32_t i = 0; i < 4096; i++) {
    sections[i] = i << 20 | SECTION | (i >= first && i <= last ? NORMAL : DEVICE);
  }
  uint32_t control;
  __asm__ volatile("mcr p15, 0, %0, c8, c7, 0" ::"r"(0));          /* TLB */
  __asm__ volatile("mcr p15, 0, %0, c2, c0, 2" ::"r"(0));          /* TTBCR */
  __asm__ volatile("mcr p15, 0, %0, c2, c0, 0" ::"r"(sections));   /* TTBR0 */
  __asm__ volatile("mcr p15, 0, %0, c3, c0, 0" ::"r"(0xFFFFFFFF)); /* DACR */
  __asm__ volatile("dsb\n isb" ::: "memory");
  __asm__ volatile("mrc p15, 0, %0, c1, c0, 0" : "=r"(control));
  control = (control | MMU_AND_CACHES) & ~2u; /* no alignment faults */
  __asm__ volatile("mcr p15, 0, %0, c1, c0, 0\n isb" ::"r"(control) : "memory");
}

__attribute__((used)) static void bare_start(void) {
  for (uint32_t *to = bare_bss_start; to < bare_bss_end; to++) {
    *to = 0;
  }
  start_caches();
  bare_stack_paint();
  bare_exit(main());
}

/* Before a stack and NEON are there, no compiled code may run. */
__asm__(".pushsection .text.bare_reset, \"ax\", %progbits\n"
        ".arm\n"
        ".global bare_reset\n"
        ".type bare_reset, %function\n"
        "bare_reset:\n"
        "  ldr sp, =bare_stack_top\n"
        "  mrc p15, 0, r0, c1, c0, 2\n"
        "  orr r0, r0, #0xF00000\n"
        "  mcr p15, 0, r0, c1, c0, 2\n"
        "  isb\n"
        "  mov r0, #0x40000000\n"
        "  vmsr fpexc, r0\n"
        "  blx bare_start\n"
        ".ltorg\n"
        ".popsection\n");
