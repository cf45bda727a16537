/* Raw camera bytes into an input, in one pass and without a buffer: each pixel of the input reads
 * four pixels of the frame, brings them into the network's channels, blends them, and goes through
 * the table of its channel. */
#include "dmt_internal.h"
#include "dmt_quantize.h"
#include "dmt_resize.h"

/* How the frame lies on the input: stretched to width x height, the input seeing it from
 * (left, top) on; negative: a border. */
typedef struct {
  uint32_t width, height;
  int32_t left, top;
} placement;

typedef struct {
  const dmt_frame *frame;
  dmt_view view;
  uint32_t order;
  const uint8_t *table; /* 256 values a channel, or NULL with a mean image */
  const uint8_t *mean;
  float scale[4];
  uint32_t bytes;   /* of a pixel whose bytes are the network's channels, or 0 */
  uint32_t from[3]; /* where each channel stands in it */
} job;

static int frame_ok(const dmt_frame *frame) {
  static const uint8_t bytes[] = {1, 3, 3, 4, 1}; /* of a pixel, by dmt_pixels */
  if (frame == NULL || frame->data == NULL || (unsigned)frame->pixels > DMT_NV12 ||
      frame->width < 1 || frame->width > DMT_MAX_SIDE || frame->height < 1 ||
      frame->height > DMT_MAX_SIDE) {
    return 0;
  }
  uint32_t row = frame->width * bytes[frame->pixels];
  if (frame->pixels == DMT_NV12) {
    row += row & 1; /* the last pair of U and V is whole */
  }
  return frame->row_stride >= row && (frame->pixels != DMT_NV12 || frame->chroma != NULL);
}

static int place(const dmt_frame *frame, const uint8_t *record, const dmt_view *view,
                 placement *where) {
  uint32_t w = frame->width, h = frame->height, height = view->dim[2], width = view->dim[3];
  uint32_t fit = dmt_u32(record + DMT_PREP_FIT);
  uint32_t resize_w = dmt_u32(record + DMT_PREP_WIDTH);
  uint32_t resize_h = dmt_u32(record + DMT_PREP_HEIGHT);
  if (fit == DMT_FIT_LETTERBOX) {
    if (w * height >= h * width) { /* wider than the input */
      where->width = width;
      where->height = (2 * h * width + w) / (2 * w);
      where->height += where->height == 0;
    } else {
      where->height = height;
      where->width = (2 * w * height + h) / (2 * h);
      where->width += where->width == 0;
    }
    where->left = -(int32_t)((width - where->width) / 2);
    where->top = -(int32_t)((height - where->height) / 2);
    return 1;
  }
  where->width = fit == DMT_FIT_CROP ? w : resize_w ? resize_w : width;
  where->height = fit == DMT_FIT_CROP ? h : resize_h ? resize_h : height;
  if (where->width < width || where->height < height) {
    return 0;
  }
  where->left = (int32_t)((where->width - width) / 2);
  where->top = (int32_t)((where->height - height) / 2);
  return 1;
}

static uint8_t saturate(int32_t value) {
  return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* BT.601, studio swing, in 20 bits as OpenCV. */
static void nv12_to_rgb(const dmt_frame *frame, uint32_t x, uint32_t y, uint8_t rgb[3]) {
  const uint8_t *pair = frame->chroma + (size_t)(y / 2) * frame->row_stride + (x & ~1u);
  int32_t luma = frame->data[(size_t)y * frame->row_stride + x] - 16;
  int32_t u = pair[0] - 128, v = pair[1] - 128;
  luma = (luma > 0 ? luma : 0) * 1220542 + (1 << 19);
  rgb[0] = saturate((luma + 1673527 * v) >> 20);
  rgb[1] = saturate((luma - 852492 * v - 409993 * u) >> 20);
  rgb[2] = saturate((luma + 2116026 * u) >> 20);
}

/* A pixel of the frame in the network's channels. */
static void fetch(const dmt_frame *frame, uint32_t order, uint32_t x, uint32_t y, uint8_t out[3]) {
  const uint8_t *row = frame->data + (size_t)y * frame->row_stride;
  uint8_t rgb[3];
  switch (frame->pixels) {
  case DMT_GRAY:
    rgb[0] = rgb[1] = rgb[2] = row[x];
    break;
  case DMT_NV12:
    nv12_to_rgb(frame, x, y, rgb);
    break;
  default: {
    const uint8_t *pixel = row + (size_t)x * (frame->pixels == DMT_BGRA ? 4 : 3);
    uint32_t red = frame->pixels == DMT_RGB ? 0 : 2;
    rgb[0] = pixel[red];
    rgb[1] = pixel[1];
    rgb[2] = pixel[2 - red];
  }
  }
  if (order == DMT_ORDER_GRAY) {
    out[0] = (uint8_t)((9798 * rgb[0] + 19235 * rgb[1] + 3735 * rgb[2] + (1 << 14)) >> 15);
    return;
  }
  uint32_t red = order == DMT_ORDER_RGB ? 0 : 2;
  out[red] = rgb[0];
  out[1] = rgb[1];
  out[2 - red] = rgb[2];
}

/* Write one element: a border, or what a byte becomes. */
static void store(const job *work, uint32_t c, uint32_t y, uint32_t x, const uint8_t *byte) {
  const dmt_view *view = &work->view;
  uint8_t *at = (uint8_t *)view->data + (size_t)c * view->stride[1] + (size_t)y * view->stride[2] +
                (size_t)x * view->stride[3];
  if (byte != NULL && work->table != NULL) { /* whole elements, without a look at their type */
    uint32_t item = dmt_item(view->dtype);
    const uint8_t *from = work->table + (c * 256 + *byte) * item;
    for (uint32_t i = 0; i < item; i++) {
      at[i] = from[i];
    }
    return;
  }
  float value = 0.0f;
  if (byte != NULL) {
    size_t pixel = ((size_t)c * view->dim[2] + y) * view->dim[3] + x;
    value = (float)*byte - dmt_f32(work->mean + 4 * pixel);
    value = value * work->scale[c];
  }
  dmt_view element = *view;
  element.data = at;
  element.rank = 1;
  element.dim[0] = 1;
  dmt_write_f32(&element, &value);
}

/* Frames of three or four bytes a pixel for networks of three channels: no pixel is put together.
 */
static void find_bytes(job *work) {
  uint32_t pixels = work->frame->pixels;
  int straight = pixels == DMT_RGB || pixels == DMT_BGR || pixels == DMT_BGRA;
  uint32_t swapped = (pixels == DMT_RGB) != (work->order == DMT_ORDER_RGB);
  work->bytes = 0;
  if (straight && work->order != DMT_ORDER_GRAY && work->table != NULL) {
    work->bytes = pixels == DMT_BGRA ? 4 : 3;
    work->from[0] = swapped ? 2 : 0;
    work->from[1] = 1;
    work->from[2] = 2 - work->from[0];
  }
}

static void write_bytes(const job *work, uint32_t y, uint32_t x, dmt_tap across, dmt_tap down) {
  const dmt_view *view = &work->view;
  const uint8_t *upper = work->frame->data + (size_t)down.first * work->frame->row_stride;
  const uint8_t *lower = work->frame->data + (size_t)down.second * work->frame->row_stride;
  uint32_t item = dmt_item(view->dtype), left = across.first * work->bytes;
  uint32_t right = across.second * work->bytes;
  uint8_t *at = (uint8_t *)view->data + (size_t)y * view->stride[2] + (size_t)x * view->stride[3];
  const uint8_t *table = work->table;
  for (uint32_t c = 0; c < 3; c++, at += view->stride[1], table += 256 * item) {
    uint32_t l = left + work->from[c], r = right + work->from[c];
    uint8_t byte = dmt_blend(upper[l], upper[r], lower[l], lower[r], across.weight, down.weight);
    if (item == 1) {
      *at = table[byte];
    } else {
      memcpy(at, table + byte * item, item);
    }
  }
}

static void write_row(const job *work, const placement *where, uint32_t y, const dmt_tap *down) {
  uint32_t channels = work->view.dim[1], order = work->order;
  uint32_t skip = where->left > 0 ? (uint32_t)where->left : 0;
  dmt_axis columns = dmt_axis_start(work->frame->width, where->width, skip);
  for (uint32_t x = 0; x < work->view.dim[3]; x++) {
    int32_t px = (int32_t)x + where->left;
    uint8_t pixel[4][3], value[3];
    int border = down == NULL || px < 0 || px >= (int32_t)where->width;
    if (!border) {
      dmt_tap across = dmt_axis_next(&columns);
      if (work->bytes != 0) {
        write_bytes(work, y, x, across, *down);
        continue;
      }
      fetch(work->frame, order, across.first, down->first, pixel[0]);
      fetch(work->frame, order, across.second, down->first, pixel[1]);
      fetch(work->frame, order, across.first, down->second, pixel[2]);
      fetch(work->frame, order, across.second, down->second, pixel[3]);
      for (uint32_t c = 0; c < channels; c++) {
        value[c] = dmt_blend(pixel[0][c], pixel[1][c], pixel[2][c], pixel[3][c], across.weight,
                             down->weight);
      }
    }
    for (uint32_t c = 0; c < channels; c++) {
      store(work, c, y, x, border ? NULL : &value[c]);
    }
  }
}

/* The preprocessing record of an input; NULL: none. */
static const uint8_t *find_record(const dmt_model *model, uint32_t input) {
  for (uint32_t i = 0; i < dmt_count(model, DMT_PREP); i++) {
    const uint8_t *record = dmt_record(model, DMT_PREP, i);
    if (dmt_u32(record + DMT_PREP_INPUT) == input) {
      return record;
    }
  }
  return NULL;
}

dmt_status dmt_image(dmt_context *context, uint32_t input, const dmt_frame *frame) {
  job work;
  placement where;
  dmt_status status = dmt_input(context, input, &work.view);
  if (status != DMT_OK) {
    return status;
  }
  const uint8_t *record = find_record(&context->model, input);
  if (record == NULL || !frame_ok(frame) || !place(frame, record, &work.view, &where)) {
    return DMT_E_IMAGE;
  }
  const uint8_t *data = dmt_section_data(&context->model, DMT_DATA);
  uint32_t mean = dmt_u32(record + DMT_PREP_MEAN);
  work.frame = frame;
  work.order = dmt_u32(record + DMT_PREP_ORDER);
  work.mean = mean != DMT_NONE ? data + mean : NULL;
  work.table = mean != DMT_NONE ? NULL : data + dmt_u32(record + DMT_PREP_TABLE);
  memcpy(work.scale, record + DMT_PREP_SCALE, sizeof work.scale);
  find_bytes(&work);

  uint32_t skip = where.top > 0 ? (uint32_t)where.top : 0;
  dmt_axis rows = dmt_axis_start(frame->height, where.height, skip);
  for (uint32_t y = 0; y < work.view.dim[2]; y++) {
    int32_t py = (int32_t)y + where.top;
    if (py < 0 || py >= (int32_t)where.height) {
      write_row(&work, &where, y, NULL);
    } else {
      dmt_tap down = dmt_axis_next(&rows);
      write_row(&work, &where, y, &down);
    }
  }
  return DMT_OK;
}
