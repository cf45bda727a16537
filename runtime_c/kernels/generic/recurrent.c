/* LSTM and RNN, float32: the streams side by side, the steps one after the other. */
#include "dmt_lanes.h"
#include "dmt_math.h"
#include "dmt_parallel.h"
#include "dmt_params.h"

enum { AT_STATIC, AT_EXPOSE = 4, AT_BIAS = 8, AT_INPUT = 12, AT_FIXED = 16, AT_HIDDEN = 20 };
enum { AT_OUTPUT = 24, AT_OUTPUT_BIAS = 28 }; /* of an RNN */

typedef struct {
  const dmt_call *call;
  uint32_t steps, streams, size, rows; /* T, N, H, rows of the matrices */
  uint32_t tasks;
} recurrent_job;

static void recurrent_read(const dmt_call *call, uint32_t gates, recurrent_job *job) {
  job->call = call;
  job->steps = call->in[0].dim[0];
  job->streams = call->in[0].dim[1];
  job->size = call->out.dim[2];
  job->rows = gates * job->size;
}

/* A matrix of `rows` x `columns` in packing 1 stands at the offset that the record has at `at`. */
static int recurrent_has(const dmt_call *call, uint32_t at, uint32_t rows, uint32_t columns) {
  uint64_t words = dmt_times(((uint64_t)rows + 7) & ~UINT64_C(7), columns);
  return dmt_holds(call->data, dmt_word(call, at), dmt_times(4, words));
}

static int recurrent_is(const dmt_view *view, uint32_t rank, uint32_t a, uint32_t b, uint32_t c) {
  return view->rank == rank && view->dim[0] == a && view->dim[1] == b && view->dim[2] == c;
}

/* The shapes of all operands and the sizes of all arrays, for so many gates and states. */
static int recurrent_ok(const dmt_call *call, uint32_t gates, uint32_t states, uint32_t size) {
  recurrent_job job;
  const dmt_view *x = &call->in[0];
  if (!dmt_has(call, 2, 3 + states, DMT_F32, size) || dmt_word(call, AT_STATIC) > 1 ||
      dmt_word(call, AT_EXPOSE) > 1 || call->out.dim[2] > UINT32_MAX / 16) {
    return 0;
  }
  uint32_t fixed = dmt_word(call, AT_STATIC), expose = dmt_word(call, AT_EXPOSE);
  recurrent_read(call, gates, &job);
  int good = call->inputs == 2 + fixed + expose * states && x->rank == 3 &&
             recurrent_is(&call->in[1], 2, job.steps, job.streams, 1) &&
             recurrent_is(&call->out, 3, job.steps + expose, job.streams, job.size) &&
             dmt_has_arrays(call, dmt_word(call, AT_BIAS), 1, job.rows) &&
             recurrent_has(call, AT_INPUT, job.rows, x->dim[2]) &&
             recurrent_has(call, AT_HIDDEN, job.rows, job.size);
  if (good && fixed) {
    const dmt_view *s = &call->in[2];
    good = recurrent_is(s, 2, job.streams, s->dim[1], 1) &&
           recurrent_has(call, AT_FIXED, job.rows, s->dim[1]);
  }
  for (uint32_t i = 2 + fixed; good && i < call->inputs; i++) {
    good = recurrent_is(&call->in[i], 3, 1, job.streams, job.size);
  }
  return good;
}

/* z += matrix * x: eight rows at a time, the columns in order. */
static void recurrent_add(const dmt_call *call, uint32_t at, float *z, uint32_t rows,
                          const uint8_t *x, size_t step, uint32_t columns) {
  const float *w = (const float *)(const void *)(call->data.data + dmt_word(call, at));
  for (uint32_t row = 0; row < rows; row += 8) {
    dmt_f8 sum = dmt_f8_load(z + row);
    for (uint32_t i = 0; i < columns; i++, w += 8) {
      sum = dmt_f8_add_scaled(sum, (const float *)(const void *)(x + i * step), dmt_f8_load(w));
    }
    dmt_f8_store(z + row, sum);
  }
}

static const float *recurrent_bias(const dmt_call *call, uint32_t at, uint32_t rows) {
  return (const float *)(const void *)dmt_array(call, dmt_word(call, at), 0, rows);
}

static uint8_t *recurrent_at(const dmt_view *view, uint32_t first, uint32_t second) {
  return (uint8_t *)view->data + (size_t)first * view->stride[0] + (size_t)second * view->stride[1];
}

/* A copy of n floats that are `step` bytes apart, or zeros. */
static void recurrent_load(float *to, const uint8_t *from, size_t step, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    to[i] = from != NULL ? *(const float *)(const void *)(from + i * step) : 0.0f;
  }
}

static void recurrent_store(const dmt_call *call, uint32_t t, uint32_t stream, const float *from) {
  const dmt_view *y = &call->out;
  uint8_t *to = recurrent_at(y, t, stream);
  for (uint32_t i = 0; i < y->dim[2]; i++) {
    *(float *)(void *)(to + (size_t)i * y->stride[2]) = from[i];
  }
}

/* The first value of state `index`, or zeros where the states are not exposed. */
static void recurrent_begin(const recurrent_job *job, uint32_t index, uint32_t stream, float *to) {
  const dmt_call *call = job->call;
  const dmt_view *v = &call->in[2 + dmt_word(call, AT_STATIC) + index];
  int given = dmt_word(call, AT_EXPOSE) != 0;
  recurrent_load(to, given ? recurrent_at(v, 0, stream) : NULL, v->stride[2], job->size);
}

/* The gates' inputs of one step; h is multiplied by cont, which is the result. */
static float recurrent_step(const recurrent_job *job, uint32_t t, uint32_t stream, float *h,
                            float *z) {
  const dmt_call *call = job->call;
  const dmt_view *x = &call->in[0], *c = &call->in[1], *s = &call->in[2];
  float cont = *(const float *)(const void *)recurrent_at(c, t, stream);
  const float *bias = recurrent_bias(call, AT_BIAS, job->rows);
  for (uint32_t i = 0; i < dmt_up8(job->rows); i++) {
    z[i] = bias[i];
  }
  recurrent_add(call, AT_INPUT, z, job->rows, recurrent_at(x, t, stream), x->stride[2], x->dim[2]);
  if (dmt_word(call, AT_STATIC)) {
    recurrent_add(call, AT_FIXED, z, job->rows, recurrent_at(s, stream, 0), s->stride[1],
                  s->dim[1]);
  }
  for (uint32_t i = 0; i < job->size; i++) {
    h[i] = cont * h[i];
  }
  recurrent_add(call, AT_HIDDEN, z, job->rows, (const uint8_t *)h, sizeof *h, job->size);
  return cont;
}

static void recurrent_run(const dmt_call *call, uint32_t gates, dmt_task task) {
  recurrent_job job;
  recurrent_read(call, gates, &job);
  uint64_t work = (uint64_t)job.steps * job.rows * (job.size + call->in[0].dim[2]);
  job.tasks = dmt_tasks(call, work * job.streams, 50000, job.streams);
  dmt_parallel(call, job.tasks, task, &job);
}

/* --- LSTM --- */

static uint32_t lstm_words(const dmt_call *call) {
  return dmt_up8(4 * call->out.dim[2]) + 2 * dmt_up8(call->out.dim[2]);
}

static uint32_t lstm_scratch(const dmt_call *call) { return (4 * lstm_words(call) + 63) & ~63u; }

static dmt_status lstm_check(const dmt_call *call) {
  return recurrent_ok(call, 4, 2, 24) ? DMT_OK : DMT_E_OPERATOR;
}

static void lstm_stream(const recurrent_job *job, uint32_t stream, float *z) {
  uint32_t n = job->size;
  float *h = z + dmt_up8(job->rows), *c = h + dmt_up8(n);
  recurrent_begin(job, 0, stream, h);
  recurrent_begin(job, 1, stream, c);
  for (uint32_t t = 0; t < job->steps; t++) {
    float cont = recurrent_step(job, t, stream, h, z);
    for (uint32_t i = 0; i < n; i++) {
      float in = dmt_sigmoid(z[i]), out = dmt_sigmoid(z[2 * n + i]);
      float keep = cont == 0.0f ? 0.0f : cont * dmt_sigmoid(z[n + i]);
      c[i] = keep * c[i] + in * dmt_tanh(z[3 * n + i]);
      h[i] = out * dmt_tanh(c[i]);
    }
    recurrent_store(job->call, t, stream, h);
  }
  if (dmt_word(job->call, AT_EXPOSE)) {
    recurrent_store(job->call, job->steps, stream, c);
  }
}

static void lstm_task(void *argument, uint32_t index) {
  const recurrent_job *job = argument;
  uint8_t *scratch = job->call->scratch + (size_t)index * lstm_scratch(job->call);
  dmt_range streams = dmt_share(job->streams, index, job->tasks);
  for (uint32_t i = streams.begin; i < streams.end; i++) {
    lstm_stream(job, i, (float *)(void *)scratch);
  }
}

static void lstm_run(const dmt_call *call) { recurrent_run(call, 4, lstm_task); }

const dmt_operator dmt_op_lstm_f32 = {
    DMT_OP_LSTM, DMT_F32, 1, lstm_check, lstm_scratch, lstm_run,
};

/* --- RNN --- */

static uint32_t rnn_scratch(const dmt_call *call) {
  return (12 * dmt_up8(call->out.dim[2]) + 63) & ~63u;
}

static dmt_status rnn_check(const dmt_call *call) {
  uint32_t size = call->out.dim[2];
  int good = recurrent_ok(call, 1, 1, 32) && recurrent_has(call, AT_OUTPUT, size, size) &&
             dmt_has_arrays(call, dmt_word(call, AT_OUTPUT_BIAS), 1, size);
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static void rnn_stream(const recurrent_job *job, uint32_t stream, float *z) {
  const dmt_call *call = job->call;
  uint32_t n = job->size;
  float *h = z + dmt_up8(n), *y = h + dmt_up8(n);
  const float *bias = recurrent_bias(call, AT_OUTPUT_BIAS, n);
  recurrent_begin(job, 0, stream, h);
  for (uint32_t t = 0; t < job->steps; t++) {
    recurrent_step(job, t, stream, h, z);
    for (uint32_t i = 0; i < n; i++) {
      h[i] = dmt_tanh(z[i]);
    }
    for (uint32_t i = 0; i < dmt_up8(n); i++) {
      y[i] = bias[i];
    }
    recurrent_add(call, AT_OUTPUT, y, n, (const uint8_t *)h, sizeof *h, n);
    for (uint32_t i = 0; i < n; i++) {
      y[i] = dmt_tanh(y[i]);
    }
    recurrent_store(call, t, stream, y);
  }
  if (dmt_word(call, AT_EXPOSE)) {
    recurrent_store(call, job->steps, stream, h);
  }
}

static void rnn_task(void *argument, uint32_t index) {
  const recurrent_job *job = argument;
  uint8_t *scratch = job->call->scratch + (size_t)index * rnn_scratch(job->call);
  dmt_range streams = dmt_share(job->streams, index, job->tasks);
  for (uint32_t i = streams.begin; i < streams.end; i++) {
    rnn_stream(job, i, (float *)(void *)scratch);
  }
}

static void rnn_run(const dmt_call *call) { recurrent_run(call, 1, rnn_task); }

const dmt_operator dmt_op_rnn_f32 = {DMT_OP_RNN, DMT_F32, 1, rnn_check, rnn_scratch, rnn_run};
