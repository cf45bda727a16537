/* What a context can tell: tensors, names and figures. */
#include "dmt_internal.h"

/* A record of a section; NULL where there is none of that index. */
static const uint8_t *find(const dmt_context *context, uint32_t section, uint32_t index) {
  if (context == NULL || index >= dmt_count(&context->model, section)) {
    return NULL;
  }
  return dmt_record(&context->model, section, index);
}

static dmt_status view_port(const dmt_context *context, uint32_t section, uint32_t index,
                            dmt_view *view) {
  const uint8_t *record = find(context, section, index);
  if (record == NULL || view == NULL) {
    return DMT_E_ARGUMENT;
  }
  dmt_view_tensor(&context->model, dmt_u32(record + DMT_PORT_TENSOR), context->arena, view);
  return DMT_OK;
}

uint32_t dmt_input_count(const dmt_context *context) {
  return context != NULL ? dmt_count(&context->model, DMT_INPT) : 0;
}

uint32_t dmt_output_count(const dmt_context *context) {
  return context != NULL ? dmt_count(&context->model, DMT_OUTP) : 0;
}

uint32_t dmt_operator_count(const dmt_context *context) {
  return context != NULL ? dmt_count(&context->model, DMT_OPER) : 0;
}

uint32_t dmt_tensor_count(const dmt_context *context) {
  return context != NULL ? dmt_count(&context->model, DMT_TENS) : 0;
}

dmt_status dmt_input(const dmt_context *context, uint32_t index, dmt_view *view) {
  return view_port(context, DMT_INPT, index, view);
}

dmt_status dmt_output(const dmt_context *context, uint32_t index, dmt_view *view) {
  return view_port(context, DMT_OUTP, index, view);
}

dmt_status dmt_tensor(const dmt_context *context, uint32_t index, dmt_view *view, uint32_t *after) {
  const uint8_t *record = find(context, DMT_TENS, index);
  if (record == NULL || view == NULL || after == NULL) {
    return DMT_E_ARGUMENT;
  }
  dmt_view_tensor(&context->model, index, context->arena, view);
  *after = dmt_u32(record + DMT_TENSOR_AFTER);
  return DMT_OK;
}

dmt_status dmt_result(const dmt_context *context, uint32_t operator_index, dmt_view *view) {
  const uint8_t *record = find(context, DMT_OPER, operator_index);
  if (record == NULL || view == NULL) {
    return DMT_E_ARGUMENT;
  }
  uint32_t output = dmt_u32(record + DMT_OPER_IO) + dmt_u16(record + DMT_OPER_INPUTS);
  dmt_view_tensor(&context->model, dmt_u32(dmt_record(&context->model, DMT_INDX, output)),
                  context->arena, view);
  return DMT_OK;
}

const char *dmt_name(const dmt_context *context, uint32_t name) {
  if (context == NULL || name >= context->model.section[DMT_NAME].size) {
    return NULL;
  }
  return (const char *)dmt_section_data(&context->model, DMT_NAME) + name;
}

static const char *name_at(const dmt_context *context, const uint8_t *record, uint32_t field) {
  return record != NULL ? dmt_name(context, dmt_u32(record + field)) : NULL;
}

const char *dmt_input_name(const dmt_context *context, uint32_t index) {
  return name_at(context, find(context, DMT_INPT, index), DMT_PORT_NAME);
}

const char *dmt_output_name(const dmt_context *context, uint32_t index) {
  return name_at(context, find(context, DMT_OUTP, index), DMT_PORT_NAME);
}

const char *dmt_operator_name(const dmt_context *context, uint32_t operator_index) {
  return name_at(context, find(context, DMT_OPER, operator_index), DMT_OPER_NAME);
}

uint32_t dmt_operator_opcode(const dmt_context *context, uint32_t operator_index) {
  const uint8_t *record = find(context, DMT_OPER, operator_index);
  return record != NULL ? dmt_u16(record + DMT_OPER_OPCODE) : 0;
}

uint64_t dmt_operator_macs(const dmt_context *context, uint32_t operator_index) {
  const uint8_t *record = find(context, DMT_OPER, operator_index);
  if (record == NULL) {
    return 0;
  }
  return dmt_u32(record + DMT_OPER_MACS) | (uint64_t)dmt_u32(record + DMT_OPER_MACS + 4) << 32;
}
