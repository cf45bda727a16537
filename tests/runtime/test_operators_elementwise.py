"""Element-wise operators, copies and conversions against FORMAT.md."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.elementwise import (
    F,
    all_factors,
    examples,
    fills,
    gaps,
    limits,
    seeds,
    shapes,
    tensor,
    zero_of,
)
from tests.runtime.operators import (
    NONE,
    OPERATOR,
    RANGE,
    UNSUPPORTED,
    Call,
    Tensor,
    arrays,
    bits,
    clamp,
    integers,
    multipliers,
    rq,
    words,
)

RESCALE, UNARY, SCALE = 8, 10, 11
COPY, QUANTIZE, DEQUANTIZE = 14, 15, 16


@pytest.mark.parametrize("to", [np.int8, np.int16])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_rescale(library: ctypes.CDLL, dtype: type, to: type) -> None:
    @examples()
    @given(shapes, seeds, fills, all_factors, gaps, st.booleans(), st.integers(0, 1))
    def check(shape, seed, fill, factors, gap, by_channel, slopes) -> None:
        rng = np.random.default_rng(seed)
        x = integers(rng, dtype, tuple(shape), fill)
        count = shape[1] if by_channel and len(shape) > 1 else 1
        rows = np.concatenate([multipliers(rng, count, factors) for _ in range(1 + slopes)])
        zx, zy = zero_of(rng, dtype), zero_of(rng, to)
        low, high = limits(rng, to)
        expected = np.zeros(shape, to)
        for at in np.ndindex(*shape):
            a, c = int(x[at]) - zx, at[1] if count > 1 else 0
            mlr = rows[3:, c] if slopes and a < 0 else rows[:3, c]
            expected[at] = clamp(zy + rq(a, *mlr), low, high)
        ins, out = tensor(rng, x, gap, zx), tensor(rng, np.zeros(shape, to), gap, zy)
        param = words(count, 0, slopes, low, high)
        np.testing.assert_array_equal(
            Call(RESCALE, [ins], out, param, arrays(*rows)).run(library), expected
        )

    check()


def test_rescale_check_refuses(library: ctypes.CDLL) -> None:
    rows = np.array([[2**30] * 3, [1] * 3, [31] * 3], np.int32)

    def call(param=(3, 0, 0, -128, 127), chan=rows):
        x, y = Tensor(np.zeros((1, 3, 4, 5), np.int16)), Tensor(np.zeros((1, 3, 4, 5), np.int8))
        return Call(RESCALE, [x], y, words(*param), arrays(*chan))

    assert call().check(library) == 0
    for param in [(2, 0, 0), (0, 0, 0), (3, 64, 0), (3, 4, 0), (3, 0, 1), (3, 0, 2)]:
        assert call((*param, -128, 127)).check(library) == OPERATOR, param
    assert call((3, 0, 0, -129, 127)).check(library) == OPERATOR
    assert call(chan=rows + 1).check(library) == OPERATOR


def test_prelu(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(5)
    for shape in [(2, 11, 3, 4), (3, 11), (1, 11, 5)]:
        x, slope = rng.standard_normal(shape).astype(F), rng.standard_normal(11).astype(F)
        for s in (slope, slope[:1]):
            wide_slope = np.broadcast_to(
                s if len(s) == 1 else s.reshape(-1, *[1] * (x.ndim - 2)), shape
            )
            both = tensor(rng, x, 2)
            call = Call(UNARY, [both], both, words(7, 0, 0, 0, len(s), 0), arrays(s))
            expected = np.where(x > 0, x, x * wide_slope)
            np.testing.assert_array_equal(bits(call.run(library)), bits(expected))
    call.param = words(7, 0, 0, 0, 10, 0)
    assert call.check(library) == OPERATOR
    call.param = words(16, 0, 0, 0, 0, 0)
    assert call.check(library) == UNSUPPORTED


def test_scale(library: ctypes.CDLL) -> None:
    @examples(60)
    @given(shapes, seeds, gaps, st.data())
    def check(shape, seed, gap, data) -> None:
        rng = np.random.default_rng(seed)
        axis = data.draw(st.integers(0, len(shape)))
        span = data.draw(st.integers(0, len(shape) - axis))
        second = data.draw(st.integers(0, 2))
        part = shape[axis : axis + span]
        spread = (*part, *[1] * (len(shape) - axis - span))
        x = rng.standard_normal(shape).astype(F)
        values = {what: rng.standard_normal(part).astype(F) for what in ("scale", "bias")}
        used = {what: data.draw(st.booleans()) for what in values}
        ins, out = [tensor(rng, x, gap)], tensor(rng, np.zeros(shape, F), gap)
        if second:
            what = ("scale", "bias")[second - 1]
            used[what] = True
            ins.append(tensor(rng, values[what].reshape(part or (1,)), gap))
        chan, offsets = b"", []
        for position, what in enumerate(values):
            if used[what] and second != position + 1:
                offsets.append(len(chan))
                chan += arrays(values[what].ravel())
                chan += bytes(-len(chan) % 64)
            else:
                offsets.append(NONE)
        y = x * values["scale"].reshape(spread) if used["scale"] else x
        y = y + values["bias"].reshape(spread) if used["bias"] else y
        call = Call(SCALE, ins, out, words(axis, span, *offsets, second), chan)
        np.testing.assert_array_equal(bits(call.run(library)), bits(y))

    check()


def test_scale_check_refuses(library: ctypes.CDLL) -> None:
    def call(param, second=None, chan=bytes(64)):
        x = Tensor(np.zeros((2, 9, 3), F))
        ins = [x] if second is None else [x, Tensor(np.zeros(second, F))]
        return Call(SCALE, ins, Tensor(np.zeros((2, 9, 3), F)), words(*param), chan)

    assert call((1, 1, 0, NONE, 0)).check(library) == 0
    assert call((1, 2, NONE, NONE, 1), (9, 3)).check(library) == 0
    for wrong in [
        call((4, 0, NONE, NONE, 0)),
        call((2, 2, NONE, NONE, 0)),
        call((1, 2, 0, NONE, 0)),  # 27 words
        call((1, 1, 0, 64, 0)),
        call((1, 1, 4, NONE, 0)),
        call((1, 1, 0, NONE, 1)),  # no second input
        call((1, 1, 0, NONE, 3), (9,)),
        call((1, 1, 0, NONE, 1), (9,)),  # both an array and a tensor
        call((1, 1, NONE, NONE, 1), (8,)),
        call((1, 1, NONE, NONE, 0), (9,)),
    ]:
        assert wrong.check(library) == OPERATOR


@pytest.mark.parametrize("dtype", [F, np.int8, np.int16])
def test_copy(library: ctypes.CDLL, dtype: type) -> None:
    @examples(60)
    @given(shapes, seeds, gaps)
    def check(shape, seed, gap) -> None:
        rng = np.random.default_rng(seed)
        x = rng.integers(-128, 128, shape).astype(dtype)
        other = list(shape)
        if len(other) > 1:  # the same axes split and joined elsewhere
            other = [shape[0] * shape[1], *shape[2:]]
        other = [int(i) for i in rng.permutation(other)]
        ins, out = tensor(rng, x, gap), tensor(rng, np.zeros(other, dtype), gap)
        np.testing.assert_array_equal(Call(COPY, [ins], out).run(library), x.reshape(other))

    check()
    x = Tensor(np.zeros((2, 3), dtype))
    assert Call(COPY, [x], Tensor(np.zeros((2, 4), dtype))).check(library) == OPERATOR
    assert Call(COPY, [x], Tensor(np.zeros(6, dtype), scale=2)).check(library) == OPERATOR


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_quantize_and_back(library: ctypes.CDLL, dtype: type) -> None:
    rng = np.random.default_rng(6)
    low, high = RANGE[2 if dtype == np.int8 else 3]
    odd = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 0.5, -0.5, 1.5, 2**31, -(2**31), 1e-40]
    x = np.concatenate([odd, rng.standard_normal(300) * 40, np.arange(-200, 200) / 4]).astype(F)
    for scale in (F(0.5), F(0.037), F(1e-30), F(1e30)):
        zero = zero_of(rng, dtype)
        inverse = F(1 / np.float64(scale))
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.floor(x * inverse + F(0.5)).astype(np.float64)
        expected = np.where(np.isnan(steps), zero, np.clip(zero + steps, low, high)).astype(dtype)
        shape = (x.size // 3, 3)
        ins = Tensor(x[: shape[0] * 3].reshape(shape), gap=1)
        out = Tensor(np.zeros(shape, dtype), scale=scale, zero=zero, gap=2)
        got = Call(QUANTIZE, [ins], out).run(library)
        np.testing.assert_array_equal(got, expected[: shape[0] * 3].reshape(shape))
        back = Tensor(np.zeros(shape, F))
        q = Tensor(got, scale=scale, zero=zero)
        expected_back = (got.astype(np.int64) - zero).astype(F) * scale
        np.testing.assert_array_equal(Call(DEQUANTIZE, [q], back).run(library), expected_back)
        assert Call(QUANTIZE, [ins], Tensor(np.zeros(shape, F))).check(library) == OPERATOR
        assert Call(DEQUANTIZE, [q], Tensor(np.zeros((2, 3), F))).check(library) == OPERATOR
