/* What the files of the core share. */
#ifndef DMT_INTERNAL_H
#define DMT_INTERNAL_H

#include "dmt_format.h"
#include "dmt_op.h"
#include "dmt_port.h"

/* The sections that a reader knows, in FORMAT.md's order. */
enum {
  DMT_TENS,
  DMT_OPER,
  DMT_INDX,
  DMT_INPT,
  DMT_OUTP,
  DMT_PARM,
  DMT_CHAN,
  DMT_DATA,
  DMT_PREP,
  DMT_NAME,
  DMT_META,
  DMT_KNOWN_SECTIONS
};

typedef struct {
  const uint8_t *data; /* the model itself where the section is missing */
  uint32_t size, stride, count;
} dmt_section;

/* A file whose structure, tensors and ports are proven. */
typedef struct {
  const uint8_t *file;
  dmt_section section[DMT_KNOWN_SECTIONS];
  uint32_t arena_size;
} dmt_model;

struct dmt_context {
  dmt_model model;
  dmt_config config;
  uint8_t *arena;
  const dmt_operator *kernel[]; /* one for each operator */
};

static inline const uint8_t *dmt_record(const dmt_model *model, uint32_t section, uint32_t index) {
  const dmt_section *s = &model->section[section];
  return s->data + (size_t)index * s->stride;
}

static inline uint32_t dmt_count(const dmt_model *model, uint32_t section) {
  return model->section[section].count;
}

static inline int dmt_aligned(const void *at) { return ((uintptr_t)at & (DMT_ALIGN - 1)) == 0; }

/* zlib's CRC-32, continued from `crc` (0 at the start). */
uint32_t dmt_crc32(uint32_t crc, const uint8_t *data, size_t size);

/* Header, checksum, sections, tensors, ports and preprocessing; not the operators. */
dmt_status dmt_open(const void *data, size_t size, dmt_model *model, dmt_where *where);
/* Every operator: its record and, by the first kernel that takes it, its parameters. Fills
 * kernel[] unless NULL; the largest scratch of one thread. */
dmt_status dmt_select(const dmt_config *config, const dmt_model *model, const dmt_operator **kernel,
                      uint32_t *scratch, dmt_where *where);
/* A tensor, its data pointer NULL where there is no arena. */
void dmt_view_tensor(const dmt_model *model, uint32_t index, uint8_t *arena, dmt_view *view);
/* An operator ready to check: without arena, scratch and threads. */
void dmt_make_call(const dmt_model *model, const uint8_t *record, uint8_t *arena, dmt_call *call);

#endif
