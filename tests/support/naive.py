"""FORMAT.md's integer operators in plain Python integers, one value at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

Image = np.ndarray  # (C, H, W) of Python-sized integers


def saturate(a: int) -> int:
    return max(-(2**31), min(2**31 - 1, a))


def wrap(a: int) -> int:
    return (a + 2**31) % 2**32 - 2**31


def rshr(a: int, r: int) -> int:
    return (a + (1 << (r - 1))) >> r if r else a


def srdhm(a: int, m: int) -> int:
    return saturate((2 * a * m + 2**31) >> 32)


def rq(a: int, m: int, left: int, right: int) -> int:
    return rshr(srdhm(saturate(a << left), m), right)


def clamp(a: int, low: int, high: int) -> int:
    return max(low, min(high, a))


def block_sum(products: list[list[int]], int16: bool) -> int:
    """products: one list per tap, inner lists the tap's channels in order."""
    if not int16:
        return sum(map(sum, products))
    if len(products[0]) >= 16:
        blocks = [tap[i : i + 16] for tap in products for i in range(0, len(tap), 16)]
    else:
        flat = [p for tap in products for p in tap]
        blocks = [flat[i : i + 16] for i in range(0, len(flat), 16)]
    assert all(-(2**31) <= sum(block) < 2**31 for block in blocks)
    return sum(rshr(sum(block), 9) for block in blocks)


def convolution(
    x: Image,
    weight: np.ndarray,
    shape: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pad: tuple[int, int],
    groups: int,
    transposed: bool,
    int16: bool,
) -> Iterator[tuple[tuple[int, int, int], int]]:
    """Yield (output index, sum without bias) for x with its zero point taken off.

    weight: (O, KH, KW, IG). transposed: DECONV.
    """
    outputs, kh, kw, inputs = weight.shape
    for o, oy, ox in product(range(outputs), *map(range, shape)):
        group = o // (outputs // groups)
        taps = []
        for i, j in product(range(kh), range(kw)):
            at = [
                position(k, s, d, p, tap, transposed)
                for k, s, d, p, tap in zip((oy, ox), stride, dilation, pad, (i, j), strict=True)
            ]
            inside = all(
                v is not None and 0 <= v < size for v, size in zip(at, x.shape[1:], strict=True)
            )
            taps.append(
                [
                    int(x[group * inputs + c, at[0], at[1]]) * int(weight[o, i, j, c])
                    if inside
                    else 0
                    for c in range(inputs)
                ]
            )
        yield (o, oy, ox), block_sum(taps, int16)


def position(out: int, s: int, d: int, p: int, tap: int, transposed: bool) -> int | None:
    """The input row (or column) that a tap of an output's row meets."""
    if not transposed:
        return out * s + tap * d - p
    at = out + p - tap * d
    return at // s if at % s == 0 else None


def interpolate16(table: list[int], bits: int, x: int) -> int:
    u = x + 32768
    i, f = u >> (16 - bits), u % (1 << (16 - bits))
    return table[i] + (((table[i + 1] - table[i]) * f + (1 << (15 - bits))) >> (16 - bits))


def lrn_factor(table: list[int], bits: int, total: int) -> int:
    if total < 2**bits:
        i, f = total, 0
    else:
        e = total.bit_length() - bits - 1
        low = total % (1 << e)
        i = e * 2**bits + (total >> e)
        f = low << (15 - e) if e <= 15 else low >> (e - 15)
    following = table[i + 1] if f else 0
    return table[i] + (((following - table[i]) * f + 2**14) >> 15 if f else 0)
