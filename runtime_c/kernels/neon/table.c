/* The kernels for NEON, and the portable ones for all that they leave. Other machines may only ask
 * them what they would take: they cannot run. */
#include "../generic/dmt_operators.h"
#include "dmt_op.h"
#include "dmt_operators_neon.h"

#define DECLARE(name) extern const dmt_operator name;
DMT_NEON_OPERATORS(DECLARE)
DMT_OPERATORS(DECLARE)
DMT_PLAIN_OPERATORS(DECLARE)

#define ENTRY(name) &name,
const dmt_operator *const dmt_neon[] = {DMT_NEON_OPERATORS(ENTRY) DMT_OPERATORS(ENTRY)
                                            DMT_PLAIN_OPERATORS(ENTRY) NULL};
