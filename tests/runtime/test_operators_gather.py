"""Gathering, embedding, sums and largest values against FORMAT.md."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.elementwise import limits, tensor, zero_of
from tests.runtime.operators import (
    NONE,
    OPERATOR,
    Call,
    Tensor,
    arrays,
    build,
    clamp,
    integers,
    multipliers,
    rq,
    words,
    wrap32,
)

GATHER, EMBED, REDUCE, ARGMAX = 18, 19, 20, 21
F = np.float32
TYPES = {"float32": F, "int8": np.int8, "int16": np.int16}
many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
gaps = st.sampled_from([0, 3])
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=6).filter(lambda s: np.prod(s) < 300)


def draw(rng: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    if dtype is F:
        return rng.normal(0, 3, shape).astype(F)
    return integers(rng, dtype, shape, rng.choice(["random", "extremes"]))


def whole(x: float, size: int) -> int:
    """FORMAT.md's index: cut to a whole number inside the axis."""
    return 0 if not x > 0 else size - 1 if x >= size else int(x)


ODD = [np.nan, np.inf, -np.inf, -1, -0.0, 0.99, 3e9, 1e30]


@pytest.mark.parametrize("kind", TYPES)
def test_gather(library: ctypes.CDLL, kind: str) -> None:
    dtype = TYPES[kind]

    @many
    @given(shapes, st.integers(1, 9), seeds, gaps, st.data())
    def check(shape, count, seed, gap, data) -> None:
        rng = np.random.default_rng(seed)
        axis, zero = data.draw(st.integers(0, len(shape) - 1)), zero_of(rng, dtype)
        x = draw(rng, dtype, tuple(shape))
        index = rng.integers(0, shape[axis], count).astype(np.int32)
        expected = x.take(index, axis)
        source = tensor(rng, x, gap, zero)
        out = tensor(rng, np.zeros_like(expected), gap, zero)
        call = Call(GATHER, [source], out, words(axis, 0), arrays(index))
        np.testing.assert_array_equal(call.run(library), expected)
        wrong = (
            (words(axis, 64), arrays(index)),
            (words(len(shape), 0), arrays(index)),
            (words(axis, NONE), arrays(index)),
            (words(axis, 0), arrays(np.full(count, shape[axis], np.int32))),
            (words(axis, 0), arrays(np.full(count, -1, np.int32))),
        )
        for call.param, call.chan in wrong:
            assert call.check(library) == OPERATOR

    check()


@many
@given(shapes, st.integers(1, 9), seeds, gaps, st.data())
def test_gather_by_a_tensor(shape, count, seed, gap, data) -> None:
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(0, len(shape) - 1))
    x, index = draw(rng, F, tuple(shape)), rng.uniform(-2, 9, count).astype(F)
    index[rng.random(count) < 0.3] = F(rng.choice(ODD))
    expected = x.take([whole(v, shape[axis]) for v in index], axis)
    ins = [tensor(rng, x, gap), tensor(rng, index, gap)]
    call = Call(GATHER, ins, tensor(rng, np.zeros_like(expected), gap), words(axis, NONE))
    np.testing.assert_array_equal(call.run(ctypes.CDLL(str(build()))), expected)


@many
@given(
    st.lists(st.integers(1, 5), max_size=5),
    *(st.integers(1, 12), st.integers(1, 9), seeds, gaps, st.booleans()),
)
def test_embed(shape, rows, channels, seed, gap, biased) -> None:
    library = ctypes.CDLL(str(build()))
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, rows + 1, shape).astype(F)
    x[rng.random(shape) < 0.2] = F(rng.choice(ODD))
    table, bias = rng.normal(size=(rows, channels)).astype(F), rng.normal(size=channels).astype(F)
    rows_of = np.array([whole(v, rows) for v in x.ravel()], int).reshape(shape)
    expected = table[rows_of] + bias if biased else table[rows_of]
    out = tensor(rng, np.zeros_like(expected), gap)
    param = words(rows, 0, 0 if biased else NONE)
    call = Call(EMBED, [tensor(rng, x, gap)], out, param, arrays(bias), table.tobytes())
    np.testing.assert_array_equal(call.run(library), expected)
    for call.param in (words(rows + 1, 0, NONE), words(rows, 64, NONE), words(0, 0, NONE)):
        assert call.check(library) == OPERATOR
    call.param, call.chan = words(rows, 0, 64), arrays(bias)
    assert call.check(library) == OPERATOR


TERMS = (lambda v: v, abs, lambda v: v * v)


@many
@given(shapes, st.integers(0, 2), seeds, gaps, st.data())
def test_reduce_floats(shape, kind, seed, gap, data) -> None:
    library = ctypes.CDLL(str(build()))
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = draw(rng, F, tuple(shape))
    expected = np.zeros(shape[:axis], F)
    for at in np.ndindex(*shape[:axis]):
        total = F(0)
        for row in np.asarray(x[at]).reshape(-1, shape[-1]):
            part = F(0)
            for v in row:
                part = part + TERMS[kind](v)
            total = total + part
        expected[at] = total * F(0.375)
    call = Call(REDUCE, [tensor(rng, x, gap)], tensor(rng, np.zeros_like(expected), gap))
    call.param = words(kind, 0.375, 0, 0, 0, 0, 0)
    np.testing.assert_array_equal(call.run(library), expected)
    call.param = words(3, 0.375, 0, 0, 0, 0, 0)
    assert call.check(library) == OPERATOR


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_reduce_integers(library: ctypes.CDLL, dtype: type) -> None:
    @many
    @given(shapes, st.integers(0, 2), seeds, gaps, st.sampled_from(["sane", "odd"]), st.data())
    def check(shape, kind, seed, gap, factors, data) -> None:
        rng = np.random.default_rng(seed)
        axis = data.draw(st.integers(0, len(shape) - 1))
        x, zeros = draw(rng, dtype, tuple(shape)), [zero_of(rng, dtype) for _ in range(2)]
        (mlr,), (low, high) = multipliers(rng, 1, factors).T, limits(rng, dtype)
        expected = np.zeros(shape[:axis], dtype)
        for at in np.ndindex(*shape[:axis]):
            total = sum(TERMS[kind](int(v) - zeros[0]) for v in np.asarray(x[at]).ravel())
            y = zeros[1] + rq(wrap32(total), *(int(v) for v in mlr))
            expected[at] = clamp(y, low, high)
        out = tensor(rng, np.zeros_like(expected), gap, zeros[1])
        param = words(kind, 0, *mlr, low, high)
        call = Call(REDUCE, [tensor(rng, x, gap, zeros[0])], out, param)
        np.testing.assert_array_equal(call.run(library), expected)
        for wrong in ((mlr[0], 32, 0, low, high), (mlr[0], 0, 32, low, high), (*mlr, high, low)):
            call.param = words(kind, 0, *wrong)
            assert call.check(library) == OPERATOR or (low == high and wrong[1] < 32 > wrong[2])

    check()


@many
@given(shapes, seeds, gaps, st.booleans(), st.booleans(), st.data())
def test_argmax(shape, seed, gap, values, ties, data) -> None:
    library = ctypes.CDLL(str(build()))
    rng = np.random.default_rng(seed)
    axis = data.draw(st.integers(0, len(shape) - 1))
    top = data.draw(st.integers(1, shape[axis]))
    x = draw(rng, F, tuple(shape))
    if ties:
        x = np.round(x / 3)
        x[rng.random(shape) < 0.2] = F(rng.choice([np.nan, np.inf, -np.inf]))
    expected = np.zeros((*shape[:axis], top, *shape[axis + 1 :]), F)
    for at in np.ndindex(*shape[:axis], 1, *shape[axis + 1 :]):
        before, behind = at[:axis], at[axis + 1 :]
        line = [float(x[(*before, i, *behind)]) for i in range(shape[axis])]
        pairs = [(-np.inf if np.isnan(v) else v, i) for i, v in enumerate(line)]
        for k, (value, index) in enumerate(sorted(pairs, reverse=True)[:top]):
            expected[(*before, k, *behind)] = value if values else index
    out = tensor(rng, np.zeros_like(expected), gap)
    call = Call(ARGMAX, [tensor(rng, x, gap)], out, words(axis, values))
    np.testing.assert_array_equal(call.run(library), expected)
    for call.param in (words(len(shape), values), words(axis, 2)):
        assert call.check(library) == OPERATOR


def test_shapes_must_belong_together(library: ctypes.CDLL) -> None:
    x = Tensor(np.zeros((2, 3, 4), F))
    for opcode, out, param in (
        (GATHER, (2, 3), words(0, NONE)),
        (EMBED, (2, 3, 4), words(1, 0, NONE)),
        (EMBED, (2, 4, 4, 5), words(1, 0, NONE)),
        (REDUCE, (3,), words(0, 1.0, 0, 0, 0, 0, 0)),
        (REDUCE, (2, 3, 4), words(0, 1.0, 0, 0, 0, 0, 0)),
        (ARGMAX, (2, 4, 4), words(1, 0)),
        (ARGMAX, (1, 3, 4), words(1, 0)),
    ):
        call = Call(opcode, [x], Tensor(np.zeros(out, F)), param, data=bytes(64))
        assert call.check(library) == OPERATOR
