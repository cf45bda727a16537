/* A hash of what every operator makes of pseudo-random calls, extremes included.
 *
 *   ops_selfcheck [generic|avx2|neon] [COUNT]
 *
 * All builds print the same: kernel sets, optimisation levels, compilers and targets. Every buffer
 * is an allocation of its own, so that the sanitizers see what leaves it.
 */
#include "dmt_op.h"
#include "dmt_quantize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1, hash = UINT64_C(0xCBF29CE484222325);

static uint32_t any(void) { /* splitmix64 */
  uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static uint32_t below(uint32_t limit) { return any() % limit; }
static uint32_t between(uint32_t low, uint32_t high) { return low + below(high - low + 1); }
static float real(void) { return (float)((int32_t)below(20001) - 10000) / 2500.0f; }

static void add_hash(const uint8_t *data, size_t size) { /* FNV-1a */
  for (size_t i = 0; i < size; i++) {
    hash = (hash ^ data[i]) * UINT64_C(0x100000001B3);
  }
}

static void *exact(size_t size) {
  void *memory = NULL;
  if (posix_memalign(&memory, DMT_ALIGN, size ? size : 1) != 0) {
    exit(2);
  }
  memset(memory, 0, size ? size : 1);
  return memory;
}

/* Random bytes of a type; integers may be at their extremes. */
static void fill(void *at, uint32_t count, uint32_t dtype, uint32_t extreme) {
  for (uint32_t i = 0; i < count; i++) {
    if (dtype == DMT_F32) {
      ((float *)at)[i] = real();
    } else if (dtype == DMT_S16) {
      ((int16_t *)at)[i] = (int16_t)(extreme ? (below(2) ? 32767 : -32768) : (int32_t)below(65536));
    } else {
      ((int8_t *)at)[i] = (int8_t)(extreme ? (below(2) ? 127 : -128) : (int32_t)below(256));
    }
  }
}

/* One call, its memory and the words of its record. */
typedef struct {
  dmt_call call;
  uint32_t opcode, param[128];
  size_t size[DMT_MAX_INPUTS + 1];
  void *memory[DMT_MAX_INPUTS + 1];
  int32_t *chan;
  uint8_t *data;
} test;

static void set_float(test *t, uint32_t word, float value) {
  memcpy(&t->param[word], &value, sizeof value);
}

/* A channels-last tensor, perhaps with a gap between pixels; index 8 is the output. */
static void tensor(test *t, uint32_t index, uint32_t dtype, const uint32_t *dim, uint32_t gap) {
  dmt_view *v = index == DMT_MAX_INPUTS ? &t->call.out : &t->call.in[index];
  uint32_t item = dmt_item(dtype), pixel = (dim[1] + gap) * item;
  uint32_t count = dim[0] * dim[2] * dim[3] * (dim[1] + gap);
  t->size[index] = (size_t)count * item;
  t->memory[index] = exact(t->size[index]);
  fill(t->memory[index], count, dtype, below(4) == 0);
  memset(v, 0, sizeof *v);
  v->data = t->memory[index];
  v->dtype = dtype;
  v->rank = 4;
  memcpy(v->dim, dim, 4 * sizeof *dim);
  v->dim[4] = v->dim[5] = 1;
  v->stride[0] = dim[2] * dim[3] * pixel;
  v->stride[1] = item;
  v->stride[2] = dim[3] * pixel;
  v->stride[3] = pixel;
  v->scale = dtype == DMT_F32 ? 1.0f : 0.25f;
  v->inv_scale = dtype == DMT_F32 ? 1.0f : 4.0f;
  v->zero_point = dtype == DMT_S8 ? (int32_t)below(256) - 128 : 0;
}

/* Input 0 and the output, of one shape. */
static void pair(test *t, uint32_t dtype, uint32_t out_dtype) {
  uint32_t dim[4] = {between(1, 2), between(1, 67), between(1, 6), between(1, 9)};
  tensor(t, 0, dtype, dim, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, out_dtype, dim, below(2) * 5);
  t->call.inputs = 1;
}

static int32_t multiplier(void) {
  static const int32_t odd[] = {INT32_MIN, -INT32_MAX, 0, 1, 1 << 30, INT32_MAX};
  uint32_t kind = below(4);
  return kind == 0 ? odd[below(6)] : (int32_t)((1u << 30) + below(1u << 30)) * (kind == 1 ? -1 : 1);
}

static uint32_t shift(void) { return below(4) ? below(12) : between(0, 31); }

/* CHAN: arrays of n words; of every three from `first` on, the last two are shifts. */
static void channels(test *t, uint32_t arrays, uint32_t first, uint32_t n, int floats) {
  uint32_t up = (n + 7) & ~7u;
  t->call.chan.size = arrays * up * 4;
  t->chan = exact(t->call.chan.size);
  t->call.chan.data = (const uint8_t *)t->chan;
  uint32_t plain = below(2); /* nothing goes to the left: what converters write */
  for (uint32_t a = 0; a < arrays; a++) {
    for (uint32_t i = 0; i < n; i++) {
      float f = real();
      int32_t value = a < first || (a - first) % 3 == 0 ? multiplier() : (int32_t)shift();
      value = plain && a >= first && (a - first) % 3 == 1 ? 0 : value;
      memcpy(&t->chan[a * up + i], floats ? (const void *)&f : (const void *)&value, 4);
    }
  }
}

static void blob(test *t, uint32_t count, uint32_t dtype) {
  t->call.data.size = count * dmt_item(dtype);
  t->data = exact(t->call.data.size);
  fill(t->data, count, dtype, 0);
  t->call.data.data = t->data;
}

static void range(test *t, uint32_t word, uint32_t dtype) {
  if (dtype == DMT_F32) {
    set_float(t, word, below(2) ? -3.0f : -1e30f);
    set_float(t, word + 1, below(2) ? 5.0f : 1e30f);
  } else {
    t->param[word] = (uint32_t)(dmt_lowest(dtype) + (int32_t)below(20));
    t->param[word + 1] = (uint32_t)(dmt_highest(dtype) - (int32_t)below(20));
  }
}

static uint32_t ceil8(uint32_t n) { return (n + 7) / 8 * 8; }

static uint32_t divisor_of(uint32_t o, uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t n) {
  uint32_t end = o * stride + kernel < n + 2 * pad ? o * stride + kernel : n + 2 * pad;
  return end - o * stride;
}

static void make_pool(test *t, uint32_t dtype) {
  uint32_t in[4] = {between(1, 2), between(1, 83), between(3, 8), between(3, 8)}, out[4];
  uint32_t large = below(8) == 0; /* more pixels than sums of s8 in s16 could hold */
  in[2] += large * 12;
  in[3] += large * 12;
  memcpy(out, in, sizeof out);
  for (uint32_t i = 0; i < 2; i++) {
    t->param[i] = large ? in[2 + i] : between(1, 3);
    t->param[2 + i] = between(1, 3);
    t->param[4 + i] = below(large ? 4 : t->param[i]);
    out[2 + i] = (in[2 + i] + 2 * t->param[4 + i] - t->param[i]) / t->param[2 + i] + 1;
  }
  tensor(t, 0, dtype, in, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  t->call.inputs = 1;
  t->call.param_size = 40;
  if (t->opcode == DMT_OP_POOL_MAX) {
    t->call.out.zero_point = t->call.in[0].zero_point;
  } else if (dtype != DMT_F32) {
    uint32_t count = 0;
    channels(t, 1, 1, 4 * 64, 0);
    for (uint32_t y = 0; y < out[2]; y++) {
      for (uint32_t x = 0; x < out[3]; x++, count++) {
        int32_t area = (int32_t)(divisor_of(y, t->param[0], t->param[2], t->param[4], in[2]) *
                                 divisor_of(x, t->param[1], t->param[3], t->param[5], in[3]));
        const int32_t record[4] = {area, 0x60000000 / area, 1, (int32_t)below(8)};
        if (count < 64) {
          memcpy(t->chan + 4 * count, record, sizeof record);
        }
      }
    }
    t->param[7] = count < 64 ? count : 64;
    range(t, 8, dtype);
  }
}

static void make_eltwise(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  t->call.inputs = t->opcode == DMT_OP_PROD ? 2 : between(2, 8);
  for (uint32_t i = 0; i < t->call.inputs; i++) {
    if (i > 0) {
      tensor(t, i, dtype, t->call.out.dim, below(2) * 2);
    }
    t->param[4 + 3 * i] = (uint32_t)multiplier();
    if (dtype == DMT_F32) {
      set_float(t, 4 + 3 * i, real());
    }
    t->param[5 + 3 * i] = shift();
    t->param[6 + 3 * i] = shift();
  }
  range(t, 0, dtype);
  t->param[2] =
      below(3) ? between(14, 24) - 8 * (uint32_t)(dtype == DMT_S16) : shift(); /* as converted */
  t->param[3] = shift();
  t->call.param_size = 16 + 12 * t->call.inputs;
}

static void make_rescale(test *t, uint32_t dtype) {
  pair(t, dtype, between(DMT_S8, DMT_S16));
  t->param[0] = below(2) ? t->call.out.dim[1] : 1;
  t->param[2] = below(2);
  range(t, 3, t->call.out.dtype);
  channels(t, 3 + 3 * t->param[2], 0, t->param[0], 0);
  t->call.param_size = 20;
}

static void make_lookup(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  t->param[2] = dtype == DMT_S8 ? 8 : between(7, 12);
  uint32_t count = (1u << t->param[2]) + (dtype == DMT_S16);
  blob(t, count, dtype);
  t->param[1] = count * dmt_item(dtype);
  t->call.param_size = 12;
}

static void make_unary(test *t, uint32_t dtype) {
  static const float powers[] = {1.0f, 2.0f, 0.5f, -0.75f, 3.0f};
  pair(t, dtype, dtype);
  t->param[0] = below(4) ? below(16) : 12 - 9 * below(2); /* more of Sigmoid and Swish */
  if (below(2)) {                                         /* beyond where exp ends, or nothing */
    static const float odd[] = {-95.0f, 95.0f, -1e30f, 1e-30f, 0.0f, 70.5f};
    ((float *)t->memory[0])[below((uint32_t)(t->size[0] / sizeof(float)))] = odd[below(6)];
  }
  set_float(t, 1, t->param[0] == 6 ? powers[below(5)] : -1.25f);
  set_float(t, 2, 1.5f);
  set_float(t, 3, 8.0f); /* bases stay above 0 */
  t->param[4] = below(2) ? t->call.out.dim[1] : 1;
  channels(t, 1, 0, t->param[4], 1);
  t->call.param_size = 24;
}

static void make_scale(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  t->param[0] = below(4);
  t->param[1] = between(1, 4 - t->param[0]);
  uint32_t words = 1;
  for (uint32_t i = 0; i < t->param[1]; i++) {
    words *= t->call.out.dim[t->param[0] + i];
  }
  words = (words + 15) / 16 * 16;
  channels(t, 2, 0, words, 1);
  t->param[2] = below(3) ? 0 : DMT_NONE;
  t->param[3] = below(3) ? words * 4 : DMT_NONE;
  t->call.param_size = 20;
}

static void make_lrn(test *t, uint32_t dtype) {
  static const float odd[] = {0.0f, 1e-20f, -3e-39f, 1e30f};
  pair(t, dtype, dtype);
  if (dtype == DMT_F32 && below(2)) {
    ((float *)t->memory[0])[below((uint32_t)(t->size[0] / sizeof(float)))] = odd[below(4)];
  }
  t->param[0] = below(2);
  t->param[1] = 1 + 2 * (below(4) ? below(4) : below(12));
  set_float(t, 2, 0.125f);
  set_float(t, 3, 0.75f);
  set_float(t, 4, 1.5f);
  t->param[6] = between(3, 7);
  t->param[7] = shift();
  t->param[8] = (uint32_t)multiplier();
  t->param[9] = shift();
  t->param[10] = shift();
  if (dtype != DMT_F32) {
    range(t, 11, dtype);
    blob(t, ((33 - t->param[6]) << t->param[6]) + 1, DMT_S16);
  }
  t->call.param_size = 52;
}

static void make_softmax(test *t, uint32_t dtype) {
  static const float odd[] = {-100.0f, 1e-40f, 1e30f, 0.0f};
  pair(t, dtype, dtype);
  ((float *)t->memory[0])[below((uint32_t)(t->size[0] / sizeof(float)))] = odd[below(4)];
  t->param[0] = below(2) ? 1 : below(4);
  t->call.param_size = 4;
}

static void make_copy(test *t, uint32_t dtype) {
  uint32_t in[4] = {between(1, 3), between(1, 9), between(1, 5), between(1, 7)};
  uint32_t out[4] = {in[3], in[2], in[0], in[1]};
  if (below(2)) { /* channels in groups, as a shuffle leaves them: a different axis order inside */
    uint32_t groups = between(1, 5), n = between(1, 21);
    uint32_t shuffled[4] = {groups * n, between(1, 3), between(1, 4), 1};
    in[0] = 1, in[1] = shuffled[0], in[2] = shuffled[1], in[3] = shuffled[2];
    memcpy(out, in, sizeof out);
    tensor(t, 0, dtype, in, below(2) * 3);
    tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
    dmt_view *x = &t->call.in[0];
    x->rank = 5;
    const uint32_t dim[5] = {1, n, groups, in[2], in[3]};
    const uint32_t stride[5] = {x->stride[0], x->stride[1], x->stride[1] * n, x->stride[2],
                                x->stride[3]};
    memcpy(x->dim, dim, sizeof dim);
    memcpy(x->stride, stride, sizeof stride);
  } else {
    tensor(t, 0, dtype, in, below(2) * 3);
    tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  }
  t->call.out.zero_point = t->call.in[0].zero_point;
  t->call.inputs = 1;
}

static void make_quantize(test *t, uint32_t dtype) { pair(t, dtype, between(DMT_S8, DMT_S16)); }
static void make_dequantize(test *t, uint32_t dtype) { pair(t, dtype, DMT_F32); }

#include "ops_conv.h"

#include "ops_norm.h"

#include "ops_gather.h"

#include "ops_depthwise.h"

#include "ops_winograd.h"

static const struct {
  uint32_t opcode, first, last; /* dtypes */
  void (*make)(test *t, uint32_t dtype);
} kinds[] = {
    {DMT_OP_CONV, DMT_F32, DMT_S16, make_conv},
    {DMT_OP_CONV, DMT_S8, DMT_S8, make_winograd},
    {DMT_OP_DECONV, DMT_F32, DMT_S16, make_conv},
    {DMT_OP_CONV, DMT_F32, DMT_S16, make_depthwise},
    {DMT_OP_POOL_MAX, DMT_F32, DMT_S16, make_pool},
    {DMT_OP_POOL_AVERAGE, DMT_F32, DMT_S16, make_pool},
    {DMT_OP_SUM, DMT_F32, DMT_S16, make_eltwise},
    {DMT_OP_PROD, DMT_F32, DMT_S16, make_eltwise},
    {DMT_OP_MAX, DMT_F32, DMT_S16, make_eltwise},
    {DMT_OP_RESCALE, DMT_S8, DMT_S16, make_rescale},
    {DMT_OP_LOOKUP, DMT_S8, DMT_S16, make_lookup},
    {DMT_OP_UNARY, DMT_F32, DMT_F32, make_unary},
    {DMT_OP_SCALE, DMT_F32, DMT_F32, make_scale},
    {DMT_OP_LRN, DMT_F32, DMT_S16, make_lrn},
    {DMT_OP_SOFTMAX, DMT_F32, DMT_F32, make_softmax},
    {DMT_OP_COPY, DMT_F32, DMT_S16, make_copy},
    {DMT_OP_QUANTIZE, DMT_F32, DMT_F32, make_quantize},
    {DMT_OP_DEQUANTIZE, DMT_S8, DMT_S16, make_dequantize},
    {DMT_OP_MVN, DMT_F32, DMT_F32, make_mvn},
    {DMT_OP_NORMALIZE, DMT_F32, DMT_S16, make_normalize},
    {DMT_OP_RESIZE, DMT_F32, DMT_S16, make_resize},
    {DMT_OP_POOL_MASK, DMT_F32, DMT_S16, make_pool_mask},
    {DMT_OP_UNPOOL, DMT_F32, DMT_S16, make_unpool},
    {DMT_OP_LSTM, DMT_F32, DMT_F32, make_recurrent},
    {DMT_OP_RNN, DMT_F32, DMT_F32, make_recurrent},
    {DMT_OP_GATHER, DMT_F32, DMT_S16, make_gather},
    {DMT_OP_EMBED, DMT_F32, DMT_F32, make_embed},
    {DMT_OP_REDUCE, DMT_F32, DMT_S16, make_reduce},
    {DMT_OP_ARGMAX, DMT_F32, DMT_F32, make_argmax},
};

static void forwards(void *user, uint32_t count, dmt_task task, void *argument) {
  (void)user;
  for (uint32_t i = 0; i < count; i++) {
    task(argument, i);
  }
}

static const dmt_operator *find(const dmt_operator *const *set, const test *t) {
  for (; *set != NULL; set++) {
    if ((*set)->opcode == t->opcode && (*set)->dtype == t->call.dtype) {
      dmt_status status = (*set)->check(&t->call);
      if (status != DMT_E_UNSUPPORTED) {
        return status == DMT_OK ? *set : NULL;
      }
    }
  }
  return NULL;
}

static void execute(test *t, const dmt_operator *op) {
  uint32_t scratch = op->scratch != NULL ? op->scratch(&t->call) : 0;
  t->call.scratch = exact((size_t)scratch * t->call.threads);
  op->run(&t->call);
  free(t->call.scratch);
}

static int is_convolution(uint32_t opcode) {
  return opcode == DMT_OP_CONV || opcode == DMT_OP_DECONV;
}

/* Those of float32 may sum in another order: as the portable one within 1e-5 of the largest sum,
 * which may have been clamped; the portable result is hashed. What neither writes starts out
 * equal. */
static void compare(test *t, const dmt_operator *op, const dmt_operator *portable) {
  const size_t size = t->size[DMT_MAX_INPUTS];
  float *out = t->memory[DMT_MAX_INPUTS], *found = exact(size);
  float largest = (float)(t->param[0] * t->param[1] * t->call.in[0].dim[1] / t->param[8]);
  memcpy(found, out, size);
  t->call.out.data = (uint8_t *)found;
  execute(t, op);
  t->call.out.data = (uint8_t *)out;
  execute(t, portable);
  for (size_t i = 0; i < size / sizeof *out; i++) {
    float value = out[i] < 0.0f ? -out[i] : out[i];
    largest = value > largest ? value : largest;
  }
  for (size_t i = 0; i < size / sizeof *out; i++) {
    float error = found[i] < out[i] ? out[i] - found[i] : found[i] - out[i];
    if (!(error <= 1e-5f * largest)) {
      fprintf(stderr, "opcode %u: %g, not %g\n", (unsigned)t->opcode, (double)found[i],
              (double)out[i]);
      exit(1);
    }
  }
  free(found);
}

static void run(const dmt_operator *const *set, uint32_t kind) {
  test t;
  memset(&t, 0, sizeof t);
  t.opcode = kinds[kind].opcode;
  t.call.dtype = between(kinds[kind].first, kinds[kind].last);
  t.call.threads = between(1, 3);
  t.call.parallel_for = forwards;
  kinds[kind].make(&t, t.call.dtype);
  uint32_t *param = exact(t.call.param_size);
  memcpy(param, t.param, t.call.param_size);
  t.call.param = (const uint8_t *)param;
  const dmt_operator *op = find(set, &t);
  if (op == NULL) {
    fprintf(stderr, "opcode %u, dtype %u: refused\n", (unsigned)t.opcode, (unsigned)t.call.dtype);
    exit(1);
  }
  if (set != dmt_generic && t.call.dtype == DMT_F32 && is_convolution(t.opcode)) {
    compare(&t, op, find(dmt_generic, &t));
  } else {
    execute(&t, op);
  }
  add_hash(t.memory[DMT_MAX_INPUTS], t.size[DMT_MAX_INPUTS]);
  for (uint32_t i = 0; i <= DMT_MAX_INPUTS; i++) {
    free(t.memory[i]);
  }
  free(param);
  free(t.chan);
  free(t.data);
}

int main(int argc, char **argv) {
  const dmt_operator *const *set = dmt_generic;
#if defined(__x86_64__)
  if (argc > 1 && strcmp(argv[1], "avx2") == 0) {
    set = dmt_avx2;
  }
#elif defined(__ARM_NEON) && !defined(DMT_PORTABLE)
  if (argc > 1 && strcmp(argv[1], "neon") == 0) {
    set = dmt_neon;
  }
#endif
  uint32_t count = argc > 2 ? (uint32_t)atoi(argv[2]) : 3000;
  for (uint32_t i = 0; i < count; i++) {
    run(set, i % (sizeof kinds / sizeof *kinds));
  }
  printf("%u calls, %08x%08x\n", (unsigned)count, (unsigned)(hash >> 32), (unsigned)hash);
  return 0;
}
