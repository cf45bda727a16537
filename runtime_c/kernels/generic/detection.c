/* DETECTION: the boxes of SSD from locations, confidences and priors. float32, one thread. */
#include "dmt_boxes.h"

enum { CODE_CORNER, CODE_CENTER_SIZE, CODE_CORNER_SIZE };

typedef struct {
  const dmt_call *call;
  uint32_t classes, background, shared, code, encoded;
  float threshold, overlap, eta;
  uint32_t images, priors;
  uint32_t most; /* boxes of one class of one image */
  uint64_t keep; /* boxes of one image */
  const uint8_t *prior, *variance;
  size_t prior_step;
  uint32_t image, label; /* where the job is */
  dmt_box *boxes;        /* scratch: `most` */
  uint32_t *best;        /* scratch: `most` of each class */
  uint32_t *kept;        /* scratch: of each class, how many of its best are boxes */
  uint32_t *told;        /* scratch: of each class, how many of these are told */
} detection_job;

static uint64_t detection_keep(const detection_job *job, uint32_t limit) {
  uint64_t classes = job->classes - (job->background < job->classes);
  uint64_t all = classes * job->most;
  return limit < all ? limit : all;
}

static void detection_read(const dmt_call *call, detection_job *job) {
  uint32_t top_k = dmt_word(call, 32);
  job->call = call;
  job->classes = dmt_word(call, 0);
  job->background = dmt_word(call, 4);
  job->shared = dmt_word(call, 8);
  job->code = dmt_word(call, 12);
  job->encoded = dmt_word(call, 16);
  job->threshold = dmt_float(call, 20);
  job->overlap = dmt_float(call, 24);
  job->eta = dmt_float(call, 28);
  job->images = call->in[1].dim[0];
  job->priors = job->classes > 0 ? call->in[1].dim[1] / job->classes : 0;
  job->most = top_k < job->priors ? top_k : job->priors;
  job->keep = detection_keep(job, dmt_word(call, 36));
}

/* Where priors and scratch stand, once they are proven to be there. */
static void detection_place(detection_job *job) {
  const dmt_call *call = job->call;
  const dmt_view *prior = &call->in[2];
  if (call->inputs == 3) {
    job->prior = prior->data;
    job->variance = job->prior + prior->stride[1];
    job->prior_step = prior->stride[2];
  } else {
    job->prior = call->data.data + dmt_word(call, 40);
    job->variance = job->prior + (size_t)16 * job->priors;
    job->prior_step = sizeof(float);
  }
  job->boxes = (dmt_box *)(void *)call->scratch;
  job->best = (uint32_t *)(void *)(job->boxes + job->most);
  job->kept = job->best + (size_t)job->classes * job->most;
  job->told = job->kept + job->classes;
}

static uint64_t detection_bytes(const detection_job *job) {
  return sizeof(dmt_box) * (uint64_t)job->most +
         sizeof(uint32_t) * (uint64_t)job->classes * ((uint64_t)job->most + 2);
}

static int detection_is_flat(const dmt_view *view, uint32_t images, uint64_t values) {
  return view->rank >= 2 && view->dim[0] == images && view->dim[1] == values && view->dim[2] == 1 &&
         view->dim[3] == 1 && view->dim[4] == 1 && view->dim[5] == 1;
}

static int detection_has_priors(const dmt_call *call, const detection_job *job) {
  const dmt_view *view = &call->in[2];
  if (call->inputs == 2) {
    return dmt_holds(call->data, dmt_word(call, 40), (uint64_t)32 * job->priors);
  }
  return view->rank == 3 && view->dim[0] == 1 && view->dim[1] == 2 &&
         view->dim[2] == (uint64_t)4 * job->priors;
}

static dmt_status detection_check(const dmt_call *call) {
  detection_job job;
  if (!dmt_has(call, 2, 3, DMT_F32, 44)) {
    return DMT_E_OPERATOR;
  }
  detection_read(call, &job);
  uint64_t groups = job.shared ? 1 : job.classes;
  int good = job.priors > 0 && job.shared <= 1 && job.encoded <= 1 &&
             job.code <= CODE_CORNER_SIZE && detection_has_priors(call, &job) &&
             detection_is_flat(&call->in[0], job.images, 4 * groups * job.priors) &&
             detection_is_flat(&call->in[1], job.images, (uint64_t)job.classes * job.priors) &&
             detection_bytes(&job) <= INT32_MAX &&
             dmt_is_rows(&call->out, dmt_times(job.images, job.keep > 0 ? job.keep : 1));
  return good ? DMT_OK : DMT_E_OPERATOR;
}

static uint32_t detection_scratch(const dmt_call *call) {
  detection_job job;
  detection_read(call, &job);
  return (uint32_t)detection_bytes(&job);
}

static void detection_decode(const void *context, uint32_t i, dmt_box *box) {
  const detection_job *job = context;
  const dmt_view *location = &job->call->in[0];
  uint32_t groups = job->shared ? 1 : job->classes;
  float prior[4], shift[4];
  i = i < job->priors ? i : 0;
  const uint8_t *from = (const uint8_t *)location->data + (size_t)job->image * location->stride[0];
  for (uint32_t k = 0; k < 4; k++) {
    size_t at = ((size_t)i * groups + (job->shared ? 0 : job->label)) * 4 + k;
    shift[k] = dmt_load(from + at * location->stride[1]);
    prior[k] = dmt_load(job->prior + ((size_t)i * 4 + k) * job->prior_step);
    if (!job->encoded) {
      shift[k] = dmt_load(job->variance + ((size_t)i * 4 + k) * job->prior_step) * shift[k];
    }
  }
  float edge[4];
  for (uint32_t k = 0; k < 2; k++) { /* horizontal, vertical */
    float size = prior[k + 2] - prior[k];
    if (job->code == CODE_CENTER_SIZE) {
      float centre = shift[k] * size + (prior[k] + prior[k + 2]) * 0.5f;
      float half = dmt_exp(shift[k + 2]) * size * 0.5f;
      edge[k] = centre - half;
      edge[k + 2] = centre + half;
    } else {
      size = job->code == CODE_CORNER ? 1.0f : size;
      edge[k] = prior[k] + shift[k] * size;
      edge[k + 2] = prior[k + 2] + shift[k + 2] * size;
    }
  }
  box->left = edge[0];
  box->top = edge[1];
  box->right = edge[2];
  box->bottom = edge[3];
}

static dmt_scores detection_scores(const detection_job *job, uint32_t label) {
  const dmt_view *view = &job->call->in[1];
  dmt_scores scores = {(const uint8_t *)view->data + (size_t)job->image * view->stride[0] +
                           (size_t)label * view->stride[1],
                       (size_t)job->classes * view->stride[1], job->priors};
  return scores;
}

/* The boxes of every class of the image; how many they are. */
static uint64_t detection_find(detection_job *job) {
  uint64_t total = 0;
  for (uint32_t label = 0; label < job->classes; label++) {
    job->label = label;
    job->told[label] = 0;
    job->kept[label] = 0;
    if (label != job->background) {
      dmt_scores scores = detection_scores(job, label);
      uint32_t *best = job->best + (size_t)label * job->most;
      uint32_t count = dmt_strongest(&scores, job->threshold, job->most, best);
      job->kept[label] =
          dmt_suppress(detection_decode, job, job->overlap, job->eta, best, count, job->boxes);
      total += job->kept[label];
    }
  }
  return total;
}

/* Of boxes of all classes the best: they are the first ones of each class. */
static void detection_choose(const detection_job *job) {
  for (uint64_t i = 0; i < job->keep; i++) {
    uint32_t best = job->classes;
    float most = 0.0f;
    for (uint32_t label = 0; label < job->classes; label++) {
      if (job->told[label] < job->kept[label] && job->told[label] < job->most) {
        dmt_scores scores = detection_scores(job, label);
        float score = dmt_score(&scores, job->best[(size_t)label * job->most + job->told[label]]);
        if (best == job->classes || score > most) {
          best = label;
          most = score;
        }
      }
    }
    if (best < job->classes) {
      job->told[best]++;
    }
  }
}

static uint32_t detection_tell(detection_job *job, uint32_t row) {
  for (uint32_t label = 0; label < job->classes; label++) {
    dmt_scores scores = detection_scores(job, label);
    job->label = label;
    for (uint32_t i = 0; i < job->told[label] && i < job->most; i++) {
      uint32_t box_index = job->best[(size_t)label * job->most + i];
      dmt_box box;
      detection_decode(job, box_index, &box);
      dmt_put_row(job->call, row++, job->image, (float)label, dmt_score(&scores, box_index), &box);
    }
  }
  return row;
}

static void detection_run(const dmt_call *call) {
  detection_job job;
  detection_read(call, &job);
  detection_place(&job);
  uint32_t rows = 0;
  for (job.image = 0; job.image < job.images; job.image++) {
    if (detection_find(&job) > job.keep) {
      detection_choose(&job);
    } else {
      for (uint32_t label = 0; label < job.classes; label++) {
        job.told[label] = job.kept[label];
      }
    }
    rows = detection_tell(&job, rows);
  }
  dmt_end_rows(call, rows, job.images);
}

const dmt_operator dmt_op_detection_f32 = {
    DMT_OP_DETECTION, DMT_F32, 1, detection_check, detection_scratch, detection_run,
};
