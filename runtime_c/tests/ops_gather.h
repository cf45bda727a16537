/* ops_selfcheck.c: calls that gather, embed, sum up or find the largest. */

static void make_gather(test *t, uint32_t dtype) {
  uint32_t in[4] = {between(1, 3), between(1, 20), between(1, 5), between(1, 7)}, out[4];
  uint32_t axis = below(4), from = in[axis], count = between(1, 9);
  memcpy(out, in, sizeof out);
  out[axis] = count;
  tensor(t, 0, dtype, in, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  t->call.out.zero_point = t->call.in[0].zero_point;
  t->call.inputs = 1;
  t->param[0] = axis;
  if (dtype == DMT_F32 && below(2)) {
    dense(t, 1, 1, count, 1, 1);
    t->param[1] = DMT_NONE;
    t->call.inputs = 2;
  } else {
    channels(t, 1, 0, count, 1);
    for (uint32_t i = 0; i < count; i++) {
      t->chan[i] = (int32_t)below(from);
    }
  }
  t->call.param_size = 8;
}

static void make_embed(test *t, uint32_t dtype) {
  uint32_t a = between(1, 4), b = between(1, 9), rows = between(1, 6), n = between(1, 19);
  (void)dtype;
  dense(t, 0, 2, a, b, 1);
  dense(t, DMT_MAX_INPUTS, 3, a, b, n);
  t->call.inputs = 1;
  channels(t, 1, 0, n, 1);
  blob(t, rows * n, DMT_F32);
  t->param[0] = rows;
  t->param[2] = below(2) ? 0 : DMT_NONE;
  t->call.param_size = 12;
}

static void make_reduce(test *t, uint32_t dtype) {
  uint32_t dim[4] = {between(1, 3), between(1, 20), between(1, 6), between(1, 7)}, rank = below(4);
  tensor(t, 0, dtype, dim, below(2) * 3);
  for (uint32_t i = rank; i < 4; i++) {
    dim[i] = 1;
  }
  tensor(t, DMT_MAX_INPUTS, dtype, dim, below(2) * 5);
  t->call.out.rank = rank;
  for (uint32_t i = rank; i < 4; i++) {
    t->call.out.stride[i] = 0;
  }
  t->call.inputs = 1;
  t->param[0] = below(3);
  set_float(t, 1, -0.375f);
  t->param[2] = (uint32_t)multiplier();
  t->param[3] = shift();
  t->param[4] = shift();
  if (dtype != DMT_F32) {
    range(t, 5, dtype);
  }
  t->call.param_size = 28;
}

static void make_argmax(test *t, uint32_t dtype) {
  uint32_t dim[4] = {between(1, 3), between(1, 20), between(1, 6), between(1, 7)}, axis = below(4);
  tensor(t, 0, dtype, dim, below(2) * 3);
  dim[axis] = between(1, dim[axis]);
  tensor(t, DMT_MAX_INPUTS, dtype, dim, below(2) * 5);
  t->call.inputs = 1;
  t->param[0] = axis;
  t->param[1] = below(2);
  t->call.param_size = 8;
}
