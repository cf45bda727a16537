/* The program on the bare machine: every model's sample, and what its outputs should give. */
#include "bare.h"
#include "dmt_packed.h"

static void print_hex(uint32_t value) {
  char text[9];
  for (int i = 0; i < 8; i++) {
    text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
  }
  text[8] = 0;
  bare_print(text);
}

static void print_number(unsigned value) {
  char text[11];
  int at = (int)sizeof text - 1;
  for (text[at] = 0; value > 0 || at == (int)sizeof text - 1; value /= 10) {
    text[--at] = (char)('0' + value % 10);
  }
  bare_print(text + at);
}

int main(void) {
  int failed = 0;
  for (uint32_t i = 0; i < dmt_packed_count; i++) {
    const dmt_packed *packed = &dmt_packed_models[i];
    uint32_t crc;
    int good;
    dmt_status status = dmt_packed_test(packed, &crc, &good);
    bare_print(packed->name);
    bare_print(": status ");
    print_hex((uint32_t)status);
    bare_print(", output CRC ");
    print_hex(crc);
    bare_print(good ? ", as expected\n" : ", WRONG\n");
    failed |= !good;
  }
  bare_print("stack: ");
  print_number(bare_stack_used());
  bare_print(" bytes\n");
  return failed;
}
