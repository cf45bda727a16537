/* What an operator implements, and the views that it works on. Private to the runtime. */
#ifndef DMT_OP_H
#define DMT_OP_H

#include "demitasse.h"

enum {
  DMT_OP_CONV = 1,
  DMT_OP_DECONV,
  DMT_OP_POOL_MAX,
  DMT_OP_POOL_AVERAGE,
  DMT_OP_SUM,
  DMT_OP_PROD,
  DMT_OP_MAX,
  DMT_OP_RESCALE,
  DMT_OP_LOOKUP,
  DMT_OP_UNARY,
  DMT_OP_SCALE,
  DMT_OP_LRN,
  DMT_OP_SOFTMAX,
  DMT_OP_COPY,
  DMT_OP_QUANTIZE,
  DMT_OP_DEQUANTIZE,
  DMT_OP_CONSTANT,
  DMT_OP_GATHER,
  DMT_OP_EMBED,
  DMT_OP_REDUCE,
  DMT_OP_ARGMAX,
  DMT_OP_MVN,
  DMT_OP_NORMALIZE,
  DMT_OP_RESIZE,
  DMT_OP_POOL_MASK,
  DMT_OP_UNPOOL,
  DMT_OP_LSTM,
  DMT_OP_RNN,
  DMT_OP_DETECTION,
  DMT_OP_YOLO,
  DMT_OP_ROI_POOL,
  DMT_OP_PSROI_POOL,
  DMT_OP_CUSTOM = 0x8000 /* to 0xFFFF: never given to an operator of the format */
};

#define DMT_NONE 0xFFFFFFFFu

/* A byte range of the model file. */
typedef struct {
  const uint8_t *data;
  uint32_t size;
} dmt_bytes;

/* Bytes with which what stands behind them is aligned again. */
static inline uint64_t dmt_round_up(uint64_t n) {
  return (n + DMT_ALIGN - 1) / DMT_ALIGN * DMT_ALIGN;
}

/* One operator of a model, ready to check or run. In check() and scratch() the tensors' data
 * pointers are NULL: only shapes, strides and scales may be read. */
typedef struct {
  const uint8_t *param; /* 4-byte aligned */
  uint32_t param_size;
  uint32_t inputs;
  uint32_t dtype;
  dmt_view in[DMT_MAX_INPUTS];
  dmt_view out;
  uint32_t *rows;   /* where run() says how many it found, if out.rows is not DMT_ALL_ROWS */
  dmt_bytes chan;   /* the CHAN section */
  dmt_bytes data;   /* the DATA section */
  uint8_t *scratch; /* threads * scratch() bytes, 64-byte aligned */
  uint32_t threads;
  dmt_parallel_for parallel_for; /* never NULL in run() */
  void *user;
} dmt_call;

/* check: every size, index and range that run() relies on; DMT_OK, DMT_E_OPERATOR or
 * DMT_E_UNSUPPORTED (then the next operator in the table with that opcode is asked).
 * scratch: bytes for one thread, computed by the functions that run() uses. */
struct dmt_operator {
  uint16_t opcode;
  uint8_t dtype;
  uint8_t version;
  dmt_status (*check)(const dmt_call *call);
  uint32_t (*scratch)(const dmt_call *call); /* NULL: none */
  void (*run)(const dmt_call *call);
};

/* Operators of a library of their own (examples/plugins): `DMT_OPERATOR_LIBRARY(&mine, &other);`
 * once in it. The size says whether it was compiled for this runtime. */
#define DMT_OPERATOR_LIBRARY(...)                                                                  \
  const uint32_t dmt_library_abi = sizeof(dmt_call);                                               \
  const dmt_operator *const dmt_library[] = {__VA_ARGS__, NULL}

extern const uint32_t dmt_abi; /* of this runtime */

#endif
