/* Copies that interleave two to four rows, as those that shuffle channels do. */
#include "../generic/dmt_copy_axes.h"
#include "dmt_neon.h"

/* The innermost axes: `groups` rows of n elements in, n elements of each group side by side out. */
typedef struct {
  dmt_loop outer;
  uint32_t groups, n;
  size_t row; /* from one row to the next, in bytes */
} copy_job;

/* Eight or four elements of each row; vst3 and its like put them together. */
enum { COPY_8 = 8, COPY_4 = 4 };

static int copy_open(const dmt_call *call, copy_job *job) {
  dmt_loop *loop = &job->outer;
  size_t item = dmt_item(call->dtype);
  if (!copy_common(&call->in[0], &call->out, loop)) {
    return 0;
  }
  loop->operands = 2;
  loop->base[0] = call->out.data;
  loop->base[1] = call->in[0].data;
  dmt_loop_simplify(loop);
  if (loop->rank < 2) {
    return 0;
  }
  uint32_t group = loop->rank - 1, line = loop->rank - 2;
  job->groups = loop->dim[group];
  job->n = loop->dim[line];
  job->row = loop->stride[group][1];
  loop->rank = line;
  if (line == 0) { /* a single pixel */
    loop->rank = 1;
    loop->dim[0] = 1;
  }
  return job->groups >= 2 && job->groups <= 4 && job->n >= COPY_8 &&
         loop->stride[group][0] == item && loop->stride[line][0] == item * job->groups &&
         loop->stride[line][1] == item;
}

static dmt_status copy_interleave_check(const dmt_call *call) {
  copy_job job;
  dmt_status status = copy_check(call);
  return status == DMT_OK && !copy_open(call, &job) ? DMT_E_UNSUPPORTED : status;
}

#ifdef DMT_NEON

/* One pixel after the other; its last block overlaps the one before. */
#define COPY(type, element, lanes, pair, triple, four, load, store2, store3, store4)               \
  static inline void copy_block_##type(const copy_job *job, const uint8_t *from, uint8_t *to,      \
                                       uint32_t i) {                                               \
    const size_t row = job->row, at = i * sizeof(element);                                         \
    element *y = (element *)(void *)to + (size_t)job->groups * i;                                  \
    const element *x[4];                                                                           \
    for (uint32_t k = 0; k < 4; k++) {                                                             \
      x[k] = (const element *)(const void *)(from + (k < job->groups ? k : 0) * row + at);         \
    }                                                                                              \
    if (job->groups == 2) {                                                                        \
      pair v = {{load(x[0]), load(x[1])}};                                                         \
      store2(y, v);                                                                                \
    } else if (job->groups == 3) {                                                                 \
      triple v = {{load(x[0]), load(x[1]), load(x[2])}};                                           \
      store3(y, v);                                                                                \
    } else {                                                                                       \
      four v = {{load(x[0]), load(x[1]), load(x[2]), load(x[3])}};                                 \
      store4(y, v);                                                                                \
    }                                                                                              \
  }                                                                                                \
  static void copy_line_##type(const void *context, uint32_t n, uint8_t *const *at,                \
                               const size_t *step) {                                               \
    const copy_job *job = context;                                                                 \
    for (uint32_t p = 0; p < n; p++) {                                                             \
      const uint8_t *from = at[1] + p * step[1];                                                   \
      uint8_t *to = at[0] + p * step[0];                                                           \
      for (uint32_t i = 0; i + (lanes) < job->n; i += (lanes)) {                                   \
        copy_block_##type(job, from, to, i);                                                       \
      }                                                                                            \
      copy_block_##type(job, from, to, job->n - (lanes));                                          \
    }                                                                                              \
  }                                                                                                \
  static void copy_run_##type(const dmt_call *call) {                                              \
    copy_job job;                                                                                  \
    copy_open(call, &job);                                                                         \
    dmt_loop_go(&job.outer, call, copy_line_##type, &job);                                         \
  }

COPY(s8, uint8_t, COPY_8, uint8x8x2_t, uint8x8x3_t, uint8x8x4_t, vld1_u8, vst2_u8, vst3_u8, vst4_u8)
COPY(s16, uint16_t, COPY_8, uint16x8x2_t, uint16x8x3_t, uint16x8x4_t, vld1q_u16, vst2q_u16,
     vst3q_u16, vst4q_u16)
COPY(f32, uint32_t, COPY_4, uint32x4x2_t, uint32x4x3_t, uint32x4x4_t, vld1q_u32, vst2q_u32,
     vst3q_u32, vst4q_u32)

#endif

const dmt_operator dmt_op_copy_s8_neon = {
    DMT_OP_COPY, DMT_S8, 1, copy_interleave_check, NULL, DMT_NEON_RUN(copy_run_s8),
};
const dmt_operator dmt_op_copy_s16_neon = {
    DMT_OP_COPY, DMT_S16, 1, copy_interleave_check, NULL, DMT_NEON_RUN(copy_run_s16),
};
const dmt_operator dmt_op_copy_f32_neon = {
    DMT_OP_COPY, DMT_F32, 1, copy_interleave_check, NULL, DMT_NEON_RUN(copy_run_f32),
};
