/* Another scale and zero point, by channel where wanted; also between int8 and int16. */
#include "dmt_lanes.h"
#include "dmt_rescale.h"

typedef struct {
  const dmt_call *call;
  size_t words; /* of one array */
} rescale_job;

/* n <= 8 words of an array; step 0 repeats one. */
static dmt_i8 rescale_words(const int32_t *from, size_t step, uint32_t n) {
  if (step == 0) {
    return dmt_i8_set(*from);
  }
  if (step == 4) {
    return dmt_i8_words(from, n);
  }
  int32_t some[8] = {0};
  for (uint32_t i = 0; i < n; i++) {
    some[i] = from[i * (step / 4)];
  }
  return dmt_i8_load(some);
}

static void rescale_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const rescale_job *job = context;
  const dmt_call *call = job->call;
  const dmt_i8 zero = dmt_i8_set(-call->in[0].zero_point);
  uint32_t slopes = dmt_word(call, 8);
  for (uint32_t i = 0; i < n; i += 8) {
    uint32_t some = n - i < 8 ? n - i : 8;
    const int32_t *array = (const int32_t *)(const void *)(at[2] + i * step[2]);
    dmt_i8 a = dmt_i8_take(at[1] + i * step[1], step[1], some, call->dtype), m[3];
    a = dmt_i8_add(a, zero);
    for (uint32_t k = 0; k < 3; k++) {
      m[k] = rescale_words(array + k * job->words, step[2], some);
      if (slopes) {
        m[k] = dmt_i8_pick(a, rescale_words(array + (3 + k) * job->words, step[2], some), m[k]);
      }
    }
    a = dmt_i8_rq(a, m[0], m[1], m[2]);
    a = dmt_i8_place(a, call->out.zero_point, dmt_signed(call, 12), dmt_signed(call, 16));
    dmt_i8_put(at[0] + i * step[0], step[0], some, call->out.dtype, a);
  }
}

static void rescale_run(const dmt_call *call) {
  uint32_t count = dmt_word(call, 0);
  size_t along[DMT_MAX_RANK] = {0};
  along[1] = count > 1 ? sizeof(int32_t) : 0;
  rescale_job job = {call, dmt_up8(count)};
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  dmt_loop_array(&loop, dmt_array(call, dmt_word(call, 4), 0, count), along);
  dmt_loop_go(&loop, call, rescale_line, &job);
}

const dmt_operator DMT_KERNEL(dmt_op_rescale_s8) = {
    DMT_OP_RESCALE, DMT_S8, 1, rescale_check, NULL, rescale_run,
};
const dmt_operator DMT_KERNEL(dmt_op_rescale_s16) = {
    DMT_OP_RESCALE, DMT_S16, 1, rescale_check, NULL, rescale_run,
};
