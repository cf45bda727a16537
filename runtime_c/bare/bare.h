/* What a program on the bare machine has: a line to the debugger and an end. */
#ifndef BARE_H
#define BARE_H

void bare_print(const char *text);
/* 0: all is well. Under QEMU the emulator's exit status. */
void bare_exit(int status) __attribute__((noreturn));

/* Before main, and bytes of the stack touched since (at most 8 KB are looked at). */
void bare_stack_paint(void);
unsigned bare_stack_used(void);

int main(void);

#endif
