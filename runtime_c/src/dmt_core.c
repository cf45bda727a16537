/* Build a context in the caller's memory and run a proven model, operator by operator. */
#include "dmt_internal.h"

/* Fits 64 bits; whether it fits the machine is compared by the caller. */
static uint64_t persistent_of(const dmt_model *model) {
  return dmt_round_up(DMT_CONTEXT_SIZE + (uint64_t)dmt_count(model, DMT_OPER) * sizeof(uint16_t));
}

static void serial_for(void *user, uint32_t count, dmt_task task, void *argument) {
  (void)user;
  for (uint32_t i = 0; i < count; i++) {
    task(argument, i);
  }
}

void dmt_view_tensor(const dmt_model *model, uint32_t index, uint8_t *arena, dmt_view *view) {
  const uint8_t *record = dmt_record(model, DMT_TENS, index);
  view->data = arena != NULL ? arena + dmt_u32(record + DMT_TENSOR_OFFSET) : NULL;
  view->dtype = record[DMT_TENSOR_DTYPE];
  view->rank = record[DMT_TENSOR_RANK];
  memcpy(view->dim, record + DMT_TENSOR_DIM, sizeof view->dim);
  memcpy(view->stride, record + DMT_TENSOR_STRIDE, sizeof view->stride);
  view->scale = dmt_f32(record + DMT_TENSOR_SCALE);
  view->inv_scale = dmt_f32(record + DMT_TENSOR_INVERSE);
  view->zero_point = dmt_s32(record + DMT_TENSOR_ZERO);
  view->name = dmt_u32(record + DMT_TENSOR_NAME);
  view->rows = DMT_ALL_ROWS;
  uint32_t count = dmt_u32(record + DMT_TENSOR_COUNT);
  if (count != 0) { /* whatever stands there, a view has no more rows than its axis */
    uint32_t rows = arena != NULL ? dmt_u32(arena + count) : 0;
    view->rows = rows < view->dim[2] ? rows : view->dim[2];
  }
}

void dmt_make_call(const dmt_model *model, const uint8_t *record, uint8_t *arena, dmt_call *call) {
  uint32_t io = dmt_u32(record + DMT_OPER_IO), tensor = 0;
  call->param = dmt_section_data(model, DMT_PARM) + dmt_u32(record + DMT_OPER_PARAM);
  call->param_size = dmt_u32(record + DMT_OPER_PARAM_SIZE);
  call->inputs = dmt_u16(record + DMT_OPER_INPUTS);
  call->dtype = record[DMT_OPER_DTYPE];
  for (uint32_t i = 0; i <= call->inputs; i++) {
    dmt_view *view = i < call->inputs ? &call->in[i] : &call->out;
    tensor = dmt_u32(dmt_record(model, DMT_INDX, io + i));
    dmt_view_tensor(model, tensor, arena, view);
  }
  uint32_t count = dmt_u32(dmt_record(model, DMT_TENS, tensor) + DMT_TENSOR_COUNT);
  call->rows = arena != NULL && count != 0 ? (uint32_t *)(void *)(arena + count) : NULL;
  call->chan.data = dmt_section_data(model, DMT_CHAN);
  call->chan.size = model->section[DMT_CHAN].size;
  call->data.data = dmt_section_data(model, DMT_DATA);
  call->data.size = model->section[DMT_DATA].size;
  call->scratch = NULL;
  call->threads = 1;
  call->parallel_for = NULL;
  call->user = NULL;
}

uint32_t dmt_scratch_at(const dmt_config *config, const dmt_model *model, const uint8_t *record,
                        const dmt_operator *kernel, const dmt_call *call, uint64_t *bytes) {
  uint64_t one = kernel->scratch != NULL ? kernel->scratch(call) : 0;
  *bytes = dmt_round_up(one * dmt_threads(config));
  return *bytes <= dmt_u32(record + DMT_OPER_ROOM) ? dmt_u32(record + DMT_OPER_SCRATCH)
                                                   : model->arena_size;
}

dmt_status dmt_sizes(const dmt_config *config, const void *model, size_t size, dmt_memory *sizes) {
  dmt_where where;
  dmt_model opened;
  uint64_t need;
  if (config == NULL || config->operators == NULL || sizes == NULL) {
    return DMT_E_ARGUMENT;
  }
  dmt_status status = dmt_open(model, size, &opened, &where);
  if (status == DMT_OK) {
    status = dmt_select(config, &opened, NULL, &need, &where);
  }
  if (status != DMT_OK) {
    return status;
  }
  if (persistent_of(&opened) > SIZE_MAX || need > SIZE_MAX) {
    return DMT_E_MEMORY;
  }
  sizes->persistent = (size_t)persistent_of(&opened);
  sizes->arena = (size_t)need;
  return DMT_OK;
}

dmt_status dmt_init(const dmt_config *config, const void *model, size_t size, void *persistent,
                    size_t persistent_size, void *arena, size_t arena_size, dmt_context **context) {
  dmt_where where;
  dmt_model opened;
  uint64_t need;
  if (config == NULL || config->operators == NULL || persistent == NULL || arena == NULL ||
      context == NULL) {
    return DMT_E_ARGUMENT;
  }
  if (!dmt_aligned(persistent) || !dmt_aligned(arena)) {
    return DMT_E_ALIGNMENT;
  }
  dmt_status status = dmt_open(model, size, &opened, &where);
  if (status != DMT_OK) {
    return status;
  }
  if (persistent_of(&opened) > persistent_size) {
    return DMT_E_MEMORY;
  }
  dmt_context *made = persistent;
  status = dmt_select(config, &opened, dmt_chosen(made), &need, &where);
  if (status != DMT_OK) {
    return status;
  }
  if (need > arena_size) {
    return DMT_E_MEMORY;
  }
  made->model = opened;
  made->config = *config;
  made->config.threads = dmt_threads(config);
  if (config->parallel_for == NULL) {
    made->config.parallel_for = serial_for;
  }
  made->arena = arena;
  *context = made;
  return DMT_OK;
}

dmt_status dmt_run(dmt_context *context) {
  if (context == NULL) {
    return DMT_E_ARGUMENT;
  }
  const dmt_config *config = &context->config;
  for (uint32_t i = 0; i < dmt_operator_count(context); i++) {
    dmt_call call;
    const uint8_t *record = dmt_record(&context->model, DMT_OPER, i);
    dmt_make_call(&context->model, record, context->arena, &call);
    const dmt_operator *kernel = config->operators[dmt_chosen(context)[i]];
    uint64_t bytes;
    call.scratch =
        context->arena + dmt_scratch_at(config, &context->model, record, kernel, &call, &bytes);
    call.threads = config->threads;
    call.parallel_for = config->parallel_for;
    call.user = config->user;
    if (config->observer != NULL && config->observer(config->user, context, i, 0)) {
      return DMT_E_STOPPED;
    }
    kernel->run(&call);
    if (config->observer != NULL && config->observer(config->user, context, i, 1)) {
      return DMT_E_STOPPED;
    }
  }
  return DMT_OK;
}
