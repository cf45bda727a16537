/* The portable kernels. */
#include "dmt_op.h"
#include "dmt_operators.h"

#define DECLARE(name) extern const dmt_operator name;
DMT_OPERATORS(DECLARE)
DMT_PLAIN_OPERATORS(DECLARE)

#define ENTRY(name) &name,
const dmt_operator *const dmt_generic[] = {DMT_OPERATORS(ENTRY) DMT_PLAIN_OPERATORS(ENTRY) NULL};
