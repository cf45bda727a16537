"""The integer arithmetic that every back end agrees on, bit for bit (FORMAT.md, Arithmetic).

Arrays are int64 here and hold int32 values, so that nothing overflows on the way. The scheme is
that of gemmlowp (Jacob et al., 2018) with one shift left and one right, as NEON's vqshl, vqrdmulh
and vrshl compute it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Real factors as m * 2**(left - right - 31): three int32 arrays of one shape."""

    multiplier: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """As entries of `Node.weights`."""
        return {
            f"{prefix}multiplier": self.multiplier,
            f"{prefix}left": self.left,
            f"{prefix}right": self.right,
        }


def sat32(a: np.ndarray) -> np.ndarray:
    """Clamp to int32."""
    return np.clip(a, INT32_MIN, INT32_MAX)


def wrap32(a: np.ndarray) -> np.ndarray:
    """Modulo 2**32, as an int32 accumulator wraps."""
    return np.asarray(a, np.int64).astype(np.uint32).view(np.int32).astype(np.int64)


def srdhm(a: np.ndarray, m: np.ndarray | int) -> np.ndarray:
    """Saturating rounding doubling high multiply of int32 values: (2*a*m + 2**31) >> 32."""
    return np.minimum((a * np.asarray(m, np.int64) + 2**30) >> 31, INT32_MAX)


def rshr(a: np.ndarray, right: np.ndarray | int) -> np.ndarray:
    """Rounding right shift, half up; a shift of 0 is the identity."""
    right = np.asarray(right, np.int64)
    return (a + ((np.int64(1) << right) >> 1)) >> right


def rq(
    a: np.ndarray, m: np.ndarray | int, left: np.ndarray | int, right: np.ndarray | int
) -> np.ndarray:
    """Requantize int32 values: rshr(srdhm(sat32(a << left), m), right)."""
    return rshr(srdhm(sat32(a << np.asarray(left, np.int64)), m), right)


def multiplier(real: np.ndarray | float, bound: int | None = None) -> Multipliers:
    """Decompose real factors (float64) into m, left and right.

    m is 0 or of magnitude 2**30 .. 2**31 - 1. Without `bound` the shift left is the smallest (a
    saturated a << left then lies beyond every clamp); with it, the largest at which no |a| <=
    bound saturates, so that rounding twice costs nothing. Factors below 2**-32 become 0, those
    that int32 cannot express the largest one.
    """
    real = np.asarray(real, np.float64)
    fraction, exponent = np.frexp(np.abs(real))  # fraction in [1/2, 1)
    m = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    exponent = exponent.astype(np.int64) + (m == 2**31)
    m = np.where(m == 2**31, 2**30, m)
    left = np.maximum(exponent, 0)
    if bound is not None:
        left = np.maximum(left, np.minimum(headroom(bound), exponent + 31))
    right = left - exponent
    m = np.where(exponent > 31, INT32_MAX, np.where(exponent < -31, 0, m))
    left = np.where(exponent > 31, 31, np.where(exponent < -31, 0, left))
    right = np.where((exponent > 31) | (exponent < -31), 0, right)
    signed = np.where(real < 0, -m, m)
    return Multipliers(*(np.asarray(part, np.int32) for part in (signed, left, right)))


def common_multipliers(real: np.ndarray, bounds: list[int]) -> Multipliers:
    """Factors of a sum's terms with one shift left and one right for all.

    bounds: the largest |a| of each term. The shift left is the largest at which neither a term
    nor the sum leaves int32. A factor with which a term alone could fill int32 is cut down: one
    step of that input is then thousands of the output's.
    """
    real = np.asarray(real, np.float64)
    limit = 2.0**30  # leaves room for the rounding of the terms
    most = limit / (len(bounds) * max(bounds))
    real = np.clip(real, -most, most)
    total = float(np.sum(np.abs(real) * bounds))
    largest = multiplier(np.abs(real).max())
    exponent = int(largest.left) - int(largest.right)  # largest factor <= 2**exponent
    if not largest.multiplier:
        zeros = np.zeros(real.shape, np.int32)
        return Multipliers(zeros, np.int32(0), np.int32(0))
    left = max(exponent, 0)
    free = min(headroom(max(bounds)), exponent + 31)
    while left < free and total * 2.0 ** (left + 1 - exponent) < limit:
        left += 1
    right = left - exponent
    m = np.floor(real * 2.0 ** (31 - exponent) + 0.5)
    m = np.clip(m, -INT32_MAX, INT32_MAX).astype(np.int32)
    return Multipliers(m, np.int32(left), np.int32(right))


def headroom(bound: int) -> int:
    """The largest shift left that keeps every |a| <= bound inside int32."""
    return 31 - int(bound).bit_length()


def round_half_up(x: np.ndarray | float) -> np.ndarray:
    """floor(x + 1/2) in float64: how constants are rounded."""
    return np.floor(np.asarray(x, np.float64) + 0.5)
