"""Tables for functions of one variable and for the factors of LRN and Normalize (FORMAT.md,
opcodes 9, 12 and 23)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Quantization
from demitasse.quantizer.requantize import round_half_up, rshr
from demitasse.quantizer.scheme import RANGES

Function = Callable[[np.ndarray], np.ndarray]

INT16_BITS = range(7, 13)
FACTOR_ONE = 32767  # the largest factor of an LRN table


@dataclass(frozen=True, slots=True)
class LookupTable:
    """entries int8 (256,), or int16 (2**bits + 1,) between which values are interpolated."""

    entries: np.ndarray
    bits: int


def lookup_table(
    function: Function,
    x: Quantization,
    y: Quantization,
    precision: str,
    reach: tuple[float, float] | None = None,
) -> LookupTable | None:
    """The table of y = function(x), float64 to float64.

    int8 entries are the correctly rounded codes. int16 takes the fewest bits with which every
    code is within one step of the correctly rounded one, and is None where 12 bits do not reach
    that. Only codes in `reach`, the real range that x is known to have, are judged: beyond it the
    output saturates somewhere, and no chord follows that bend. Where the function is not a number
    the entry is y's zero.
    """
    lowest, highest = RANGES[precision]
    codes = np.arange(lowest, highest + 2)  # one more: the last knot of int16
    with np.errstate(all="ignore"):
        real = np.asarray(function((codes - x.zero_point) * x.scale), np.float64) / y.scale
    steps = round_half_up(np.nan_to_num(real, nan=0.0, posinf=1e9, neginf=-1e9))
    exact = np.clip(steps + y.zero_point, lowest, highest).astype(np.int64)
    if precision == "int8":
        return LookupTable(exact[:-1].astype(np.int8), 8)
    low, high = reach or (-math.inf, math.inf)
    judged = (codes[:-1] >= low / x.scale - 1) & (codes[:-1] <= high / x.scale + 1)
    for bits in INT16_BITS:
        table = exact[:: 2 ** (16 - bits)]
        off = np.abs(interpolate(table, bits, codes[:-1]) - exact[:-1])
        if off[judged].max(initial=0) <= 1:
            return LookupTable(table.astype(np.int16), bits)
    return None


def interpolate(table: np.ndarray, bits: int, x: np.ndarray) -> np.ndarray:
    """An int16 table at int16 codes x; int64."""
    u = x.astype(np.int64) + 32768
    i, f = u >> (16 - bits), u & ((1 << (16 - bits)) - 1)
    t = table.astype(np.int64)
    return t[i] + (((t[i + 1] - t[i]) * f + (1 << (15 - bits))) >> (16 - bits))


@dataclass(frozen=True, slots=True)
class FactorTable:
    """entries int16, a factor of 1 standing at 1 / scale, over sums of rshr(d * d, shift)."""

    entries: np.ndarray
    bits: int
    shift: int
    scale: float


def factor_table(
    factor: Function, window: int, largest: int, x_scale: float, bits: int
) -> FactorTable:
    """The table of `factor`, a positive falling function of a window's sum of squares.

    window: terms of the sum; largest: the largest |d| of a term, real d = x_scale * d.
    """
    shift = 0
    while window * int(rshr(np.int64(largest**2), shift)) >= 2**32:
        shift += 1
    index = np.arange((33 - bits) * 2**bits + 1)
    exponent = np.maximum((index >> bits) - 1, 0)
    sums = (index - (exponent << bits)) << exponent
    # A sum of 0 stands for squares that the shift has rounded away; a factor without limit there
    # (k = 0) is that of the next sum.
    with np.errstate(all="ignore"):
        real = factor(sums * (2.0**shift * x_scale**2))
    if not np.isfinite(real[0]):
        real[0] = real[1]
    scale = float(real.max()) / FACTOR_ONE
    return FactorTable(round_half_up(real / scale).astype(np.int16), bits, shift, scale)


def factors(table: np.ndarray, bits: int, sums: np.ndarray) -> np.ndarray:
    """Interpolated factors at sums (int64, below 2**32)."""
    length = np.frexp(sums.astype(np.float64))[1].astype(np.int64)  # bit_length, exact below 2**53
    e = np.maximum(length - bits - 1, 0)
    i = (e << bits) + (sums >> e)
    low = sums & ((np.int64(1) << e) - 1)
    f = np.where(e <= 15, low << np.maximum(15 - e, 0), low >> np.maximum(e - 15, 0))
    t = table.astype(np.int64)
    following = t[np.minimum(i + 1, len(t) - 1)]
    return t[i] + (((following - t[i]) * f + 2**14) >> 15)


def root_table(bits: int) -> np.ndarray:
    """FACTOR_ONE / sqrt(m) at the knots m = 1 ... 4, 2**(bits - 2) of them to each whole."""
    knots = np.arange(2 ** (bits - 2), 2**bits + 1) / 2.0 ** (bits - 2)
    return round_half_up(FACTOR_ONE / np.sqrt(knots)).astype(np.int16)


def roots(table: np.ndarray, bits: int, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / sqrt(sum) as (factor, half): factor / FACTOR_ONE * 2**-half; a sum of 0 counts as 1.

    sums: int64, below 2**53.
    """
    sums = np.maximum(sums, 1)
    length = np.frexp(sums.astype(np.float64))[1].astype(np.int64)
    half = (length - 1) // 2
    e = 2 * half
    v = np.where(e <= 30, sums << np.maximum(30 - e, 0), sums >> np.maximum(e - 30, 0))
    i, f = (v >> (32 - bits)) - 2 ** (bits - 2), (v >> (17 - bits)) & 32767
    t = table.astype(np.int64)
    return t[i] + (((t[i + 1] - t[i]) * f + 2**14) >> 15), half
