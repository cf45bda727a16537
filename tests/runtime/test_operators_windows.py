"""Pooling and local response normalisation against FORMAT.md."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.operators import (
    OPERATOR,
    RANGE,
    Call,
    Tensor,
    arrays,
    clamp,
    integers,
    multipliers,
    rq,
    rshr,
    words,
    wrap32,
)
from tests.runtime.test_operators_functions import exact_exp, exact_log

POOL_MAX, POOL_AVERAGE, LRN = 3, 4, 12
F = np.float32
TYPES = {"float32": F, "int8": np.int8, "int16": np.int16}


def span(o: int, size: int, kernel: int, stride: int, pad: int) -> tuple[range, int]:
    """Real pixels of a window, and its length with padding."""
    start = o * stride - pad
    return range(max(start, 0), min(start + kernel, size)), min(start + kernel, size + pad) - start


axis = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3)).map(
    # size, kernel, stride, pad, outputs: rounded up, so that the last may be short
    lambda a: (*a, max(1, -(-(a[0] + 2 * a[3] - a[1]) // a[2]) + 1))
)


def pool_record(y: tuple, x: tuple, count: int, low: int, high: int) -> bytes:
    return words(
        *(value for pair in zip(y[1:4], x[1:4], strict=True) for value in pair), 0, count, low, high
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("opcode", [POOL_MAX, POOL_AVERAGE])
def test_pooling(library: ctypes.CDLL, dtype: str, opcode: int) -> None:
    kind = TYPES[dtype]

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(
        axis,
        axis,
        st.integers(1, 2),
        st.sampled_from([1, 7, 8, 20]),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["random", "low", "high", "extremes"]),
        st.sampled_from(["sane", "exact", "odd"]),
        st.sampled_from([0, 3]),
    )
    def check(ys, xs, batch, channels, seed, fill, factors, gap) -> None:
        rng = np.random.default_rng(seed)
        shape = (batch, channels, ys[0], xs[0])
        out_shape = (batch, channels, ys[4], xs[4])
        windows = {
            (oy, ox): (span(oy, *ys[:4]), span(ox, *xs[:4]))
            for oy in range(ys[4])
            for ox in range(xs[4])
        }
        zeros, chan, count, low, high = (0, 0), b"", 0, 0, 0
        if kind == F:
            x = rng.standard_normal(shape).astype(F)
        else:
            x = integers(rng, kind, shape, fill)
            if kind == np.int8:
                zeros = tuple(rng.integers(-128, 128, 2).tolist())
        if opcode == POOL_MAX:
            zeros = (zeros[0], zeros[0])
        elif kind != F:
            low, high = RANGE[2 if kind == np.int8 else 3]
            low, high = (low + 3, high - 9) if seed % 2 else (low, high)
            areas = sorted({r[1] * c[1] for r, c in windows.values() if r[0] and c[0]}) or [1]
            count = len(areas)
            mlr = multipliers(rng, count, factors)
            table = np.concatenate([[areas], mlr]).astype(np.int32)
            chan = arrays(table.T.ravel())
        expected = np.zeros(out_shape, kind)
        for (oy, ox), ((rows, height), (cols, width)) in windows.items():
            part = x[:, :, rows, :][:, :, :, cols] if rows and cols else x[:, :, :0, :0]
            part = part.reshape(batch, channels, -1)
            if opcode == POOL_MAX:
                lowest = -np.finfo(F).max if kind == F else RANGE[2 if kind == np.int8 else 3][0]
                expected[:, :, oy, ox] = part.max(-1, initial=lowest)
            elif kind == F:
                total = np.zeros((batch, channels), F)
                for i in range(part.shape[-1]):
                    total = total + part[:, :, i]
                with np.errstate(invalid="ignore"):
                    expected[:, :, oy, ox] = total / F(height * width)
            else:
                for n, c in np.ndindex(batch, channels):
                    y = zeros[1]
                    if rows and cols:
                        total = sum(int(v) - zeros[0] for v in part[n, c])
                        y += rq(total, *mlr[:, areas.index(height * width)])
                    expected[n, c, oy, ox] = clamp(y, low, high)
        ins = Tensor(x, zero=zeros[0], gap=gap)
        out = Tensor(np.zeros(out_shape, kind), zero=zeros[1], gap=gap)
        call = Call(opcode, [ins], out, pool_record(ys, xs, count, low, high), chan)
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def test_pooling_check_refuses(library: ctypes.CDLL) -> None:
    def call(ys=(6, 3, 2, 1, 4), table=(9, 2**30, 0, 1, 6, 2**30, 0, 1, 4, 2**30, 0, 1), **change):
        x, y = np.zeros((1, 9, 6, 6), np.int8), np.zeros((1, 9, 4, 4), np.int8)
        made = Call(
            change.get("opcode", POOL_AVERAGE),
            [Tensor(x)],
            Tensor(y[:, : change.get("channels", 9)], zero=change.get("zero", 0)),
            pool_record(ys, (6, 3, 2, 1, 4), len(table) // 4, change.get("low", -128), 127),
            arrays(np.array(table, np.int32)),
        )
        return made

    assert call().check(library) == 0
    assert call(opcode=POOL_MAX, table=()).check(library) == 0
    wrong = [
        call((6, k, s, p, 4)) for k, s, p in [(0, 2, 1), (3, 0, 1), (3, 2**31, 1), (3, 2, 2**31)]
    ]
    wrong += [call(table=(9, 1, 0, 1)), call(table=()), call(low=-129), call(channels=8)]
    wrong += [call(table=(9, 1, 32, 1, 6, 1, 0, 1, 4, 1, 0, 1)), call(opcode=POOL_MAX)]
    wrong += [call(opcode=POOL_MAX, table=(), zero=1)]
    for bad in wrong:
        assert bad.check(library) == OPERATOR
    short = call()
    short.chan = short.chan[:-4]
    assert short.check(library) == OPERATOR


# --- LRN ------------------------------------------------------------------------------------------


def window(x: np.ndarray, region: int, size: int, at: tuple[int, ...]) -> np.ndarray:
    n, c, y, w = at
    half = size // 2
    if region == 0:
        return x[n, max(c - half, 0) : c + half + 1, y, w].ravel()
    return x[n, c, max(y - half, 0) : y + half + 1, max(w - half, 0) : w + half + 1].ravel()


def lrn_record(region, size, alpha, beta, k, rest=(0,) * 8) -> bytes:
    return words(region, size, F(alpha), F(beta), F(k), *rest)


@pytest.mark.parametrize("region", [0, 1])
def test_float_lrn(library: ctypes.CDLL, region: int) -> None:
    rng = np.random.default_rng(region)
    for size, shape in [
        (5, (2, 11, 3, 4)),
        (3, (1, 2, 5, 5)),
        (7, (1, 4, 2, 9)),
        (1, (1, 3, 2, 2)),
    ]:
        x = (rng.standard_normal(shape) * 3).astype(F)
        alpha, beta, k = F(0.3), F(0.75), F(2)
        base = np.zeros_like(x)
        for at in np.ndindex(*shape):
            total = F(0)
            for v in window(x, region, size, at):
                total = total + v * v
            count = size if region == 0 else size * size
            base[at] = (k if region == 0 else F(1)) + (alpha / F(count)) * total
        expected = x * exact_exp(-beta * exact_log(base))
        ins, out = Tensor(x, gap=2), Tensor(np.zeros_like(x), gap=1)
        got = Call(LRN, [ins], out, lrn_record(region, size, alpha, beta, k)).run(library)
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_allclose(got, x * base.astype(np.float64) ** -0.75, rtol=3e-6)


def lrn_factor(table: np.ndarray, bits: int, total: int) -> int:
    i, f = total, 0
    if total >= 2**bits:
        e = total.bit_length() - bits - 1
        i = e * 2**bits + (total >> e)
        low = total % 2**e
        f = low << (15 - e) if e <= 15 else low >> (e - 15)
    t, after = int(table[i]), int(table[i + 1])
    return t + (((after - t) * f + 2**14) >> 15)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("region", [0, 1])
def test_integer_lrn(library: ctypes.CDLL, region: int, dtype: str) -> None:
    kind = TYPES[dtype]

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(
        st.tuples(*[st.integers(1, 2), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)]),
        st.sampled_from([1, 3, 5, 9]),
        st.integers(3, 7),
        st.integers(0, 31),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["random", "low", "high", "extremes"]),
        st.sampled_from(["sane", "exact", "odd"]),
    )
    def check(shape, size, bits, shift, seed, fill, factors) -> None:
        rng = np.random.default_rng(seed)
        x = integers(rng, kind, shape, fill)
        shift = shift if factors == "odd" else min(shift, 10)
        zeros = tuple(rng.integers(-128, 128, 2).tolist()) if kind == np.int8 else (0, 0)
        table = rng.integers(-32768, 32768, (33 - bits) * 2**bits + 1)
        mlr = multipliers(rng, 1, factors)[:, 0]
        low, high = RANGE[2 if kind == np.int8 else 3]
        expected = np.zeros(shape, kind)
        for at in np.ndindex(*shape):
            squares = [rshr((int(v) - zeros[0]) ** 2, shift) for v in window(x, region, size, at)]
            factor = lrn_factor(table, bits, sum(squares) % 2**32)
            product = wrap32((int(x[at]) - zeros[0]) * factor)
            expected[at] = clamp(zeros[1] + rq(product, *mlr), low, high)
        record = lrn_record(region, size, 1, 1, 1, (0, bits, shift, *mlr, low, high))
        ins, out = (
            Tensor(x, zero=zeros[0], gap=1),
            Tensor(np.zeros(shape, kind), zero=zeros[1], gap=3),
        )
        call = Call(LRN, [ins], out, record, data=table.astype(np.int16).tobytes())
        np.testing.assert_array_equal(call.run(library), expected)

    check()


def test_lrn_check_refuses(library: ctypes.CDLL) -> None:
    x = Tensor(np.zeros((1, 9, 2, 2), np.int16))
    entries = (33 - 4) * 16 + 1

    def status(region=0, size=5, table=0, bits=4, shift=1, left=1, right=1, low=-32768) -> int:
        record = lrn_record(region, size, 1, 1, 1, (table, bits, shift, 1, left, right, low, 32767))
        return Call(LRN, [x], x, record, data=bytes(2 * entries)).check(library)

    assert status() == 0
    for change in [
        *({"region": 2}, {"size": 4}, {"size": 0}, {"table": 64}, {"table": 2}, {"bits": 2}),
        *({"bits": 8}, {"bits": 5}, {"shift": 32}, {"left": 32}, {"right": 32}, {"low": -32769}),
    ]:
        assert status(**change) == OPERATOR, change
