"""Tables and functions of one variable against FORMAT.md."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.elementwise import F, examples, gaps, seeds, shapes, tensor
from tests.runtime.operators import OPERATOR, Call, Tensor, bits, words

LOOKUP, UNARY, SOFTMAX = 9, 10, 13


@pytest.mark.parametrize("bits_", range(7, 13))
def test_lookup_s16(library: ctypes.CDLL, bits_: int) -> None:
    rng = np.random.default_rng(bits_)
    x = np.arange(-32768, 32768).astype(np.int16).reshape(4, 16, 32, 32)
    for table in (
        rng.integers(-32768, 32768, 2**bits_ + 1),
        rng.choice([-32768, 32767], 2**bits_ + 1),
    ):
        u = x.astype(np.int64) + 32768
        i, f = u >> (16 - bits_), u % 2 ** (16 - bits_)
        y = table[i] + (((table[i + 1] - table[i]) * f + 2 ** (15 - bits_)) >> (16 - bits_))
        data = table.astype(np.int16).tobytes()
        ins, out = Tensor(x, gap=2), Tensor(np.zeros_like(x))
        call = Call(LOOKUP, [ins], out, words(0, len(data), bits_), data=data)
        np.testing.assert_array_equal(call.run(library), y)
        for param in [(0, len(data), bits_ + 1), (0, len(data) - 2, bits_), (64, len(data), bits_)]:
            call.param = words(*param)
            assert call.check(library) == OPERATOR


def test_lookup_s8(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    table = rng.integers(-128, 128, 256).astype(np.int8)
    x = rng.integers(-128, 128, (2, 5, 7, 9)).astype(np.int8)
    both = Tensor(x, gap=1)
    call = Call(LOOKUP, [both], both, words(0, 256, 8), data=table.tobytes())
    np.testing.assert_array_equal(call.run(library), table[x.astype(int) + 128])
    call.data = call.data[:-1]
    assert call.check(library) == OPERATOR


def unary(library: ctypes.CDLL, function: int, x: np.ndarray, *abc: float) -> np.ndarray:
    abc = (*abc, 0.0, 0.0, 0.0)[:3]
    param = words(function, *(F(value) for value in abc), 0, 0)
    return Call(UNARY, [Tensor(x, gap=1)], Tensor(np.zeros_like(x)), param).run(library)


def wide(rng: np.random.Generator) -> np.ndarray:
    some = np.concatenate([rng.uniform(-90, 90, 500), rng.standard_normal(500), [0.0, -0.0]])
    return some.astype(F).reshape(2, -1)


def exact_exp(x: np.ndarray) -> np.ndarray:
    """FORMAT.md's exp, an IEEE operation at a time."""
    x = np.minimum(np.maximum(x, F(-87)), F(88))
    n = np.floor(x * F(1.44269504) + F(0.5))
    r = (x - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = F(1) / F(720)
    for c in (F(1) / F(120), F(1) / F(24), F(1) / F(6), F(0.5), F(1), F(1)):
        p = c + r * p
    return p * ((n.astype(np.int64) + 127) << 23).astype(np.uint32).view(F)


def exact_log(x: np.ndarray) -> np.ndarray:
    """FORMAT.md's log."""
    m, e = np.frexp(x)
    small = m < F(np.sqrt(0.5))
    f, e = np.where(small, m * F(2), m).astype(F) - F(1), (e - small).astype(F)
    z, p = f * f, F(7.0376836292e-2)
    for c in (
        *(-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    ):
        p = p * f + F(c)
    y = f * z * p
    y = y + e * F(-2.12194440e-4)
    y = y - F(0.5) * z
    y = (f + y) + e * F(0.693359375)
    return np.where(x > 0, y, F(-88))


def test_functions(library: ctypes.CDLL) -> None:
    x = wide(np.random.default_rng(2))
    exp = exact_exp
    expected = {
        (0, 0.25): np.where(x > 0, x, x * F(0.25)),
        (0, 0.0): np.where(x > 0, x, x * F(0)),
        (1, -3.0, 6.0): np.clip(x, F(-3), F(6)),
        (2, 1.5): np.where(x > 0, x, F(1.5) * (exp(x) - F(1))),
        (3,): F(1) / (F(1) + exp(-x)),
        (4,): np.sign(x) * (F(1) - F(2) / (exp(F(2) * np.abs(x)) + F(1))),
        (5,): np.abs(x),
        (6, 1.0, 2.0, 3.0): F(3) + F(2) * x,
        (6, 2.0, 2.0, 3.0): (F(3) + F(2) * x) * (F(3) + F(2) * x),
        (8, 1.5, -0.7): F(1.5) * exp(F(-0.7) * x),
        (9, 1.5, 0.5, 3.0): F(1.5) * exact_log(F(0.5) * x + F(3)),
        (11, 0.25): (x > F(0.25)).astype(F),
        (12, 1.7): x * (F(1) / (F(1) + exp(-(F(1.7) * x)))),
        (14,): x * np.clip(x + F(3), 0, 6) / F(6),
        (15, 0.3, 0.4): np.clip(F(0.3) * x + F(0.4), 0, 1),
    }
    tail = exact_log(F(1) + exp(-np.abs(x)))
    expected[10,] = np.where(x > 0, x + tail, tail)
    with np.errstate(over="ignore", invalid="ignore"):
        n = exp(x) * (exp(x) + F(2))
        expected[13,] = np.where(x > 20, x, x * (n / (n + F(2))))
    for (function, *abc), y in expected.items():
        np.testing.assert_array_equal(bits(unary(library, function, x, *abc)), bits(y))
    base = np.abs(x)
    np.testing.assert_array_equal(bits(unary(library, 6, base, 0.5, 1.0, 0.0)), bits(np.sqrt(base)))
    assert np.isnan(unary(library, 6, -base - F(1), 0.5, 1.0, 0.0)).all()
    for whole in (3.0, -1.0, -2.0):  # a negative base is no obstacle
        base = F(2) + F(0.5) * x
        y = exp(F(whole) * exact_log(np.abs(base))) * np.where(whole % 2, np.sign(base), F(1))
        got = unary(library, 6, x, whole, 0.5, 2.0)
        np.testing.assert_array_equal(bits(got), bits(y.astype(F)))
    got = unary(library, 6, x, -0.75, 0.5, 2.0)
    y = exp(F(-0.75) * exact_log(F(2) + F(0.5) * x))
    np.testing.assert_array_equal(bits(got), bits(y))


def test_functions_are_close_to_the_true_ones(library: ctypes.CDLL) -> None:
    x = wide(np.random.default_rng(3))
    true = x.astype(np.float64)
    np.testing.assert_allclose(unary(library, 3, x), 1 / (1 + np.exp(-true)), rtol=3e-7, atol=1e-37)
    np.testing.assert_allclose(unary(library, 4, x), np.tanh(true), atol=2e-7)
    softplus = np.log1p(np.exp(true))
    np.testing.assert_allclose(unary(library, 10, x), softplus, rtol=2e-7, atol=1e-7)
    np.testing.assert_allclose(
        unary(library, 13, x), true * np.tanh(softplus), rtol=1e-6, atol=1e-35
    )
    power = unary(library, 6, np.abs(x) + F(1e-3), -0.75, 1.0, 0.0)
    np.testing.assert_allclose(power, (np.abs(x) + F(1e-3)).astype(np.float64) ** -0.75, rtol=2e-6)


def test_roots_of_all_kinds(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(0, 0x7F800000, 20000, dtype=np.uint32)
    x[:2000] = rng.integers(0, 0x00800000, 2000)  # subnormal
    x = np.concatenate([x, [0, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000]])
    x = x.astype(np.uint32).view(F)
    np.testing.assert_array_equal(bits(unary(library, 6, x, 0.5, 1.0, 0.0)), bits(np.sqrt(x)))


def test_softmax(library: ctypes.CDLL) -> None:
    @examples(30)
    @given(shapes, seeds, gaps, st.booleans())
    def check(shape, seed, gap, in_place) -> None:
        rng = np.random.default_rng(seed)
        axis = seed % len(shape)
        x = (rng.standard_normal(shape) * 10).astype(F)
        e = exact_exp(x - x.max(axis, keepdims=True))
        total = np.zeros_like(e.sum(axis, keepdims=True))
        for i in range(shape[axis]):
            total = total + np.take(e, [i], axis)
        ins = tensor(rng, x, gap)
        out = ins if in_place else tensor(rng, np.zeros_like(x), gap)
        got = Call(SOFTMAX, [ins], out, words(axis)).run(library)
        np.testing.assert_array_equal(bits(got), bits(e / total))
        np.testing.assert_allclose(got.sum(axis), 1, rtol=1e-6)

    check()
    x = Tensor(np.zeros((2, 3), F))
    assert Call(SOFTMAX, [x], x, words(2)).check(library) == OPERATOR
