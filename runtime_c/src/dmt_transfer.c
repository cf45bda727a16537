/* Between a view and dense float32 in Caffe's order. */
#include "dmt_port.h"
#include "dmt_quantize.h"

/* Walks the rows (last axis) of a view in Caffe's order. */
typedef struct {
  uint32_t index[DMT_MAX_RANK - 1];
  uint32_t last; /* axis of the rows */
  uint8_t *row;  /* NULL after the last one */
} row_walk;

static row_walk first_row(const dmt_view *view) {
  row_walk walk = {{0}, view->rank > 0 ? view->rank - 1 : 0, view->data};
  return walk;
}

static void next_row(const dmt_view *view, row_walk *walk) {
  for (uint32_t axis = walk->last; axis-- > 0;) {
    walk->row += view->stride[axis];
    if (++walk->index[axis] < view->dim[axis]) {
      return;
    }
    walk->row -= (size_t)view->dim[axis] * view->stride[axis];
    walk->index[axis] = 0;
  }
  walk->row = NULL;
}

void dmt_write_f32(const dmt_view *view, const float *values) {
  int32_t low = dmt_lowest(view->dtype), high = dmt_highest(view->dtype);
  for (row_walk walk = first_row(view); walk.row != NULL; next_row(view, &walk)) {
    uint8_t *at = walk.row;
    uint32_t step = view->stride[walk.last];
    for (uint32_t i = view->dim[walk.last]; i-- > 0; at += step, values++) {
      if (view->dtype == DMT_F32) {
        memcpy(at, values, sizeof *values);
        continue;
      }
      int32_t q = dmt_quantize(*values, view->inv_scale, view->zero_point, low, high);
      if (view->dtype == DMT_S8) {
        *(int8_t *)at = (int8_t)q;
      } else {
        int16_t wide = (int16_t)q;
        memcpy(at, &wide, sizeof wide);
      }
    }
  }
}

void dmt_read_f32(const dmt_view *view, float *values) {
  for (row_walk walk = first_row(view); walk.row != NULL; next_row(view, &walk)) {
    const uint8_t *at = walk.row;
    uint32_t step = view->stride[walk.last];
    for (uint32_t i = view->dim[walk.last]; i-- > 0; at += step, values++) {
      if (view->dtype == DMT_F32) {
        memcpy(values, at, sizeof *values);
      } else if (view->dtype == DMT_S8) {
        *values = dmt_dequantize(*(const int8_t *)at, view->scale, view->zero_point);
      } else {
        *values = dmt_dequantize((int16_t)dmt_u16(at), view->scale, view->zero_point);
      }
    }
  }
}
