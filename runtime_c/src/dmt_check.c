/* Proof, before anything runs, that a model cannot touch memory that is not its own.
 *
 * Every field is tested once, in the order of FORMAT.md. Sums are made in 64 bits or tested by
 * subtraction; what has passed is never tested again. The operators' parameters are their kernels'
 * to check. A model must not change afterwards.
 */
#include "dmt_internal.h"
#include "dmt_quantize.h"

static int inside(uint64_t at, uint64_t bytes, uint64_t size) {
  return at <= size && bytes <= size - at;
}

static dmt_status fail(dmt_where *where, dmt_status status, uint32_t index, size_t offset) {
  where->index = index;
  where->offset = (uint32_t)offset;
  return status;
}

static dmt_status fail_record(dmt_where *where, dmt_status status, const dmt_model *model,
                              uint32_t section, uint32_t index) {
  return fail(where, status, index, (size_t)(dmt_record(model, section, index) - model->file));
}

static dmt_status check_header(const uint8_t *file, size_t size, dmt_where *where) {
  static const uint8_t magic[8] = {0x89, 'D', 'M', 'T', '\r', '\n', 0x1A, '\n'};
  for (uint32_t i = 0; i < sizeof magic && i < size; i++) {
    if (file[i] != magic[i]) {
      return fail(where, DMT_E_MAGIC, 0, i);
    }
  }
  if (size < DMT_HEADER_BYTES) {
    return fail(where, DMT_E_TRUNCATED, 0, size);
  }
  if (dmt_u32(file + DMT_HEADER_ENDIAN) != DMT_ENDIAN) {
    return fail(where, DMT_E_ENDIAN, 0, DMT_HEADER_ENDIAN);
  }
  if (dmt_u16(file + DMT_HEADER_MAJOR) != DMT_MAJOR) {
    return fail(where, DMT_E_VERSION, 0, DMT_HEADER_MAJOR);
  }
  uint32_t file_size = dmt_u32(file + DMT_HEADER_FILE_SIZE);
  if (file_size > size) {
    return fail(where, DMT_E_TRUNCATED, 0, DMT_HEADER_FILE_SIZE);
  }
  if (file_size < DMT_HEADER_BYTES || file_size > DMT_MAX_BYTES) {
    return fail(where, DMT_E_SECTION, 0, DMT_HEADER_FILE_SIZE);
  }
  uint32_t crc = dmt_crc32(0, file, DMT_HEADER_CRC);
  crc = dmt_crc32(crc, file + DMT_HEADER_CRC + 4, file_size - DMT_HEADER_CRC - 4);
  if (crc != dmt_u32(file + DMT_HEADER_CRC)) {
    return fail(where, DMT_E_CRC, 0, DMT_HEADER_CRC);
  }
  if (dmt_u32(file + DMT_HEADER_FEATURES) & ~DMT_FEATURES) {
    return fail(where, DMT_E_FEATURE, 0, DMT_HEADER_FEATURES);
  }
  uint32_t arena = dmt_u32(file + DMT_HEADER_ARENA);
  if (arena > DMT_MAX_BYTES || arena % DMT_ALIGN) {
    return fail(where, DMT_E_SECTION, 0, DMT_HEADER_ARENA);
  }
  return DMT_OK;
}

/* Position of a known section, DMT_KNOWN_SECTIONS for others. */
static uint32_t find_section(uint32_t id, uint32_t *record) {
  static const struct {
    char id[4];
    uint8_t record; /* bytes that this reader needs of a record */
  } known[DMT_KNOWN_SECTIONS] = {
      {"TENS", DMT_TENSOR_BYTES},
      {"OPER", DMT_OPER_BYTES},
      {"INDX", 4},
      {"INPT", DMT_PORT_BYTES},
      {"OUTP", DMT_PORT_BYTES},
      {"PARM", 1},
      {"CHAN", 1},
      {"DATA", 1},
      {"PREP", DMT_PREP_BYTES},
      {"NAME", 1},
      {"META", 1},
  };
  uint32_t i = 0;
  while (i < DMT_KNOWN_SECTIONS && dmt_u32((const uint8_t *)known[i].id) != id) {
    i++;
  }
  *record = i < DMT_KNOWN_SECTIONS ? known[i].record : 0;
  return i;
}

static dmt_status check_sections(dmt_model *model, dmt_where *where) {
  const uint8_t *file = model->file;
  uint32_t file_size = dmt_u32(file + DMT_HEADER_FILE_SIZE);
  uint32_t table = dmt_u32(file + DMT_HEADER_SIZE);
  uint32_t count = dmt_u32(file + DMT_HEADER_SECTIONS);
  if (table < DMT_HEADER_BYTES || table % 4 || count > DMT_MAX_SECTIONS ||
      !inside(table, count * DMT_ENTRY_BYTES, file_size)) {
    return fail(where, DMT_E_SECTION, 0, DMT_HEADER_SIZE);
  }
  for (uint32_t i = 0; i < DMT_KNOWN_SECTIONS; i++) {
    const dmt_section missing = {0, 0, 0, 0};
    model->section[i] = missing;
  }
  uint32_t end = table + count * DMT_ENTRY_BYTES; /* of the section before */
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *entry = file + table + i * DMT_ENTRY_BYTES;
    uint32_t offset = dmt_u32(entry + DMT_ENTRY_OFFSET), size = dmt_u32(entry + DMT_ENTRY_SIZE);
    if (offset < end || offset % DMT_ALIGN || !inside(offset, size, file_size)) {
      return fail(where, DMT_E_SECTION, i, (size_t)(entry - file));
    }
    end = offset + size;
    for (uint32_t j = 0; j < i; j++) {
      if (dmt_u32(file + table + j * DMT_ENTRY_BYTES) == dmt_u32(entry)) {
        return fail(where, DMT_E_SECTION, i, (size_t)(entry - file));
      }
    }
    uint32_t record, known = find_section(dmt_u32(entry), &record);
    if (known == DMT_KNOWN_SECTIONS) {
      continue;
    }
    dmt_section *section = &model->section[known];
    section->offset = offset;
    section->size = size;
    section->stride = dmt_u32(entry + DMT_ENTRY_STRIDE);
    section->count = dmt_u32(entry + DMT_ENTRY_COUNT);
    int fits =
        record == 1 ? section->stride == 1 : section->stride >= record && section->stride % 4 == 0;
    if (!fits || size != (uint64_t)section->stride * section->count) {
      return fail(where, DMT_E_SECTION, i, (size_t)(entry - file));
    }
  }
  return DMT_OK;
}

/* Offsets into NAME are strings because the last byte there is 0. */
static int name_ok(const dmt_model *model, uint32_t name) {
  return name == DMT_NONE || name < model->section[DMT_NAME].size;
}

/* Finite and above 0, by the bits: the core computes nothing in floating point. */
static int positive(const uint8_t *at) { return dmt_u32(at) - 1 < 0x7F800000u - 1; }

static int quantization_ok(const uint8_t *record, uint32_t dtype) {
  int32_t zero = dmt_s32(record + DMT_TENSOR_ZERO);
  if (dtype == DMT_F32 && dmt_u32(record + DMT_TENSOR_SCALE) != 0x3F800000u) {
    return 0;
  }
  return (dtype == DMT_S8 ? zero >= -128 && zero <= 127 : zero == 0) &&
         positive(record + DMT_TENSOR_SCALE) && positive(record + DMT_TENSOR_INVERSE);
}

/* Everything stays inside the arena, and so do as many elements as there are: no product of
 * dimensions can overflow 32 bits, whatever a kernel multiplies. */
static int shape_ok(const uint8_t *record, uint32_t rank, uint32_t item, uint32_t arena_size) {
  uint32_t offset = dmt_u32(record + DMT_TENSOR_OFFSET);
  uint64_t end = (uint64_t)offset + item, bytes = item;
  if (offset % item) {
    return 0;
  }
  for (uint32_t i = 0; i < DMT_MAX_RANK; i++) {
    uint32_t dim = dmt_u32(record + DMT_TENSOR_DIM + 4 * i);
    uint32_t stride = dmt_u32(record + DMT_TENSOR_STRIDE + 4 * i);
    if (dim < 1 || stride % item || (i >= rank && (dim != 1 || stride != 0))) {
      return 0;
    }
    end += (uint64_t)(dim - 1) * stride;
    bytes *= dim;
    if (end > arena_size || bytes > arena_size) {
      return 0;
    }
  }
  return 1;
}

/* A number of rows beside the tensor: a word of the arena. */
static int count_ok(const uint8_t *record, uint32_t rank, uint32_t arena_size) {
  uint32_t count = dmt_u32(record + DMT_TENSOR_COUNT);
  return count == 0 || (rank == 4 && count % 4 == 0 && inside(count, 4, arena_size));
}

static dmt_status check_tensors(const dmt_model *model, dmt_where *where) {
  for (uint32_t i = 0; i < dmt_count(model, DMT_TENS); i++) {
    const uint8_t *record = dmt_record(model, DMT_TENS, i);
    uint32_t dtype = record[DMT_TENSOR_DTYPE], rank = record[DMT_TENSOR_RANK];
    uint32_t item = dmt_item(dtype);
    if (dtype < DMT_F32 || dtype > DMT_S16 || rank > DMT_MAX_RANK ||
        !quantization_ok(record, dtype) || !shape_ok(record, rank, item, model->arena_size) ||
        !count_ok(record, rank, model->arena_size) ||
        !name_ok(model, dmt_u32(record + DMT_TENSOR_NAME)) ||
        dmt_u32(record + DMT_TENSOR_AFTER) > dmt_count(model, DMT_OPER)) {
      return fail_record(where, DMT_E_TENSOR, model, DMT_TENS, i);
    }
  }
  return DMT_OK;
}

static dmt_status check_ports(const dmt_model *model, dmt_where *where) {
  for (uint32_t section = DMT_INPT; section <= DMT_OUTP; section++) {
    for (uint32_t i = 0; i < dmt_count(model, section); i++) {
      const uint8_t *record = dmt_record(model, section, i);
      if (dmt_u32(record + DMT_PORT_TENSOR) >= dmt_count(model, DMT_TENS) ||
          !name_ok(model, dmt_u32(record + DMT_PORT_NAME))) {
        return fail_record(where, DMT_E_SECTION, model, section, i);
      }
    }
  }
  return DMT_OK;
}

/* A blob in DATA at a multiple of 64. */
static int blob_ok(const dmt_model *model, uint32_t offset, uint64_t size) {
  return offset % DMT_ALIGN == 0 && inside(offset, size, model->section[DMT_DATA].size);
}

static int resize_ok(uint32_t resize, uint32_t side, uint32_t fit) {
  return resize == 0 || (fit == DMT_FIT_STRETCH && resize >= side && resize <= DMT_MAX_SIDE);
}

static int preprocessing_ok(const dmt_model *model, const uint8_t *record) {
  uint32_t input = dmt_u32(record + DMT_PREP_INPUT), fit = dmt_u32(record + DMT_PREP_FIT);
  if (input >= dmt_count(model, DMT_INPT) || fit > DMT_FIT_CROP) {
    return 0;
  }
  dmt_view view;
  dmt_view_tensor(model, dmt_u32(dmt_record(model, DMT_INPT, input)), NULL, &view);
  uint32_t order = dmt_u32(record + DMT_PREP_ORDER), mean = dmt_u32(record + DMT_PREP_MEAN);
  uint32_t item = dmt_item(view.dtype);
  uint32_t height = view.dim[2], width = view.dim[3];
  if (view.rank != 4 || view.dim[0] != 1 || order > DMT_ORDER_BGR ||
      view.dim[1] != (order == DMT_ORDER_GRAY ? 1u : 3u) || height > DMT_MAX_SIDE ||
      width > DMT_MAX_SIDE || !resize_ok(dmt_u32(record + DMT_PREP_WIDTH), width, fit) ||
      !resize_ok(dmt_u32(record + DMT_PREP_HEIGHT), height, fit)) {
    return 0;
  }
  if (mean != DMT_NONE) {
    return blob_ok(model, mean, (uint64_t)4 * view.dim[1] * height * width);
  }
  return blob_ok(model, dmt_u32(record + DMT_PREP_TABLE), (uint64_t)256 * view.dim[1] * item);
}

static dmt_status check_preprocessing(const dmt_model *model, dmt_where *where) {
  for (uint32_t i = 0; i < dmt_count(model, DMT_PREP); i++) {
    if (!preprocessing_ok(model, dmt_record(model, DMT_PREP, i))) {
      return fail_record(where, DMT_E_SECTION, model, DMT_PREP, i);
    }
  }
  return DMT_OK;
}

dmt_status dmt_open(const void *data, size_t size, dmt_model *model, dmt_where *where) {
  const uint8_t *file = data;
  if (file == NULL) {
    return fail(where, DMT_E_ARGUMENT, 0, 0);
  }
  if (!dmt_aligned(file)) {
    return fail(where, DMT_E_ALIGNMENT, 0, 0);
  }
  dmt_status status = check_header(file, size, where);
  if (status == DMT_OK) {
    model->file = file;
    model->arena_size = dmt_u32(file + DMT_HEADER_ARENA);
    status = check_sections(model, where);
  }
  const dmt_section *names = &model->section[DMT_NAME];
  if (status == DMT_OK && names->size > 0 &&
      dmt_section_data(model, DMT_NAME)[names->size - 1] != 0) {
    status = fail_record(where, DMT_E_SECTION, model, DMT_NAME, 0);
  }
  if (status == DMT_OK) {
    status = check_tensors(model, where);
  }
  if (status == DMT_OK) {
    status = check_ports(model, where);
  }
  if (status == DMT_OK) {
    status = check_preprocessing(model, where);
  }
  return status;
}

/* Whether a tensor, and the number of its rows, stand outside a range of the arena. */
static int apart(const uint8_t *tensor, uint32_t at, uint32_t size) {
  uint32_t first = dmt_u32(tensor + DMT_TENSOR_OFFSET), count = dmt_u32(tensor + DMT_TENSOR_COUNT);
  uint32_t end = first + dmt_item(tensor[DMT_TENSOR_DTYPE]);
  for (uint32_t i = 0; i < DMT_MAX_RANK; i++) {
    end += (dmt_u32(tensor + DMT_TENSOR_DIM + 4 * i) - 1) *
           dmt_u32(tensor + DMT_TENSOR_STRIDE + 4 * i);
  }
  return (end <= at || first >= at + size) && (count == 0 || count < at || count >= at + size);
}

static dmt_status check_operator(const dmt_model *model, const uint8_t *record) {
  const dmt_section *index = &model->section[DMT_INDX], *parm = &model->section[DMT_PARM];
  uint32_t inputs = dmt_u16(record + DMT_OPER_INPUTS), io = dmt_u32(record + DMT_OPER_IO);
  uint32_t param = dmt_u32(record + DMT_OPER_PARAM);
  uint32_t scratch = dmt_u32(record + DMT_OPER_SCRATCH), room = dmt_u32(record + DMT_OPER_ROOM);
  if (inputs > DMT_MAX_INPUTS || dmt_u16(record + DMT_OPER_OUTPUTS) != 1 ||
      !inside(io, inputs + 1, index->count) || param % 4 ||
      !inside(param, dmt_u32(record + DMT_OPER_PARAM_SIZE), parm->size) ||
      !name_ok(model, dmt_u32(record + DMT_OPER_NAME)) || scratch % DMT_ALIGN ||
      !inside(scratch, room, model->arena_size)) {
    return DMT_E_OPERATOR;
  }
  for (uint32_t i = 0; i <= inputs; i++) {
    uint32_t tensor = dmt_u32(dmt_record(model, DMT_INDX, io + i));
    if (tensor >= dmt_count(model, DMT_TENS) ||
        (room > 0 && !apart(dmt_record(model, DMT_TENS, tensor), scratch, room)) ||
        (i == 0 && inputs > 0 && /* the other operands are the kernel's matter */
         dmt_record(model, DMT_TENS, tensor)[DMT_TENSOR_DTYPE] != record[DMT_OPER_DTYPE])) {
      return DMT_E_OPERATOR;
    }
  }
  return DMT_OK;
}

/* The first kernel that takes the operator, as an index of config->operators. */
static dmt_status find_kernel(const dmt_config *config, const uint8_t *record, const dmt_call *call,
                              uint16_t *chosen) {
  for (uint16_t i = 0; i < UINT16_MAX && config->operators[i] != NULL; i++) {
    const dmt_operator *kernel = config->operators[i];
    if (kernel->opcode == dmt_u16(record + DMT_OPER_OPCODE) &&
        kernel->dtype == record[DMT_OPER_DTYPE] && kernel->version == record[DMT_OPER_VERSION]) {
      dmt_status status = kernel->check(call);
      if (status != DMT_E_UNSUPPORTED) {
        *chosen = i;
        return status;
      }
    }
  }
  return DMT_E_UNSUPPORTED;
}

dmt_status dmt_select(const dmt_config *config, const dmt_model *model, uint16_t *chosen,
                      uint64_t *arena, dmt_where *where) {
  *arena = model->arena_size;
  for (uint32_t i = 0; i < dmt_count(model, DMT_OPER); i++) {
    const uint8_t *record = dmt_record(model, DMT_OPER, i);
    uint16_t found = 0;
    dmt_call call;
    dmt_status status = check_operator(model, record);
    if (status == DMT_OK) {
      dmt_make_call(model, record, NULL, &call);
      status = find_kernel(config, record, &call, &found);
    }
    if (status != DMT_OK) {
      return fail_record(where, status, model, DMT_OPER, i);
    }
    const dmt_operator *kernel = config->operators[found];
    uint64_t bytes, at = dmt_scratch_at(config, model, record, kernel, &call, &bytes);
    *arena = at + bytes > *arena ? at + bytes : *arena;
    if (chosen != NULL) {
      chosen[i] = found;
    }
  }
  return DMT_OK;
}

dmt_status dmt_check(const dmt_config *config, const void *model, size_t size, dmt_where *where) {
  dmt_where unused;
  dmt_model opened;
  uint64_t arena;
  where = where != NULL ? where : &unused;
  if (config == NULL || config->operators == NULL) {
    return fail(where, DMT_E_ARGUMENT, 0, 0);
  }
  dmt_status status = dmt_open(model, size, &opened, where);
  return status != DMT_OK ? status : dmt_select(config, &opened, NULL, &arena, where);
}
