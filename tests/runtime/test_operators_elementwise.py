"""Element-wise operators, tables, copies and conversions against FORMAT.md."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.operators import (
    NONE,
    OPERATOR,
    RANGE,
    UNSUPPORTED,
    Call,
    Expanded,
    Tensor,
    arrays,
    bits,
    build,
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

SUM, PROD, MAX, RESCALE, LOOKUP, UNARY, SCALE = 5, 6, 7, 8, 9, 10, 11
SOFTMAX, COPY, QUANTIZE, DEQUANTIZE = 13, 14, 15, 16
F = np.float32


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build()))


shapes = st.lists(st.integers(1, 9), min_size=1, max_size=6).filter(lambda s: np.prod(s) < 400)
seeds = st.integers(0, 2**32 - 1)
fills = st.sampled_from(["random", "random", "low", "high", "extremes"])
gaps = st.sampled_from([0, 0, 3])
all_factors = st.sampled_from(["sane", "exact", "odd"])


def examples(count: int = 40) -> Callable:
    return settings(max_examples=count, deadline=None, derandomize=True)


def order(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    """Axes in the usual order, or in any."""
    return () if rng.random() < 0.5 else tuple(int(i) for i in rng.permutation(rank))


def tensor(rng: np.random.Generator, values: np.ndarray, gap: int, zero: int = 0) -> Tensor:
    return Tensor(values, zero=zero, gap=gap, order=order(rng, values.ndim))


def zero_of(rng: np.random.Generator, dtype: type) -> int:
    return int(rng.integers(-128, 128)) if dtype == np.int8 else 0


def limits(rng: np.random.Generator, dtype: type) -> tuple[int, int]:
    low, high = RANGE[2 if dtype == np.int8 else 3]
    return (low, high) if rng.random() < 0.6 else (low + 7, high - 90)


# --- SUM, PROD, MAX -------------------------------------------------------------------------------


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


# --- RESCALE, LOOKUP ------------------------------------------------------------------------------


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


# --- Functions in float32 -------------------------------------------------------------------------


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


# --- COPY, QUANTIZE, DEQUANTIZE -------------------------------------------------------------------


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
