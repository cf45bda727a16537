/* Calls of convolutions, for ops_selfcheck.c. */

/* Packing 5 as the format promises it: zeros behind the `used` weights of a row, no -128. */
static void promise_dots(test *t, uint32_t used, uint32_t halves) {
  uint32_t run = ceil8(used), weights = t->call.data.size * (halves ? 2 : 1);
  for (uint32_t i = 0; !halves && i < weights; i++) {
    t->data[i] = t->data[i] == 128 ? 129 : t->data[i];
  }
  for (uint32_t row = 0; row < weights; row += 4 * run) {
    for (uint32_t k = used; k < run; k++) {
      uint32_t start = k / 16 * 16, n = run - start < 16 ? 8 : 16;
      for (uint32_t o = 0; o < 4; o++) {
        uint32_t at = row + 4 * start + o * n + k - start;
        t->data[halves ? at / 2 : at] &= !halves ? 0 : at % 2 ? 15 : 240;
      }
    }
  }
}

static void make_conv(test *t, uint32_t dtype) {
  const uint32_t packings[] = {0, 1, 2, 5, 5, 5};
  uint32_t packing = packings[below(dtype == DMT_S8 ? 6 : 3)];
  uint32_t groups = packing == 2 ? between(1, 40) : between(1, 2);
  uint32_t ig = packing == 2 ? 1 : below(12) ? between(1, 67) : between(100, 600);
  uint32_t og = packing == 2 ? 1 + (below(4) == 0) : between(1, 67);
  uint32_t square = packing == 1 && below(2); /* 3 x 3, of which there are faster ways */
  ig = square ? 4 * between(1, 10) : ig;
  uint32_t wide = packing == 5 && below(8) == 0; /* sums in several parts */
  ig = wide ? between(1000, 1500) : ig;
  og = wide ? between(250, 350) : og;
  uint32_t in[4] = {between(1, 2), groups * ig, between(wide ? 6 : 1, 7),
                    between(wide ? 9 : 1, 12)};
  uint32_t out[4] = {in[0], groups * og, between(1, 7), between(1, 12)}, taps = ig, outputs;
  for (uint32_t i = 0; i < 2; i++) {
    t->param[i] = below(3) ? between(1, 4) : 1;
    t->param[2 + i] = between(1, 3);
    t->param[4 + i] = between(1, 2);
    t->param[6 + i] = below(5);
    taps *= t->param[i];
  }
  if (wide || below(4) == 0) { /* a row of pixels, 1 x 1 */
    const uint32_t unit[8] = {1, 1, 1, 1, 1, 1, 0, 0};
    memcpy(t->param, unit, sizeof unit);
    memcpy(&out[2], &in[2], 2 * sizeof *in);
    taps = ig;
  } else if (square) {
    const uint32_t three[6] = {3, 3, 1, 1, 1, 1};
    memcpy(t->param, three, sizeof three);
    out[2] += 6;
    out[3] += 6;
    taps = 9 * ig;
  }
  outputs = packing == 2 ? ceil8(groups * og) : groups * (packing == 1 ? ceil8(og) : og);
  uint32_t used = ig < 8 ? taps : ig;
  if (packing == 5) {
    outputs = groups * ((og + 3) / 4 * 4);
    taps = ig < 8 ? ceil8(taps) : taps / ig * ceil8(ig);
  }
  tensor(t, 0, dtype, in, below(2) * 3);
  tensor(t, DMT_MAX_INPUTS, dtype, out, below(2) * 5);
  t->call.inputs = 1;
  t->param[8] = groups;
  /* weights of half a byte */
  uint32_t halves = dtype == DMT_S8 && (packing == 0 || packing == 5) && below(4) == 0;
  uint32_t bytes = outputs * taps * dmt_item(dtype);
  bytes = halves ? (bytes + 1) / 2 : bytes;
  t->param[9] = !halves ? packing : packing == 0 ? 3 : 4;
  t->param[11] = bytes;
  t->param[13] = below(2);
  range(t, 14, dtype);
  blob(t, bytes / dmt_item(dtype), dtype);
  if (packing == 5) {
    promise_dots(t, used, halves);
  }
  int floats = dtype == DMT_F32;
  channels(t, (floats ? 1 : 4) + t->param[13] * (floats ? 1 : 3), 1, groups * og, floats);
  t->call.param_size = 64;
}
