/* Functions of one variable in float32. */
#include "dmt_math.h"
#include "dmt_unary.h"

static float unary_power(const unary_job *job, float x) {
  float base = job->c + job->b * x;
  if (job->a == 1.0f) {
    return base;
  }
  if (job->a == 2.0f) {
    return base * base;
  }
  if (job->a == 0.5f) {
    return dmt_sqrt(base);
  }
  int whole = job->a > -1048576.0f && job->a < 1048576.0f && (float)(int32_t)job->a == job->a;
  if (whole && base < 0.0f) {
    float y = dmt_exp(job->a * dmt_log(-base));
    return (int32_t)job->a % 2 != 0 ? -y : y;
  }
  return dmt_exp(job->a * dmt_log(base));
}

static float unary_clamp(float x, float high) {
  x = 0.0f > x ? 0.0f : x;
  return high < x ? high : x;
}

static float unary_bnll(float x) {
  float tail = dmt_log(1.0f + dmt_exp(x > 0.0f ? -x : x));
  return x > 0.0f ? x + tail : tail;
}

static float unary_mish(float x) {
  float e = dmt_exp(x), n = e * (e + 2.0f);
  return x > 20.0f ? x : x * (n / (n + 2.0f));
}

static float unary_one(const unary_job *job, float x) {
  switch (job->function) {
  case UNARY_ELU:
    return x > 0.0f ? x : job->a * (dmt_exp(x) - 1.0f);
  case UNARY_SIGMOID:
    return dmt_sigmoid(x);
  case UNARY_TANH:
    return dmt_tanh(x);
  case UNARY_ABS:
    return dmt_from_bits(dmt_to_bits(x) & 0x7FFFFFFFu);
  case UNARY_EXP:
    return job->a * dmt_exp(job->b * x);
  case UNARY_LOG:
    return job->a * dmt_log(job->b * x + job->c);
  case UNARY_BNLL:
    return unary_bnll(x);
  case UNARY_THRESHOLD:
    return x > job->a ? 1.0f : 0.0f;
  case UNARY_SWISH:
    return x * dmt_sigmoid(job->a * x);
  case UNARY_MISH:
    return unary_mish(x);
  case UNARY_HARD_SWISH:
    return x * unary_clamp(x + 3.0f, 6.0f) / 6.0f;
  case UNARY_HARD_SIGMOID:
    return unary_clamp(job->a * x + job->b, 1.0f);
  default:
    return unary_power(job, x);
  }
}

static void unary_line(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const unary_job *job = context;
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    *(float *)(void *)(at[0] + i * step[0]) = unary_one(job, x);
  }
}

static void unary_leaky(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const unary_job *job = context;
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    *(float *)(void *)(at[0] + i * step[0]) = x > 0.0f ? x : x * job->a;
  }
}

static void unary_clip(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  const unary_job *job = context;
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    x = job->a > x ? job->a : x;
    *(float *)(void *)(at[0] + i * step[0]) = job->b < x ? job->b : x;
  }
}

static void unary_prelu(const void *context, uint32_t n, uint8_t *const *at, const size_t *step) {
  (void)context;
  for (uint32_t i = 0; i < n; i++) {
    float x = *(const float *)(const void *)(at[1] + i * step[1]);
    float slope = *(const float *)(const void *)(at[2] + i * step[2]);
    *(float *)(void *)(at[0] + i * step[0]) = x > 0.0f ? x : x * slope;
  }
}

static void unary_run(const dmt_call *call) {
  unary_job job = {dmt_word(call, 0), dmt_float(call, 4), dmt_float(call, 8), dmt_float(call, 12)};
  dmt_loop loop;
  dmt_loop_open(&loop, &call->out);
  dmt_loop_view(&loop, &call->out);
  dmt_loop_view(&loop, &call->in[0]);
  if (job.function == UNARY_PRELU) {
    uint32_t count = dmt_word(call, 16);
    size_t along[DMT_MAX_RANK] = {0};
    along[1] = count > 1 ? sizeof(float) : 0;
    dmt_loop_array(&loop, dmt_array(call, dmt_word(call, 20), 0, count), along);
  }
  dmt_line line = job.function == UNARY_LEAKY   ? unary_leaky
                  : job.function == UNARY_CLIP  ? unary_clip
                  : job.function == UNARY_PRELU ? unary_prelu
                                                : unary_line;
  dmt_loop_go(&loop, call, line, &job);
}

const dmt_operator DMT_KERNEL(dmt_op_unary_f32) = {
    DMT_OP_UNARY, DMT_F32, 1, unary_check, NULL, unary_run,
};
