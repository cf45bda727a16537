/* The portable kernels compiled again for AVX2, with the lanes of lanes_avx2.h: the same bits. */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define DMT_AVX2
#define DMT_KERNEL(name) name##_avx2

#include "../generic/conv_any.c"
#include "../generic/conv_f32.c"
#include "../generic/conv_s16.c"
#include "../generic/conv_s8.c"
#include "../generic/copy.c"
#include "../generic/depthwise_f32.c"
#include "../generic/depthwise_s16.c"
#include "../generic/depthwise_s8.c"
#include "../generic/eltwise.c"
#include "../generic/lookup.c"
#include "../generic/lrn.c"
#include "../generic/pool.c"
#include "../generic/quantize.c"
#include "../generic/rescale.c"
#include "../generic/resize.c"
#include "../generic/scale_f32.c"
#include "../generic/softmax_f32.c"
#include "../generic/unary_f32.c"

#include "../generic/dmt_operators.h"

#define DECLARE(name) extern const dmt_operator name;
DMT_PLAIN_OPERATORS(DECLARE)

#define ENTRY(name) &DMT_KERNEL(name),
#define PLAIN(name) &name,
const dmt_operator *const dmt_avx2[] = {DMT_OPERATORS(ENTRY) DMT_PLAIN_OPERATORS(PLAIN) NULL};

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int dmt_no_avx2; /* C99 wants something in a file */
#endif
