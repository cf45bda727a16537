/* Stretch an image of interleaved bytes. */
#include "demitasse.h"

#include "dmt_format.h"
#include "dmt_resize.h"

static int side_ok(uint32_t side) { return side >= 1 && side <= DMT_MAX_SIDE; }

void dmt_resize_bilinear_u8(const uint8_t *src, uint32_t sw, uint32_t sh, uint32_t src_stride,
                            uint8_t *dst, uint32_t dw, uint32_t dh, uint32_t dst_stride,
                            uint32_t channels) {
  if (!side_ok(sw) || !side_ok(sh) || !side_ok(dw) || !side_ok(dh)) {
    return;
  }
  dmt_axis rows = dmt_axis_start(sh, dh, 0);
  for (uint32_t y = 0; y < dh; y++) {
    dmt_tap down = dmt_axis_next(&rows);
    const uint8_t *upper = src + (size_t)down.first * src_stride;
    const uint8_t *lower = src + (size_t)down.second * src_stride;
    uint8_t *out = dst + (size_t)y * dst_stride;
    dmt_axis columns = dmt_axis_start(sw, dw, 0);
    for (uint32_t x = 0; x < dw; x++) {
      dmt_tap across = dmt_axis_next(&columns);
      uint32_t left = across.first * channels, right = across.second * channels;
      for (uint32_t c = 0; c < channels; c++) {
        *out++ = dmt_blend(upper[left + c], upper[right + c], lower[left + c], lower[right + c],
                           across.weight, down.weight);
      }
    }
  }
}
