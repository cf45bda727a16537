/* The operators written for NEON, searched before all others; dmt_operators.h has the rest. Each
 * has a descriptor on every machine: see dmt_neon.h. */
#ifndef DMT_OPERATORS_NEON_H
#define DMT_OPERATORS_NEON_H

#define DMT_NEON_OPERATORS(X)                                                                      \
  X(dmt_op_winograd_s8_neon)                                                                       \
  X(dmt_op_conv_s16_neon)                                                                          \
  X(dmt_op_winograd_f32_neon)                                                                      \
  X(dmt_op_conv_f32_neon)                                                                          \
  X(dmt_op_depthwise_f32_neon)                                                                     \
  X(dmt_op_depthwise_s8_neon)                                                                      \
  X(dmt_op_depthwise_s16_neon)                                                                     \
  X(dmt_op_conv_s8_neon)                                                                           \
  X(dmt_op_lrn_f32_neon)                                                                           \
  X(dmt_op_lrn_s8_neon)                                                                            \
  X(dmt_op_lrn_s16_neon)                                                                           \
  X(dmt_op_pool_max_f32_neon)                                                                      \
  X(dmt_op_pool_max_s8_neon)                                                                       \
  X(dmt_op_pool_max_s16_neon)                                                                      \
  X(dmt_op_pool_average_f32_neon)                                                                  \
  X(dmt_op_pool_average_s8_neon)                                                                   \
  X(dmt_op_pool_average_s16_neon)                                                                  \
  X(dmt_op_sum_s8_neon)                                                                            \
  X(dmt_op_sum_s16_neon)                                                                           \
  X(dmt_op_sum_f32_neon)                                                                           \
  X(dmt_op_prod_f32_neon)                                                                          \
  X(dmt_op_max_f32_neon)                                                                           \
  X(dmt_op_rescale_s8_neon)                                                                        \
  X(dmt_op_rescale_s16_neon)                                                                       \
  X(dmt_op_copy_f32_neon)                                                                          \
  X(dmt_op_copy_s8_neon)                                                                           \
  X(dmt_op_copy_s16_neon)                                                                          \
  X(dmt_op_unary_f32_neon)                                                                         \
  X(dmt_op_prod_s8_neon)                                                                           \
  X(dmt_op_prod_s16_neon)                                                                          \
  X(dmt_op_lookup_s16_neon)                                                                        \
  X(dmt_op_max_s8_neon)                                                                            \
  X(dmt_op_max_s16_neon)                                                                           \
  X(dmt_op_rescale_channels_s8_neon)                                                               \
  X(dmt_op_rescale_channels_s16_neon)                                                              \
  X(dmt_op_softmax_f32_neon)

#endif
