/* Calls of normalizations, resizing, masks and recurrent layers, for ops_selfcheck.c. */

/* A dense tensor in Caffe's order. */
static void dense(test *t, uint32_t index, uint32_t rank, uint32_t a, uint32_t b, uint32_t c) {
  const uint32_t dim[4] = {a, b, 1, c};
  tensor(t, index, DMT_F32, dim, 0);
  dmt_view *v = index == DMT_MAX_INPUTS ? &t->call.out : &t->call.in[index];
  v->rank = rank;
  v->dim[2] = c;
  v->dim[3] = 1;
  v->stride[0] = b * c * 4;
  v->stride[1] = c * 4;
  v->stride[2] = rank > 2 ? 4 : 0;
  v->stride[3] = 0;
}

static void make_pool_mask(test *t, uint32_t dtype) {
  make_pool(t, DMT_F32); /* its shapes and windows */
  if (dtype != DMT_F32) {
    uint32_t dim[4];
    memcpy(dim, t->call.in[0].dim, sizeof dim);
    free(t->memory[0]);
    tensor(t, 0, dtype, dim, below(2) * 3);
  }
}

static void make_unpool(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  tensor(t, 1, DMT_F32, t->call.in[0].dim, below(2));
  t->call.out.zero_point = t->call.in[0].zero_point;
  t->call.inputs = 2;
  float *mask = t->memory[1];
  for (uint32_t i = 0; i < t->size[1] / 4; i++) { /* places inside, outside and between */
    mask[i] = mask[i] * 8.0f + 8.0f;
  }
}

static void make_resize(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  uint32_t in[4], crop[2] = {below(3), below(3)};
  memcpy(in, t->call.in[0].dim, sizeof in);
  in[2] = between(1, 9) + crop[0] + crop[1];
  in[3] = between(1, 9) + crop[0] + crop[1];
  free(t->memory[0]);
  tensor(t, 0, dtype, in, below(2) * 3);
  t->call.out.zero_point = t->call.in[0].zero_point;
  t->param[0] = below(2);
  t->param[1] = crop[0];
  t->param[2] = crop[1];
  t->call.param_size = 12;
}

static void make_mvn(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  t->param[0] = below(2);
  t->param[1] = below(2);
  set_float(t, 2, 0.001f);
  t->call.param_size = 12;
}

static void make_normalize(test *t, uint32_t dtype) {
  pair(t, dtype, dtype);
  t->param[0] = below(2);
  set_float(t, 1, 0.001f);
  t->param[2] = below(2) ? t->call.out.dim[1] : 1;
  channels(t, dtype == DMT_F32 ? 1 : 3, 0, t->param[2], dtype == DMT_F32);
  t->param[5] = between(5, 9);
  t->param[6] = below(2) ? any() : 0;
  if (dtype != DMT_F32) {
    range(t, 7, dtype);
    blob(t, (3u << (t->param[5] - 2)) + 1, DMT_S16);
  }
  t->call.param_size = 36;
}

static void make_recurrent(test *t, uint32_t dtype) {
  uint32_t lstm = t->opcode == DMT_OP_LSTM, states = lstm ? 2 : 1, count = 2;
  uint32_t steps = between(1, 4), streams = between(1, 3), in = between(1, 12), n = between(1, 12);
  uint32_t fixed = between(1, 5), rows = ceil8(lstm ? 4 * n : n), most = in > n ? in : n;
  (void)dtype;
  t->param[0] = below(2);
  t->param[1] = below(2);
  dense(t, 0, 3, steps, streams, in);
  dense(t, 1, 2, steps, streams, 1);
  if (t->param[0]) {
    dense(t, count++, 2, streams, fixed, 1);
  }
  for (uint32_t i = 0; t->param[1] && i < states; i++) {
    dense(t, count++, 3, 1, streams, n);
  }
  dense(t, DMT_MAX_INPUTS, 3, steps + t->param[1], streams, n);
  t->call.inputs = count;
  channels(t, 1, 0, rows, 1);
  blob(t, rows * (most > fixed ? most : fixed), DMT_F32); /* one blob for every matrix */
  t->call.param_size = lstm ? 24 : 32;
}
