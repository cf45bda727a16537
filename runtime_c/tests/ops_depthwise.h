/* Depthwise convolutions as networks have them, and odd ones. Included by ops_selfcheck.c. */

static void make_depthwise(test *t, uint32_t dtype) {
  static const uint32_t kernels[] = {1, 2, 3, 3, 3, 4, 5, 7};
  uint32_t groups = below(2) ? 8 * between(1, 8) : between(1, 67), og = 1 + (below(8) == 0);
  uint32_t in[4] = {between(1, 2), groups, between(1, 12), between(1, below(4) ? 12 : 80)};
  uint32_t out[4] = {in[0], groups * og, 1, 1}, taps = 1, square = below(2);
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t kernel = square && i ? t->param[0] : kernels[below(8)];
    uint32_t stride = between(1, 3), dilation = below(4) ? 1 : between(2, 3);
    uint32_t pad = below(2) ? kernel / 2 * dilation : below(4), span = (kernel - 1) * dilation + 1;
    uint32_t room = in[2 + i] + 2 * pad;
    out[2 + i] = room < span ? 1 : (room - span) / stride + 1;
    t->param[i] = kernel;
    t->param[2 + i] = stride;
    t->param[4 + i] = dilation;
    t->param[6 + i] = pad;
    taps *= kernel;
  }
  tensor(t, 0, dtype, in, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  t->call.inputs = 1;
  t->call.param_size = 64;
  t->param[8] = groups;
  t->param[9] = 2;
  t->param[11] = ceil8(out[1]) * taps * dmt_item(dtype);
  t->param[13] = below(3) == 0;
  range(t, 14, dtype);
  blob(t, ceil8(out[1]) * taps, dtype);
  int floats = dtype == DMT_F32;
  uint32_t arrays = (floats ? 1 : 4) + t->param[13] * (floats ? 1 : 3), words = ceil8(out[1]);
  channels(t, arrays, 1, out[1], floats);
  uint32_t base = below(20), near = below(4);
  for (uint32_t i = 0; !floats && near && i < words; i++) { /* shifts near each other */
    for (uint32_t a = 1; a < arrays; a += 3) {
      t->chan[(a + 1) * words + i] = 0;
      t->chan[(a + 2) * words + i] = (int32_t)(base + below(6));
    }
  }
}
