/* A plug-in for qemu-arm that counts the instructions between getpriority(0x5a5a, 1) and
 * getpriority(0x5a5a, 2), and prints how many; of programs with one thread. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/* What is used of QEMU's interface for plug-ins, version 1. */
typedef struct qemu_plugin_tb block;
typedef void (*translated)(uint64_t id, block *tb);
typedef void (*syscalled)(uint64_t id, unsigned processor, int64_t number, uint64_t a, uint64_t b,
                          uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h);
enum { ADD_U64 = 0 };
size_t qemu_plugin_tb_n_insns(const block *tb);
void qemu_plugin_register_vcpu_tb_exec_inline(block *tb, int operation, void *at, uint64_t value);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translated callback);
void qemu_plugin_register_vcpu_syscall_cb(uint64_t id, syscalled callback);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments);

enum { GETPRIORITY = 96, MARK = 0x5a5a };
static uint64_t counted, begun;

static void add_block(uint64_t id, block *tb) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &counted, qemu_plugin_tb_n_insns(tb));
}

static void look(uint64_t id, unsigned processor, int64_t number, uint64_t a, uint64_t b,
                 uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)processor, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number == GETPRIORITY && a == MARK && b == 1) {
    begun = counted;
  } else if (number == GETPRIORITY && a == MARK && b == 2) {
    fprintf(stderr, "%" PRIu64 " instructions\n", counted - begun);
  }
}

int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments) {
  (void)info, (void)count, (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, add_block);
  qemu_plugin_register_vcpu_syscall_cb(id, look);
  return 0;
}
