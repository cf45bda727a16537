/* Every operator, the fast forms first: a table is searched from the top. */
#ifndef DMT_OPERATORS_H
#define DMT_OPERATORS_H

#define DMT_OPERATORS(X)                                                                           \
  X(dmt_op_conv_f32)                                                                               \
  X(dmt_op_conv_s8)                                                                                \
  X(dmt_op_conv_s16)                                                                               \
  X(dmt_op_depthwise_f32)                                                                          \
  X(dmt_op_depthwise_s8)                                                                           \
  X(dmt_op_depthwise_s16)                                                                          \
  X(dmt_op_conv_any_f32)                                                                           \
  X(dmt_op_conv_any_s8)                                                                            \
  X(dmt_op_conv_any_s16)                                                                           \
  X(dmt_op_deconv_f32)                                                                             \
  X(dmt_op_deconv_s8)                                                                              \
  X(dmt_op_deconv_s16)                                                                             \
  X(dmt_op_dedepthwise_f32)                                                                        \
  X(dmt_op_dedepthwise_s8)                                                                         \
  X(dmt_op_dedepthwise_s16)                                                                        \
  X(dmt_op_deconv_any_f32)                                                                         \
  X(dmt_op_deconv_any_s8)                                                                          \
  X(dmt_op_deconv_any_s16)                                                                         \
  X(dmt_op_pool_max_f32)                                                                           \
  X(dmt_op_pool_max_s8)                                                                            \
  X(dmt_op_pool_max_s16)                                                                           \
  X(dmt_op_pool_average_f32)                                                                       \
  X(dmt_op_pool_average_s8)                                                                        \
  X(dmt_op_pool_average_s16)                                                                       \
  X(dmt_op_pool_mask_f32)                                                                          \
  X(dmt_op_pool_mask_s8)                                                                           \
  X(dmt_op_pool_mask_s16)                                                                          \
  X(dmt_op_sum_f32)                                                                                \
  X(dmt_op_sum_s8)                                                                                 \
  X(dmt_op_sum_s16)                                                                                \
  X(dmt_op_prod_f32)                                                                               \
  X(dmt_op_prod_s8)                                                                                \
  X(dmt_op_prod_s16)                                                                               \
  X(dmt_op_max_f32)                                                                                \
  X(dmt_op_max_s8)                                                                                 \
  X(dmt_op_max_s16)                                                                                \
  X(dmt_op_rescale_s8)                                                                             \
  X(dmt_op_rescale_s16)                                                                            \
  X(dmt_op_lookup_s8)                                                                              \
  X(dmt_op_lookup_s16)                                                                             \
  X(dmt_op_unary_f32)                                                                              \
  X(dmt_op_scale_f32)                                                                              \
  X(dmt_op_lrn_f32)                                                                                \
  X(dmt_op_lrn_s8)                                                                                 \
  X(dmt_op_lrn_s16)                                                                                \
  X(dmt_op_softmax_f32)                                                                            \
  X(dmt_op_resize_f32)                                                                             \
  X(dmt_op_resize_s8)                                                                              \
  X(dmt_op_resize_s16)                                                                             \
  X(dmt_op_copy_f32)                                                                               \
  X(dmt_op_copy_s8)                                                                                \
  X(dmt_op_copy_s16)                                                                               \
  X(dmt_op_quantize_f32)                                                                           \
  X(dmt_op_dequantize_s8)                                                                          \
  X(dmt_op_dequantize_s16)

/* Operators with one form for all kernel sets: nothing in them would run faster in lanes. */
#define DMT_PLAIN_OPERATORS(X)                                                                     \
  X(dmt_op_detection_f32)                                                                          \
  X(dmt_op_yolo_f32)                                                                               \
  X(dmt_op_roi_pool_f32)                                                                           \
  X(dmt_op_psroi_pool_f32)                                                                         \
  X(dmt_op_mvn_f32)                                                                                \
  X(dmt_op_normalize_f32)                                                                          \
  X(dmt_op_normalize_s8)                                                                           \
  X(dmt_op_normalize_s16)                                                                          \
  X(dmt_op_unpool_f32)                                                                             \
  X(dmt_op_unpool_s8)                                                                              \
  X(dmt_op_unpool_s16)                                                                             \
  X(dmt_op_lstm_f32)                                                                               \
  X(dmt_op_rnn_f32)                                                                                \
  X(dmt_op_constant_f32)                                                                           \
  X(dmt_op_constant_s8)                                                                            \
  X(dmt_op_constant_s16)                                                                           \
  X(dmt_op_gather_f32)                                                                             \
  X(dmt_op_gather_s8)                                                                              \
  X(dmt_op_gather_s16)                                                                             \
  X(dmt_op_embed_f32)                                                                              \
  X(dmt_op_reduce_f32)                                                                             \
  X(dmt_op_reduce_s8)                                                                              \
  X(dmt_op_reduce_s16)                                                                             \
  X(dmt_op_argmax_f32)

#endif
