/* Calls for ops_selfcheck.c: 3 x 3 convolutions, int8, whose accumulators stay within 2^25. */

static void make_winograd(test *t, uint32_t dtype) {
  const uint32_t unit[8] = {3, 3, 1, 1, 1, 1, below(3), below(3)};
  uint32_t in[4] = {between(1, 2), below(3) ? between(1, 67) : between(60, 67), between(1, 20),
                    between(1, 20)};
  uint32_t least = below(3) ? 12 : 1; /* where the kernel pays, mostly */
  uint32_t out[4] = {in[0], between(1, 67), between(least, 20), between(least, 20)};
  memcpy(t->param, unit, sizeof unit);
  tensor(t, 0, dtype, in, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  t->call.inputs = 1;
  t->param[8] = 1;
  t->param[9] = 5;
  t->param[11] = (out[1] + 3) / 4 * 4 * (in[1] < 8 ? ceil8(9 * in[1]) : 9 * ceil8(in[1]));
  t->param[13] = below(4) == 0;
  t->param[16] = 1;
  t->call.param_size = 68;
  range(t, 14, dtype);
  blob(t, t->param[11], dtype);
  if (below(4) == 0) {
    fill(t->data, t->param[11], dtype, 1);
  }
  uint32_t used = in[1] < 8 ? 9 * in[1] : in[1], run = ceil8(used);
  for (uint32_t i = 0; i < t->param[11]; i++) { /* as the format promises */
    uint32_t at = i % (4 * run), whole = run / 16 * 64;
    uint32_t k = at < whole ? at / 64 * 16 + at % 16 : whole / 4 + at % 8;
    t->data[i] = k >= used ? 0 : t->data[i] == 128 ? 129 : t->data[i];
  }
  channels(t, 4 + t->param[13] * 3, 1, out[1], 0);
  uint32_t up = ceil8(out[1]), plain = below(4) > 0;
  for (uint32_t i = 0; i < out[1]; i++) {
    t->chan[i] = (int32_t)below(1u << 21) - (1 << 20);
    if (plain) { /* as the converter has them: most outputs are no extremes */
      t->chan[up + i] = (int32_t)((1u << 30) + below(1u << 30));
      t->chan[2 * up + i] = 0;
      t->chan[3 * up + i] = (int32_t)between(10, 14);
    }
  }
}
