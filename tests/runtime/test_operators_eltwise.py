"""SUM, PROD and MAX against FORMAT.md."""

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
    OPERATOR,
    RANGE,
    Call,
    Expanded,
    Tensor,
    clamp,
    integers,
    multipliers,
    rq,
    rshr,
    saturate32,
    srdhm,
    words,
    wrap32,
)

SUM, PROD, MAX, COPY = 5, 6, 7, 14


def eltwise_one(opcode: int, q: list[int], header: tuple[int, int], records: np.ndarray) -> int:
    left, right = header
    if opcode == SUM:
        terms = [srdhm(saturate32(a << left), m) for a, (m, _, _) in zip(q, records.T, strict=True)]
        return rshr(wrap32(sum(terms)), right)
    if opcode == PROD:
        return rq(wrap32(q[0] * q[1]), *records[:, 0])
    return max(rq(a, *r) for a, r in zip(q, records.T, strict=True))


@pytest.mark.parametrize("opcode", [SUM, PROD, MAX])
@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_integer_eltwise(library: ctypes.CDLL, opcode: int, dtype: type) -> None:
    @examples()
    @given(shapes, st.integers(2, 8), seeds, fills, all_factors, gaps, st.booleans())
    def check(shape, count, seed, fill, factors, gap, in_place) -> None:
        rng = np.random.default_rng(seed)
        count = 2 if opcode == PROD else count
        xs = [integers(rng, dtype, tuple(shape), fill) for _ in range(count)]
        zeros = [zero_of(rng, dtype) for _ in range(count + 1)]
        records = multipliers(rng, count, factors)
        header = (int(rng.integers(0, 12)), int(rng.integers(0, 20)))
        if factors == "odd":
            header = (int(rng.integers(0, 32)), int(rng.integers(0, 32)))
        low, high = limits(rng, dtype)
        param = words(low, high, *header, *records.T.ravel())
        ins = [tensor(rng, x, gap, z) for x, z in zip(xs, zeros, strict=False)]
        out = tensor(rng, np.zeros(shape, dtype), gap, zeros[-1])
        if in_place:
            zeros[0] = zeros[-1]
            ins[0] = out
            out.array[...] = xs[0]
        expected = np.zeros(shape, dtype)
        for at in np.ndindex(*shape):
            q = [int(x[at]) - z for x, z in zip(xs, zeros, strict=False)]
            y = zeros[-1] + eltwise_one(opcode, q, header, records)
            expected[at] = clamp(y, low, high)
        np.testing.assert_array_equal(Call(opcode, ins, out, param).run(library), expected)

    check()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, F])
def test_inputs_that_repeat(library: ctypes.CDLL, dtype: type) -> None:
    """Stride 0, which an expanded axis has."""

    @examples(25)
    @given(shapes, seeds, gaps)
    def check(shape, seed, gap) -> None:
        rng = np.random.default_rng(seed)
        small = tuple(int(n) if rng.random() < 0.5 else 1 for n in shape)
        x, y = (
            rng.standard_normal(s).astype(F) if dtype is F else integers(rng, dtype, s, "random")
            for s in (tuple(shape), small)
        )
        second = Expanded(tensor(rng, y, gap), tuple(shape))
        out = tensor(rng, np.zeros(shape, dtype), gap)
        np.testing.assert_array_equal(Call(COPY, [second], out).run(library), second.values)
        ends = (F(-np.inf), F(np.inf)) if dtype is F else RANGE[2 if dtype == np.int8 else 3]
        one = (0, 0, 0) if dtype is F else (2**30, 1, 0)  # a factor of 1
        param = words(*ends, 0, 0, *one, *one)
        found = Call(MAX, [tensor(rng, x, gap), second], out, param).run(library)
        np.testing.assert_array_equal(found, np.maximum(x, second.values))

    check()


@pytest.mark.parametrize("opcode", [SUM, PROD, MAX])
def test_float_eltwise(library: ctypes.CDLL, opcode: int) -> None:
    @examples(25)
    @given(shapes, st.integers(2, 8), seeds, gaps)
    def check(shape, count, seed, gap) -> None:
        rng = np.random.default_rng(seed)
        xs = [rng.standard_normal(shape).astype(F) for _ in range(count)]
        c = rng.standard_normal(count).astype(F)
        low, high = (F(-1.5), F(2)) if seed % 2 else (F(-np.inf), F(np.inf))
        records = [value for a in c for value in (a, 0, 0)]
        expected = xs[0] * c[0] if opcode == SUM else xs[0]
        for x, a in zip(xs[1:], c[1:], strict=True):
            if opcode == SUM:
                expected = expected + x * a
            else:
                expected = expected * x if opcode == PROD else np.maximum(expected, x)
        ins = [tensor(rng, x, gap) for x in xs]
        out = tensor(rng, np.zeros(shape, F), gap)
        call = Call(opcode, ins, out, words(low, high, 0, 0, *records))
        np.testing.assert_array_equal(call.run(library), np.clip(expected, low, high))

    check()


def test_long_runs(library: ctypes.CDLL) -> None:
    """More than one task and whole vectors."""
    rng = np.random.default_rng(5)
    xs = [rng.standard_normal((1, 16, 70, 40)).astype(F) for _ in range(2)]
    ins, out = [Tensor(x) for x in xs], Tensor(np.zeros_like(xs[0]))
    param = words(F(-np.inf), F(np.inf), 0, 0, F(1), 0, 0, F(0.5), 0, 0)
    got = Call(SUM, ins, out, param).run(library)
    np.testing.assert_array_equal(got, xs[0] * F(1) + xs[1] * F(0.5))


def test_eltwise_check_refuses(library: ctypes.CDLL) -> None:
    def call(inputs: int = 2, shape=(1, 3, 4, 5), header=(-128, 127, 1, 1), record=(1, 2, 3)):
        ins = [Tensor(np.zeros((1, 3, 4, 5), np.int8)) for _ in range(inputs)]
        out = Tensor(np.zeros(shape, np.int8))
        return Call(SUM, ins, out, words(*header, *record * inputs))

    assert call().check(library) == 0
    bad = [
        call(inputs=1),
        call(shape=(1, 3, 5, 4)),
        call(header=(-129, 127, 1, 1)),
        call(header=(5, 4, 1, 1)),
        call(header=(-128, 127, 32, 1)),
        call(header=(-128, 127, 1, 32)),
        call(record=(1, 32, 3)),
        call(record=(1, 2, 2**31)),
    ]
    short = call()
    short.param = short.param[:-4]
    three = call(inputs=3)
    three.opcode = PROD
    for wrong in [*bad, short, three]:
        assert wrong.check(library) == OPERATOR
