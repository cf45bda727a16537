/* Status as text; not linked unless used. */
#include "demitasse.h"

const char *dmt_strerror(dmt_status status) {
  static const char *const text[] = {
      "no error",
      "null pointer or index out of range",
      "model or memory is not aligned to 64 bytes",
      "not a model.demi",
      "of another byte order",
      "of another format version",
      "needs a feature that this build lacks",
      "truncated: shorter than its header says",
      "damaged: the checksum does not match",
      "broken section, input, output or preprocessing record",
      "broken tensor record",
      "broken operator record or parameters",
      "no operator in this build for an opcode, type or packing",
      "persistent memory or arena is too small",
      "the frame or the input does not fit the model's preprocessing",
      "stopped by the observer",
  };
  return (unsigned)status < sizeof text / sizeof *text ? text[status] : "unknown status";
}
