"""Winograd's F(4 x 4, 3 x 3) in whole numbers: why the int8 kernel has the bits of the direct one.

The matrices are those of runtime_c/kernels/neon/dmt_winograd_s8.h.
"""

from __future__ import annotations

import numpy as np
import pytest

WEIGHT = np.array([[3, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 3]])
INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, 4, 4, -1, -1, 0],
        [0, -4, 4, 1, -1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
LOW = np.zeros((6, 6), int)  # of a tile with two rows of outputs
LOW[:4, :4] = [[4, -2, -4, 2], [0, 6, 3, -3], [0, -2, 3, -1], [0, -4, 0, 4]]
BACK = np.array(
    [[2, 4, 4, 1, 1, 0], [0, 4, -4, 2, -2, 0], [0, 4, 4, 4, 4, 0], [0, 4, -4, 8, -8, 8]]
)
NINTH = 0x38E38E39


def direct(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(C, 6, 6) and (C, 3, 3) to 4 x 4, in unbounded numbers."""
    taps = [[(x[:, i : i + 3, j : j + 3] * w).sum() for j in range(4)] for i in range(4)]
    return np.array(taps, object)


def winograd(x: np.ndarray, w: np.ndarray, bias: int, left: np.ndarray = INPUT) -> np.ndarray:
    """As the kernel does: sums modulo 2^32, the bias in position (1, 1), a ninth and a shift."""
    u, v = WEIGHT @ w @ WEIGHT.T, left @ x @ INPUT.T
    assert max(abs(u).max(), abs(v).max()) < 1 << 15
    sums = (u * v).sum(axis=0).astype(object)
    sums[1, 1] += 36 * bias
    y = (BACK @ (sums % (1 << 32)) @ BACK.T) * NINTH % (1 << 32)
    return (y - (y >> 31 << 32)) >> 6


def test_ranges() -> None:
    assert (abs(WEIGHT).sum(axis=1).max() ** 2, abs(INPUT).sum(axis=1).max() ** 2) == (49, 100)
    assert max(49 * 128, 100 * 128) < 1 << 15
    assert abs(LOW).sum(axis=1).max() * 10 * 128 < 1 << 15
    assert 9 * NINTH % (1 << 32) == 1


def extremes(rng: np.random.Generator, channels: int, size: int, values: list[int]) -> np.ndarray:
    return rng.choice(values, (channels, size, size)).astype(np.int64)


@pytest.mark.parametrize("channels", [1, 7, 64, 512])
@pytest.mark.parametrize("seed", range(4))
def test_any_numbers(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (channels, 6, 6))
    w = rng.integers(-127, 128, (channels, 3, 3))
    bias = int(rng.integers(-(1 << 22), 1 << 22))
    assert (winograd(x, w, bias) == direct(x, w) + bias).all()


@pytest.mark.parametrize("channels", [1, 64, 228])
@pytest.mark.parametrize("seed", range(4))
def test_extremes(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = extremes(rng, channels, 6, [-128, 127]), extremes(rng, channels, 3, [-127, 127])
    assert (winograd(x, w, 1 << 16) == direct(x, w) + (1 << 16)).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_accumulators(sign: int) -> None:
    x, w = np.full((228, 6, 6), -128), np.full((228, 3, 3), 127 * sign)
    for y in (sign * ((1 << 25) - 1), sign * (1 << 24), 0):
        bias = y - int(direct(x, w)[0, 0])
        assert (winograd(x, w, bias) == y).all()


@pytest.mark.parametrize("seed", range(4))
def test_low_tiles(seed: int) -> None:
    """Two rows of outputs without the last two rows of positions."""
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-128, 128, (64, 6, 6)), rng.integers(-127, 128, (64, 3, 3))
    assert (winograd(x, w, 12345, LOW)[:2] == direct(x, w)[:2] + 12345).all()
    x, w = extremes(rng, 64, 6, [-128, 127]), extremes(rng, 64, 3, [-127, 127])
    assert (winograd(x, w, -54321, LOW)[:2] == direct(x, w)[:2] - 54321).all()


def test_beyond_the_bound_it_is_wrong() -> None:
    """So the promise is needed."""
    x, w = np.full((1, 6, 6), 127), np.full((1, 3, 3), 127)
    assert (winograd(x, w, 1 << 25) != direct(x, w) + (1 << 25)).all()
