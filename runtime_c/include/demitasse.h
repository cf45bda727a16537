/* Demitasse: runs a model.demi in place. C99, no allocation, no files, no global state.
 *
 *   dmt_sizes(&config, model, size, &sizes);        bytes to provide, 64-byte aligned
 *   dmt_init(&config, model, size, persistent, arena, &context);
 *   dmt_input(context, 0, &view);  ... write view.data ...  or dmt_write_f32 / dmt_image
 *   dmt_run(context);
 *   dmt_output(context, 0, &view); ... read ...             or dmt_read_f32
 *
 * The format is FORMAT.md's. A context belongs to one thread at a time; the model may be shared.
 */
#ifndef DEMITASSE_H
#define DEMITASSE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DMT_ALIGN 64u
#define DMT_MAX_RANK 6u
#define DMT_MAX_INPUTS 8u

typedef enum {
  DMT_OK = 0,
  DMT_E_ARGUMENT,    /* null pointer, index out of range */
  DMT_E_ALIGNMENT,   /* model or memory not aligned */
  DMT_E_MAGIC,       /* not a model.demi */
  DMT_E_ENDIAN,      /* big-endian machine or file */
  DMT_E_VERSION,     /* another major version */
  DMT_E_FEATURE,     /* needs a feature that this build lacks */
  DMT_E_TRUNCATED,   /* shorter than its header says */
  DMT_E_CRC,         /* damaged */
  DMT_E_SECTION,     /* section table broken */
  DMT_E_TENSOR,      /* tensor record broken */
  DMT_E_OPERATOR,    /* operator record or its parameters broken */
  DMT_E_UNSUPPORTED, /* no operator in this build for an opcode, dtype or packing */
  DMT_E_MEMORY,      /* persistent or arena too small */
  DMT_E_IMAGE,       /* frame that does not fit the input's preprocessing */
  DMT_E_STOPPED      /* the observer asked to stop */
} dmt_status;

typedef enum { DMT_F32 = 1, DMT_S8 = 2, DMT_S16 = 3 } dmt_dtype;

/* Where a check failed. */
typedef struct {
  uint32_t index;  /* of the tensor, operator, section or record, by status */
  uint32_t offset; /* in the file: the record or field to blame */
} dmt_where;

#define DMT_ALL_ROWS 0xFFFFFFFFu

/* A tensor in memory. dim is in Caffe's order, stride in bytes. */
typedef struct {
  void *data;
  uint32_t dtype;
  uint32_t rank;
  uint32_t dim[DMT_MAX_RANK];
  uint32_t stride[DMT_MAX_RANK];
  float scale;
  float inv_scale;
  int32_t zero_point;
  uint32_t name; /* offset in the NAME section, or 0xFFFFFFFF */
  uint32_t rows; /* how many of axis 2 the last run found, dim[2] being the most (detections); else
                    DMT_ALL_ROWS */
} dmt_view;

typedef struct {
  size_t persistent; /* context (and repacked weights): one for each context */
  size_t arena;      /* tensors and scratch: may be shared by contexts that run in turn */
} dmt_memory;

typedef struct dmt_context dmt_context;
typedef struct dmt_operator dmt_operator;

/* Runs task(argument, i) for every i < count, in any order, on any threads, and waits. */
typedef void (*dmt_task)(void *argument, uint32_t i);
typedef void (*dmt_parallel_for)(void *user, uint32_t count, dmt_task task, void *argument);
/* Called before (phase 0) and after (phase 1) every operator; non-zero stops the run. */
typedef int (*dmt_observer)(void *user, dmt_context *context, uint32_t operator_index, int phase);

typedef struct {
  const dmt_operator *const *operators; /* null-terminated, first match wins: dmt_kernels(), or
                                           your own, so that the linker drops all others */
  uint32_t threads;                     /* scratch is sized for that many; 0 means 1 */
  dmt_parallel_for parallel_for;        /* NULL: this thread does all */
  dmt_observer observer;                /* NULL: none */
  void *user;                           /* handed to both */
} dmt_config;

/* Kernel sets. */
extern const dmt_operator *const dmt_generic[];
extern const dmt_operator *const dmt_neon[]; /* runs on ARMv7 with NEON; dmt_sizes anywhere */
#if defined(__x86_64__)
extern const dmt_operator *const dmt_avx2[]; /* needs a CPU with AVX2 */
#endif
/* The fastest set for this machine (name NULL), or the one of that name ("generic", "avx2",
 * "neon"), NULL where it does not exist or cannot run. `found`, unless NULL, gets its name. */
const dmt_operator *const *dmt_kernels(const char *name, const char **found);

/* Prove that running the model cannot touch memory outside model, persistent and arena. `model`,
 * as both memories, starts at a multiple of DMT_ALIGN; `where` may be NULL. */
dmt_status dmt_check(const dmt_config *config, const void *model, size_t size, dmt_where *where);
/* Check, and give the memory that dmt_init wants. */
dmt_status dmt_sizes(const dmt_config *config, const void *model, size_t size, dmt_memory *sizes);
/* Check, and build a context in `persistent`. model, persistent and arena stay the caller's. */
dmt_status dmt_init(const dmt_config *config, const void *model, size_t size, void *persistent,
                    size_t persistent_size, void *arena, size_t arena_size, dmt_context **context);
dmt_status dmt_run(dmt_context *context);

uint32_t dmt_input_count(const dmt_context *context);
uint32_t dmt_output_count(const dmt_context *context);
uint32_t dmt_operator_count(const dmt_context *context);
dmt_status dmt_input(const dmt_context *context, uint32_t index, dmt_view *view);
dmt_status dmt_output(const dmt_context *context, uint32_t index, dmt_view *view);
/* Any tensor of the file, and how many operators must have run before its value stands (after
 * those that come later it may be overwritten). */
uint32_t dmt_tensor_count(const dmt_context *context);
dmt_status dmt_tensor(const dmt_context *context, uint32_t index, dmt_view *view, uint32_t *after);
/* Output of an operator, valid right after it ran (observer phase 1). */
dmt_status dmt_result(const dmt_context *context, uint32_t operator_index, dmt_view *view);
/* Name of an input, output (Caffe's blob) or operator; NULL where stripped. */
const char *dmt_input_name(const dmt_context *context, uint32_t index);
const char *dmt_output_name(const dmt_context *context, uint32_t index);
const char *dmt_operator_name(const dmt_context *context, uint32_t operator_index);
const char *dmt_name(const dmt_context *context, uint32_t name); /* of a view */
/* For profiles: 0 for an index out of range. */
uint32_t dmt_operator_opcode(const dmt_context *context, uint32_t operator_index);
uint64_t dmt_operator_macs(const dmt_context *context, uint32_t operator_index);

/* Copy between a view and dense float32 in Caffe's order, quantizing or dequantizing. */
void dmt_write_f32(const dmt_view *view, const float *values);
void dmt_read_f32(const dmt_view *view, float *values);

/* Raw camera bytes into an input, by the model's preprocessing record. */
typedef enum { DMT_GRAY, DMT_RGB, DMT_BGR, DMT_BGRA, DMT_NV12 } dmt_pixels;
typedef struct {
  const uint8_t *data;
  const uint8_t *chroma; /* NV12: the UV plane; else NULL */
  uint32_t width, height;
  uint32_t row_stride; /* bytes (both planes) */
  dmt_pixels pixels;
} dmt_frame;
dmt_status dmt_image(dmt_context *context, uint32_t input, const dmt_frame *frame);
/* The resize that dmt_image uses: integer bilinear, interleaved channels. Every size is 1 to 16384;
 * others write nothing. */
void dmt_resize_bilinear_u8(const uint8_t *src, uint32_t sw, uint32_t sh, uint32_t src_stride,
                            uint8_t *dst, uint32_t dw, uint32_t dh, uint32_t dst_stride,
                            uint32_t channels);

const char *dmt_strerror(dmt_status status); /* in an object file of its own */

#ifdef __cplusplus
}
#endif
#endif
