#include "dmt_packed.h"

#include "dmt_internal.h"
#include "dmt_quantize.h"

dmt_status dmt_packed_open(const dmt_packed *packed, dmt_parallel_for parallel_for, void *user,
                           dmt_context **context) {
  const dmt_config config = {dmt_packed_operators, packed->threads, parallel_for, NULL, user};
  return dmt_init(&config, packed->model, packed->size, dmt_packed_persistent, packed->persistent,
                  dmt_packed_arena, packed->arena, context);
}

/* Steps through a view, one element after the other in Caffe's order. */
typedef struct {
  uint32_t index[DMT_MAX_RANK];
  uint8_t *at; /* NULL after the last one */
} cursor;

static cursor first_element(dmt_view *view) {
  cursor found = {{0}, view->data};
  if (view->rows != DMT_ALL_ROWS) {
    view->dim[2] = view->rows;
    found.at = view->rows > 0 ? found.at : NULL;
  }
  return found;
}

static void next_element(const dmt_view *view, cursor *c) {
  for (uint32_t axis = view->rank; axis-- > 0;) {
    c->at += view->stride[axis];
    if (++c->index[axis] < view->dim[axis]) {
      return;
    }
    c->at -= (size_t)view->dim[axis] * view->stride[axis];
    c->index[axis] = 0;
  }
  c->at = NULL;
}

/* How far float32 outputs are from an answer. */
typedef struct {
  const uint8_t *answer;
  float largest, furthest;
  int numbers; /* whether all are */
} distance;

static float size_of(float value) { return value < 0.0f ? -value : value; }

static void measure(distance *d, const uint8_t *at) {
  float expected = dmt_f32(d->answer), off = size_of(dmt_f32(at) - expected);
  d->answer += sizeof expected;
  d->largest = size_of(expected) > d->largest ? size_of(expected) : d->largest;
  d->furthest = off > d->furthest ? off : d->furthest;
  d->numbers &= off == off;
}

dmt_status dmt_packed_test(const dmt_packed *packed, uint32_t *crc, int *good) {
  dmt_context *context;
  dmt_view view;
  distance d = {packed->answer, 0.0f, 0.0f, packed->answer != NULL};
  *crc = 0;
  *good = 0;
  dmt_status status = dmt_packed_open(packed, NULL, NULL, &context);
  if (status != DMT_OK) {
    return status;
  }
  const uint8_t *from = packed->sample;
  for (uint32_t i = 0; dmt_input(context, i, &view) == DMT_OK; i++) {
    uint32_t item = dmt_item(view.dtype);
    for (cursor c = first_element(&view); c.at != NULL; next_element(&view, &c)) {
      for (uint32_t byte = 0; byte < item; byte++) {
        c.at[byte] = *from++;
      }
    }
  }
  status = dmt_run(context);
  for (uint32_t i = 0; status == DMT_OK && dmt_output(context, i, &view) == DMT_OK; i++) {
    for (cursor c = first_element(&view); c.at != NULL; next_element(&view, &c)) {
      *crc = dmt_crc32(*crc, c.at, dmt_item(view.dtype));
      if (d.numbers && view.dtype == DMT_F32) {
        measure(&d, c.at);
      }
    }
  }
  *good =
      status == DMT_OK && (*crc == packed->crc || (d.numbers && d.furthest <= d.largest / 256.0f));
  return status;
}
