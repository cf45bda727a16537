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
  uint32_t offset; /* in the file; all 0 where the section is missing */
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
};

/* The context's place in persistent memory, the same on every machine, whatever a pointer's size:
 * what a host prints is what the device needs. Behind it, for each operator, the index of its
 * kernel in config.operators. */
#define DMT_CONTEXT_SIZE 256u
typedef char dmt_context_fits[sizeof(struct dmt_context) <= DMT_CONTEXT_SIZE ? 1 : -1];

static inline uint16_t *dmt_chosen(const dmt_context *context) {
  return (uint16_t *)(uintptr_t)((const uint8_t *)context + DMT_CONTEXT_SIZE);
}

static inline const uint8_t *dmt_section_data(const dmt_model *model, uint32_t section) {
  return model->file + model->section[section].offset;
}

static inline const uint8_t *dmt_record(const dmt_model *model, uint32_t section, uint32_t index) {
  const dmt_section *s = &model->section[section];
  return model->file + s->offset + (size_t)index * s->stride;
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
 * chosen[] unless NULL; the bytes of an arena that holds the tensors and every scratch. */
dmt_status dmt_select(const dmt_config *config, const dmt_model *model, uint16_t *chosen,
                      uint64_t *arena, dmt_where *where);

static inline uint32_t dmt_threads(const dmt_config *config) {
  return config->threads > 0 ? config->threads : 1;
}

/* Where an operator's scratch stands in the arena; `bytes` gets what it needs for all threads. */
uint32_t dmt_scratch_at(const dmt_config *config, const dmt_model *model, const uint8_t *record,
                        const dmt_operator *kernel, const dmt_call *call, uint64_t *bytes);
/* A tensor, its data pointer NULL where there is no arena. */
void dmt_view_tensor(const dmt_model *model, uint32_t index, uint8_t *arena, dmt_view *view);
/* An operator ready to check: without arena, scratch and threads. */
void dmt_make_call(const dmt_model *model, const uint8_t *record, uint8_t *arena, dmt_call *call);

#endif
