/* The kernels for NEON, and the portable ones for all that they leave. */
#include "../generic/dmt_operators.h"
#include "dmt_op.h"
#include "dmt_operators_neon.h"

#if defined(__ARM_NEON) && !defined(DMT_PORTABLE)

#define DECLARE(name) extern const dmt_operator name;
DMT_NEON_OPERATORS(DECLARE)
DMT_OPERATORS(DECLARE)
DMT_PLAIN_OPERATORS(DECLARE)

#define ENTRY(name) &name,
const dmt_operator *const dmt_neon[] = {DMT_NEON_OPERATORS(ENTRY) DMT_OPERATORS(ENTRY)
                                            DMT_PLAIN_OPERATORS(ENTRY) NULL};

#else
typedef int dmt_no_neon; /* C99 wants something in a file */
#endif
