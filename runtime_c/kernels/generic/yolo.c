/* YOLO: the boxes of grids of cells. float32, one thread. */
#include "dmt_boxes.h"

typedef struct {
  const dmt_call *call;
  uint32_t classes, boxes, softmax;
  float threshold, overlap;
  const float *anchors;
  uint64_t total; /* boxes of one image */
  uint32_t image; /* where the job is */
} yolo_job;

/* One box of a cell: where its values begin, and one channel further. */
typedef struct {
  const uint8_t *at;
  size_t step;
  uint32_t x, y, width, height;
  const float *anchor;
} yolo_place;

static void yolo_read(const dmt_call *call, yolo_job *job) {
  job->call = call;
  job->classes = dmt_word(call, 0);
  job->boxes = dmt_word(call, 4);
  job->softmax = dmt_word(call, 8);
  job->threshold = dmt_float(call, 12);
  job->overlap = dmt_float(call, 16);
  job->total = 0;
  for (uint32_t i = 0; i < call->inputs; i++) {
    job->total += dmt_times(job->boxes, (uint64_t)call->in[i].dim[2] * call->in[i].dim[3]);
  }
}

static uint64_t yolo_bytes(const yolo_job *job) {
  return dmt_times(job->total, sizeof(dmt_box) + sizeof(float) + sizeof(uint32_t));
}

static dmt_status yolo_check(const dmt_call *call) {
  yolo_job job;
  if (!dmt_has(call, 1, DMT_MAX_INPUTS, DMT_F32, 24)) {
    return DMT_E_OPERATOR;
  }
  yolo_read(call, &job);
  uint32_t images = call->in[0].dim[0];
  uint64_t channels = dmt_times(job.boxes, (uint64_t)job.classes + 5);
  int good = job.classes > 0 && job.softmax <= 1 && yolo_bytes(&job) <= INT32_MAX &&
             dmt_is_rows(&call->out, dmt_times(images, job.total));
  for (uint32_t i = 0; good && i < call->inputs; i++) {
    good = call->in[i].rank == 4 && call->in[i].dim[0] == images && call->in[i].dim[1] == channels;
  }
  /* Now boxes are as few as channels. */
  good = good && dmt_has_arrays(call, dmt_word(call, 20), 1, 2 * job.boxes * call->inputs);
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static uint32_t yolo_scratch(const dmt_call *call) {
  yolo_job job;
  yolo_read(call, &job);
  return (uint32_t)yolo_bytes(&job);
}

/* Box i of the image: grid by grid, row by row, cell by cell. */
static yolo_place yolo_find(const yolo_job *job, uint32_t i) {
  const dmt_view *grid = job->call->in;
  const float *anchors = job->anchors;
  i = i < job->total ? i : 0;
  for (uint32_t n; i >= (n = job->boxes * grid->dim[2] * grid->dim[3]); grid++) {
    i -= n;
    anchors += 2 * job->boxes;
  }
  uint32_t cell = i / job->boxes, box = i % job->boxes;
  yolo_place place = {grid->data,   grid->stride[1], cell % grid->dim[3],      cell / grid->dim[3],
                      grid->dim[3], grid->dim[2],    anchors + (size_t)2 * box};
  place.at += (size_t)job->image * grid->stride[0] + (size_t)place.y * grid->stride[2] +
              (size_t)place.x * grid->stride[3] + (size_t)box * (5 + job->classes) * place.step;
  return place;
}

static float yolo_value(const yolo_place *place, uint32_t channel) {
  return dmt_load(place->at + channel * place->step);
}

static float yolo_sigmoid(float x) { return 1.0f / (1.0f + dmt_exp(-x)); }

static uint32_t yolo_label(const yolo_job *job, const yolo_place *place) {
  uint32_t label = 0;
  float most = yolo_value(place, 5);
  for (uint32_t i = 1; i < job->classes; i++) {
    float x = yolo_value(place, 5 + i);
    if (x > most) {
      label = i;
      most = x;
    }
  }
  return label;
}

static float yolo_score(const yolo_job *job, const yolo_place *place) {
  float best = yolo_value(place, 5 + yolo_label(job, place)), object = yolo_value(place, 4);
  float sum = 0.0f;
  for (uint32_t i = 0; job->softmax && i < job->classes; i++) {
    sum += dmt_exp(yolo_value(place, 5 + i) - best);
  }
  return yolo_sigmoid(object) * (job->softmax ? 1.0f / sum : yolo_sigmoid(best));
}

static void yolo_decode(const void *context, uint32_t i, dmt_box *box) {
  yolo_place place = yolo_find(context, i);
  float width = (float)place.width, height = (float)place.height;
  float x = ((float)place.x + yolo_sigmoid(yolo_value(&place, 0))) / width;
  float y = ((float)place.y + yolo_sigmoid(yolo_value(&place, 1))) / height;
  float half_w = dmt_exp(yolo_value(&place, 2)) * place.anchor[0] / width * 0.5f;
  float half_h = dmt_exp(yolo_value(&place, 3)) * place.anchor[1] / height * 0.5f;
  box->left = x - half_w;
  box->top = y - half_h;
  box->right = x + half_w;
  box->bottom = y + half_h;
}

static void yolo_run(const dmt_call *call) {
  yolo_job job;
  yolo_read(call, &job);
  job.anchors = (const float *)(const void *)dmt_array(call, dmt_word(call, 20), 0, 0);
  dmt_box *boxes = (dmt_box *)(void *)call->scratch;
  float *score = (float *)(void *)(boxes + job.total);
  uint32_t *best = (uint32_t *)(void *)(score + job.total), rows = 0;
  uint32_t images = call->in[0].dim[0];
  dmt_scores scores = {(const uint8_t *)score, sizeof *score, (uint32_t)job.total};
  for (job.image = 0; job.image < images; job.image++) {
    for (uint32_t i = 0; i < scores.count; i++) {
      yolo_place place = yolo_find(&job, i);
      score[i] = yolo_score(&job, &place);
    }
    uint32_t count = dmt_strongest(&scores, job.threshold, scores.count, best);
    count = dmt_suppress(yolo_decode, &job, job.overlap, 1.0f, best, count, boxes);
    for (uint32_t i = 0; i < count; i++) {
      yolo_place place = yolo_find(&job, best[i]);
      dmt_put_row(call, rows++, job.image, (float)yolo_label(&job, &place) + 1.0f,
                  dmt_score(&scores, best[i]), &boxes[i]);
    }
  }
  dmt_end_rows(call, rows, images);
}

const dmt_operator dmt_op_yolo_f32 = {
    DMT_OP_YOLO, DMT_F32, 1, yolo_check, yolo_scratch, yolo_run,
};
