/* The operators written for NEON, searched before all others; dmt_operators.h has the rest. */
#ifndef DMT_OPERATORS_NEON_H
#define DMT_OPERATORS_NEON_H

#define DMT_NEON_OPERATORS(X)

#endif
