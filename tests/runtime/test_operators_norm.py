"""MVN, Normalize, resizing, masks, unpooling and recurrent layers against FORMAT.md."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.elementwise import order, tensor, zero_of
from tests.runtime.operators import (
    OPERATOR,
    RANGE,
    Call,
    Tensor,
    arrays,
    build,
    clamp,
    integers,
    multipliers,
    rq,
    rshr,
    words,
)
from tests.runtime.test_operators_functions import exact_exp

MVN, NORMALIZE, RESIZE, POOL_MASK, UNPOOL, LSTM, RNN = range(22, 29)
F = np.float32
TYPES = {"float32": F, "int8": np.int8, "int16": np.int16}
many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
gaps = st.sampled_from([0, 3])


def nested_sum(x: np.ndarray, axes: set[int]) -> np.ndarray:
    """Over some of four axes, kept: channels in order, then columns, then rows."""
    for axis in (1, 3, 2):
        if axis in axes:
            total = np.zeros_like(np.take(x, [0], axis))
            for i in range(x.shape[axis]):
                total = total + np.take(x, [i], axis)
            x = total
    return x


def draw(rng: np.random.Generator, dtype: type, shape: tuple[int, ...], fill: str) -> np.ndarray:
    return rng.normal(0, 3, shape).astype(F) if dtype is F else integers(rng, dtype, shape, fill)


@many
@given(
    st.tuples(*[st.integers(1, n) for n in (3, 19, 5, 6)]),
    seeds, gaps, st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_mvn(shape, seed, gap, across, variance, in_place) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 3, shape).astype(F)
    axes = {1, 2, 3} if across else {2, 3}
    count = F(np.prod([shape[axis] for axis in axes]))
    d = x - nested_sum(x, axes) / count
    if variance:
        d = d / (np.sqrt(nested_sum(d * d, axes) / count) + F(0.25))
    source = Tensor(x, gap=gap, order=order(rng, 4))
    out = source if in_place else Tensor(np.zeros_like(x), gap=gap, order=order(rng, 4))
    call = Call(MVN, [source], out, words(across, variance, 0.25))
    np.testing.assert_array_equal(call.run(ctypes.CDLL(str(build()))), d)


def normalized(d: list[int], table: list[int], bits: int, eps: int, mlr: list[list[int]]) -> list:
    """FORMAT.md, NORMALIZE: the requantized steps of one group, in unbounded integers."""
    total = max(1, eps + sum(v * v for v in d))
    half = (total.bit_length() - 1) // 2
    v = total * 2**30 >> 2 * half
    i, f = (v >> (32 - bits)) - 2 ** (bits - 2), (v >> (17 - bits)) % 2**15
    factor = table[i] + (((table[i + 1] - table[i]) * f + 2**14) >> 15)
    units = [
        v * factor * 2**14 // 2**half if half <= 14 else rshr(v * factor, half - 14) for v in d
    ]
    assert all(abs(u) <= 2**30 for u in units)
    return [rq(u, *constants) for u, constants in zip(units, mlr, strict=True)]


@pytest.mark.parametrize("dtype", TYPES)
def test_normalize(library: ctypes.CDLL, dtype: str) -> None:
    kind = TYPES[dtype]

    @many
    @given(
        st.sampled_from([(2, 3), (1, 20), (2, 5, 3), (1, 4, 3, 3), (2, 9, 1, 2)]),
        seeds, gaps, st.booleans(), st.booleans(),
        st.sampled_from(["random", "low", "high", "extremes"]),
        st.sampled_from(["sane", "exact", "odd"]), st.sampled_from([0, 7, 2**32 - 1]),
    )  # fmt: skip
    def check(shape, seed, gap, across, shared, fill, factors, eps) -> None:
        rng = np.random.default_rng(seed)
        x, rank = draw(rng, kind, shape, fill), len(shape)
        count = 1 if shared else shape[1]
        source = tensor(rng, x, gap, zero_of(rng, kind))
        out = tensor(rng, np.zeros_like(x), gap, zero_of(rng, kind))
        axes = set(range(1, rank)) if across else {1}
        head = (across, 0.25, count, 0)
        if kind is F:
            scale = rng.normal(size=count).astype(F)
            wide = x.reshape(*shape, *(1,) * (4 - rank))
            norm = np.sqrt(F(0.25) + nested_sum(wide * wide, axes))
            expected = (wide / norm * scale.reshape(-1, 1, 1)).reshape(shape)
            call = Call(NORMALIZE, [source], out, words(*head, 0, 0, 0, 0, 0), arrays(scale))
            np.testing.assert_array_equal(call.run(library), expected)
            return
        bits = int(rng.integers(5, 10))
        table = rng.integers(-32768, 32768, 3 * 2 ** (bits - 2) + 1).astype(np.int16)
        mlr = multipliers(rng, count, factors)
        low, high = RANGE[2 if kind is np.int8 else 3]
        expected = np.zeros_like(x)
        for group in np.ndindex(*(1 if a in axes else n for a, n in enumerate(shape))):
            at = tuple(slice(None) if a in axes else i for a, i in enumerate(group))
            d = (x[at].astype(int) - source.zero).ravel().tolist()
            channel = np.indices(shape)[1][at].ravel() if not shared else np.zeros(len(d), int)
            constants = [[int(v) for v in mlr[:, c]] for c in channel]
            steps = normalized(d, table.tolist(), bits, eps, constants)
            codes = [clamp(out.zero + s, low + 2, high - 3) for s in steps]
            expected[at] = np.reshape(codes, expected[at].shape)
        param = words(*head, 0, bits, eps, low + 2, high - 3)
        call = Call(NORMALIZE, [source], out, param, arrays(*mlr), table.tobytes())
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def between(size: int, out: int, o: int, rule: int) -> tuple[int, int, int, int]:
    """The two places that output o lies between, and how far along: r / w."""
    if rule == 0:
        p, w = o * (size - 1), max(out - 1, 1)
    else:
        p, w = min(max((2 * o + 1) * size - out, 0), 2 * out * (size - 1)), 2 * out
    return p // w, min(p // w + 1, size - 1), p % w, w


@pytest.mark.parametrize("dtype", TYPES)
def test_resize(library: ctypes.CDLL, dtype: str) -> None:
    kind = TYPES[dtype]

    @many
    @given(
        st.tuples(*[st.integers(1, n) for n in (2, 19, 6, 6)]),
        st.tuples(st.integers(1, 13), st.integers(1, 13)), st.integers(0, 1),
        st.tuples(st.integers(0, 2), st.integers(0, 2)), seeds, gaps,
        st.sampled_from(["random", "extremes"]),
    )  # fmt: skip
    def check(shape, size, rule, crop, seed, gap, fill) -> None:
        rng = np.random.default_rng(seed)
        whole = (*shape[:2], *(n + sum(crop) for n in shape[2:]))
        x = draw(rng, kind, whole, fill)
        inside = x[:, :, crop[0] : whole[2] - crop[1], crop[0] : whole[3] - crop[1]]
        zero = zero_of(rng, kind)
        expected = np.zeros((*shape[:2], *size), kind)
        bits, shift = (11, 0) if kind is np.int8 else (14, 13)
        for y, c in np.ndindex(*size):
            rows, cols = between(shape[2], size[0], y, rule), between(shape[3], size[1], c, rule)
            lines = []
            for row in rows[:2]:
                a, b = (inside[:, :, row, col] for col in cols[:2])
                lines.append(blend(a, b, cols[2], cols[3], bits, shift))
            expected[:, :, y, c] = blend(*lines, rows[2], rows[3], bits, 2 * bits - shift)
        source, out = Tensor(x, 0.5, zero, gap), Tensor(np.zeros_like(expected), 0.5, zero, gap)
        call = Call(RESIZE, [source], out, words(rule, *crop))
        if kind is F:
            source.scale = out.scale = 1.0
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def blend(a: np.ndarray, b: np.ndarray, r: int, w: int, bits: int, shift: int) -> np.ndarray:
    if a.dtype == F:
        s = F(F(r) / F(w))
        return F(0) + a * (F(1) - s) + b * s
    g = (r * 2**bits + w // 2) // w
    total = a.astype(np.int64) * (2**bits - g) + b.astype(np.int64) * g
    return np.array([rshr(v, shift) for v in total.ravel().tolist()]).reshape(a.shape)


def test_resize_check_refuses(library: ctypes.CDLL) -> None:
    def call(shape=(1, 2, 5, 5), out=(1, 2, 7, 7), param=(0, 0, 0), scale=1.0) -> int:
        x, y = np.zeros(shape, np.int8), np.zeros(out, np.int8)
        return Call(RESIZE, [Tensor(x)], Tensor(y, scale), words(*param)).check(library)

    assert call() == 0
    assert call(param=(1, 2, 2)) == 0
    for wrong in (
        {"param": (2, 0, 0)}, {"param": (0, 3, 2)}, {"param": (0, 2**31, 2**31)},
        {"param": (0, 0)}, {"out": (1, 3, 7, 7)}, {"out": (2, 2, 7, 7)}, {"scale": 2.0},
    ):  # fmt: skip
        assert call(**wrong) == OPERATOR, wrong
    large = np.broadcast_to(np.int8(0), (1, 1, 1, 32769))
    assert call((1, 1, 1, 2), large.shape) == OPERATOR
    assert call(large.shape, (1, 1, 1, 2)) == OPERATOR


@pytest.mark.parametrize("dtype", TYPES)
def test_pool_mask(library: ctypes.CDLL, dtype: str) -> None:
    kind = TYPES[dtype]

    @many
    @given(
        st.tuples(*[st.integers(1, n) for n in (2, 11, 6, 6)]),
        st.tuples(*[st.integers(1, 3)] * 4), st.tuples(st.integers(0, 2), st.integers(0, 2)),
        seeds, gaps,
    )  # fmt: skip
    def check(shape, window, pads, seed, gap) -> None:
        rng = np.random.default_rng(seed)
        x = rng.integers(-2, 3, shape).astype(kind)  # many ties
        if kind is F:
            x.flat[:: max(x.size // 2, 1)] = -np.finfo(F).max
        out = (shape[2] + pads[0], shape[3] + pads[1])
        expected = np.full((*shape[:2], *out), -1, F)
        for n, c, y, col in np.ndindex(expected.shape):
            best = -np.finfo(F).max
            for row in range(y * window[2] - pads[0], y * window[2] - pads[0] + window[0]):
                for at in range(col * window[3] - pads[1], col * window[3] - pads[1] + window[1]):
                    inside = 0 <= row < shape[2] and 0 <= at < shape[3]
                    if inside and float(x[n, c, row, at]) > best:
                        best = float(x[n, c, row, at])
                        expected[n, c, y, col] = row * shape[3] + at
        param = words(*window, *pads, 0, 0, 0, 0)
        call = Call(POOL_MASK, [Tensor(x, gap=gap)], Tensor(expected * 0, gap=gap), param)
        np.testing.assert_array_equal(call.run(library), expected)

    check()


@pytest.mark.parametrize("dtype", TYPES)
def test_unpool(library: ctypes.CDLL, dtype: str) -> None:
    kind = TYPES[dtype]

    @many
    @given(
        st.tuples(*[st.integers(1, n) for n in (2, 11, 4, 4)]),
        st.tuples(st.integers(1, 6), st.integers(1, 6)), seeds, gaps,
    )  # fmt: skip
    def check(shape, size, seed, gap) -> None:
        rng = np.random.default_rng(seed)
        x, zero = draw(rng, kind, shape, "random"), zero_of(rng, kind)
        places = size[0] * size[1]
        mask = (rng.integers(-4, 2 * places + 4, shape) / 2).astype(F)
        odd = mask.flat[::7].size
        mask.flat[::7] = rng.choice(F([np.nan, np.inf, -np.inf, 1e30, -0.5]), odd)
        expected = np.full((*shape[:2], *size), zero, kind)
        for n, c, y, col in np.ndindex(shape):
            at = mask[n, c, y, col]
            if -1 < at < places:
                expected[n, c, int(at) // size[1], int(at) % size[1]] = x[n, c, y, col]
        out = Tensor(np.zeros_like(expected), zero=zero, gap=gap)
        call = Call(UNPOOL, [Tensor(x, zero=zero, gap=gap), Tensor(mask, gap=gap)], out)
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def test_unpool_check_refuses(library: ctypes.CDLL) -> None:
    def call(x=(1, 2, 3, 3), mask=(1, 2, 3, 3), y=(1, 2, 6, 6), kind=F, zero=0, inputs=2) -> int:
        values = Tensor(np.zeros(x, np.int8))
        tensors = [values, Tensor(np.zeros(mask, kind)), values][:inputs]
        return Call(UNPOOL, tensors, Tensor(np.zeros(y, np.int8), zero=zero)).check(library)

    assert call() == 0
    for wrong in (
        {"kind": np.int8}, {"mask": (1, 2, 3, 2)}, {"y": (1, 3, 6, 6)}, {"y": (2, 2, 6, 6)},
        {"zero": 3}, {"inputs": 1}, {"inputs": 3},
    ):  # fmt: skip
        assert call(**wrong) == OPERATOR, wrong


def packed(matrix: np.ndarray) -> bytes:
    """Packing 1 of CONV, padded to the next blob."""
    rows, columns = matrix.shape
    out = np.zeros((-(-rows // 8), columns, 8), F)
    for row, column in np.ndindex(rows, columns):
        out[row // 8, column, row % 8] = matrix[row, column]
    return out.tobytes() + bytes(-out.nbytes % 64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return F(1) / (F(1) + exact_exp(-x))


def tanh(x: np.ndarray) -> np.ndarray:
    y = F(1) - F(2) / (exact_exp(F(2) * np.abs(x)) + F(1))
    return np.where(x < 0, -y, y)


def add(z: np.ndarray, matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    for column in range(matrix.shape[1]):
        z = z + matrix[:, column] * x[column]
    return z


@pytest.mark.parametrize("opcode", [LSTM, RNN])
def test_recurrent(library: ctypes.CDLL, opcode: int) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        st.tuples(*[st.integers(1, n) for n in (4, 3, 9, 11, 5)]),
        st.booleans(), st.booleans(), seeds, gaps,
    )  # fmt: skip
    def check(sizes, static, expose, seed, gap) -> None:
        steps, streams, inputs, channels, fixed = sizes
        rng = np.random.default_rng(seed)
        rows = channels * (4 if opcode == LSTM else 1)
        shapes = {"input": (rows, inputs), "static": (rows, fixed), "hidden": (rows, channels)}
        shapes |= {"output": (channels, channels)}
        w = {key: rng.normal(0, 0.5, shape).astype(F) for key, shape in shapes.items()}
        bias, output_bias = rng.normal(size=rows).astype(F), rng.normal(size=channels).astype(F)
        x = rng.normal(size=(steps, streams, inputs)).astype(F)
        cont = rng.choice(F([0, 1, 0.5, -1]), (steps, streams))
        s = rng.normal(size=(streams, fixed)).astype(F)
        first = rng.normal(size=(2, 1, streams, channels)).astype(F) * expose
        expected = np.zeros((steps + expose, streams, channels), F)
        for n in range(streams):
            h, c = first[0, 0, n], first[1, 0, n]
            for t in range(steps):
                z = add(bias, w["input"], x[t, n])
                z = add(z, w["static"], s[n]) if static else z
                z = add(z, w["hidden"], cont[t, n] * h)
                if opcode == LSTM:
                    i, f, o, g = np.split(z, 4)
                    keep = cont[t, n] * sigmoid(f) if cont[t, n] else F(0)
                    c = keep * c + sigmoid(i) * tanh(g)
                    expected[t, n] = h = sigmoid(o) * tanh(c)
                else:
                    h = tanh(z)
                    expected[t, n] = tanh(add(output_bias, w["output"], h))
            if expose:
                expected[steps, n] = c if opcode == LSTM else h
        states = first[: 2 if opcode == LSTM else 1] if expose else []
        values = [x, cont, *([s] if static else []), *states]
        tensors = [tensor(rng, v, gap) for v in values]
        data, offsets = b"", []
        for key in shapes:
            offsets.append(len(data))
            data += packed(w[key])
        chan = arrays(bias) + bytes(-len(arrays(bias)) % 64)
        last = () if opcode == LSTM else (offsets[3], len(chan))
        param = words(static, expose, 0, *offsets[:3], *last)
        out = tensor(rng, expected * 0, gap)
        call = Call(opcode, tensors, out, param, chan + arrays(output_bias), data)
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def test_recurrent_check_refuses(library: ctypes.CDLL) -> None:
    names = {"x": (2, 3, 4), "cont": (2, 3), "s": (3, 2), "h": (1, 3, 5), "c": (1, 3, 5)}

    def call(opcode=LSTM, param=(1, 1, 0, 0, 384, 576), out=(3, 3, 5), data=1440, chan=96, **other):
        shapes = [shape for shape in (names | other).values() if shape]
        tensors = [Tensor(np.zeros(shape, F)) for shape in shapes]
        y = Tensor(np.zeros(out, F))
        return Call(opcode, tensors, y, words(*param), bytes(chan), bytes(data)).check(library)

    assert call() == 0
    plain = {"s": (), "h": (), "c": (), "out": (2, 3, 5)}
    assert call(param=(0, 0, 0, 0, 0, 576), **plain) == 0
    for wrong in (
        {"param": (2, 1, 0, 0, 384, 576)}, {"param": (1, 2, 0, 0, 384, 576)},
        {"param": (1, 1, 0, 0, 384)}, {"param": (1, 1, 64, 0, 384, 576)},
        {"param": (1, 1, 0, 0, 384, 1024)}, {"param": (1, 1, 0, 1088, 384, 576)},
        {"param": (1, 1, 0, 0, 1280, 576)}, {"param": (1, 0, 0, 0, 384, 576)},
        {"data": 1055}, {"chan": 95}, {"x": (2, 3, 4, 1)}, {"x": (3, 3, 4)}, {"cont": (3, 2)},
        {"s": (2, 2)}, {"s": ()}, {"h": (1, 3, 4)}, {"c": (2, 3, 5)}, {"out": (2, 3, 5)},
        {"out": (3, 2, 5)}, {"c": ()},
    ):  # fmt: skip
        assert call(**wrong) == OPERATOR, wrong
    rnn = {"opcode": RNN, "c": (), "data": 960, "chan": 96}
    assert call(**rnn, param=(1, 1, 0, 0, 128, 192, 384, 64)) == 0
    assert call(**rnn, param=(1, 1, 0, 0, 128, 192, 832, 64)) == OPERATOR
    assert call(**rnn, param=(1, 1, 0, 0, 128, 192, 384, 96)) == OPERATOR
