"""CONV and DECONV against FORMAT.md, written out tap by tap."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.operators import (
    OPERATOR,
    RANGE,
    UNSUPPORTED,
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

CONV, DECONV = 1, 2
TYPES = {"float32": np.float32, "int8": np.int8, "int16": np.int16}


@dataclass(frozen=True)
class Axis:
    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    pad: int

    def at(self, transposed: bool, o: int, k: int) -> int | None:
        """The input that output o meets with tap k."""
        if transposed:
            at, rest = divmod(o + self.pad - k * self.dilation, self.stride)
            at = at if rest == 0 else -1
        else:
            at = o * self.stride - self.pad + k * self.dilation
        return at if 0 <= at < self.size else None


@dataclass(frozen=True)
class Case:
    transposed: bool
    batch: int
    y: Axis
    x: Axis
    groups: int
    og: int
    ig: int
    packing: int
    slopes: int
    halves: bool = False  # weights of half a byte, int8 only


@st.composite
def axes(draw, transposed: bool) -> Axis:
    kernel, stride, dilation = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
    )
    size, pad = draw(st.integers(1, 7)), draw(st.integers(0, 5))
    extent = dilation * (kernel - 1) + 1
    if transposed:
        pad = min(pad, ((size - 1) * stride + extent - 1) // 2)
        out = (size - 1) * stride + extent - 2 * pad
    else:
        pad = max(pad, (extent - size + 1) // 2)
        out = (size + 2 * pad - extent) // stride + 1
    return Axis(size, out, kernel, stride, dilation, pad)


@st.composite
def cases(draw, transposed: bool, packings: tuple[int, ...]) -> Case:
    packing = draw(st.sampled_from(packings))
    groups = draw(st.sampled_from([1, 3, 8, 20, 37] if packing == 2 else [1, 1, 2, 3]))
    ig = 1 if packing == 2 else draw(st.sampled_from([1, 2, 3, 8, 15, 16, 17, 24, 33, 48]))
    og = draw(st.sampled_from([1, 1, 1, 2] if packing == 2 else [1, 4, 5, 8, 9, 16, 30, 40]))
    return Case(
        transposed,
        draw(st.integers(1, 2)),
        draw(axes(transposed)),
        draw(axes(transposed)),
        groups,
        og,
        ig,
        packing,
        draw(st.integers(0, 1)),
    )


def pack(weight: np.ndarray, case: Case) -> np.ndarray:
    """FORMAT.md's index formulas, for weights [o, kh, kw, i]."""
    o, kh, kw, i = np.indices(weight.shape)
    outputs, height, width, inputs = weight.shape
    g, og = o // case.og, o % case.og
    if case.packing == 0:
        index = ((o * height + kh) * width + kw) * inputs + i
        size = weight.size
    elif case.packing == 1:
        blocks = -(-case.og // 8)
        index = ((((g * blocks + og // 8) * height + kh) * width + kw) * inputs + i) * 8 + og % 8
        size = case.groups * blocks * height * width * inputs * 8
    elif case.packing == 5:
        quads, tap = -(-case.og // 4), kh * width + kw
        whole = inputs >= 8
        rows, k = (height * width, i) if whole else (1, tap * inputs + i)
        up = -(-(inputs if whole else height * width * inputs) // 8) * 8
        row = ((g * quads + og // 4) * rows + (tap if whole else 0)) * 4 * up
        start = k - k % 16
        length = np.minimum(16, up - start)
        index = row + 4 * start + og % 4 * length + k - start
        size = case.groups * quads * rows * 4 * up
    else:
        up = -(-outputs // 8) * 8
        index = (kh * width + kw) * up + o
        size = height * width * up
    packed = np.zeros(size, weight.dtype)
    packed[index.ravel()] = weight.ravel()
    return packed


def in_halves(packed: np.ndarray) -> np.ndarray:
    """FORMAT.md: weight e is half e % 2 of byte e / 2."""
    found = bytearray(-(-packed.size // 2))
    for e, weight in enumerate(packed.tolist()):
        found[e // 2] |= (weight % 16) << 4 * (e % 2)
    return np.frombuffer(bytes(found), np.uint8)


def patch(x: np.ndarray, case: Case, n: int, oy: int, ox: int, g: int, outside: int):
    """(kh, kw, ig) inputs of an output and (kh, kw) whether they exist."""
    values = np.full((case.y.kernel, case.x.kernel, case.ig), outside, x.dtype)
    real = np.zeros((case.y.kernel, case.x.kernel), bool)
    for kh in range(case.y.kernel):
        for kw in range(case.x.kernel):
            iy, ix = case.y.at(case.transposed, oy, kh), case.x.at(case.transposed, ox, kw)
            if iy is not None and ix is not None:
                values[kh, kw] = x[n, g * case.ig : (g + 1) * case.ig, iy, ix]
                real[kh, kw] = True
    return values, real


def sum_f32(values: np.ndarray, real: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One IEEE operation at a time, for all outputs of the group; w is (og, kh, kw, ig)."""
    total = bias.copy()
    for kh, kw in np.argwhere(real):
        for i in range(values.shape[2]):
            total = total + values[kh, kw, i] * w[:, kh, kw, i]
    return total


def sum_s8(values, real, w, bias, zero: int, transposed: bool) -> list[int]:
    x = values.astype(np.int64)
    if transposed:
        x = (x - zero) * real[:, :, None]
    products = (x * w.astype(np.int64)).sum(axis=(1, 2, 3))
    return [wrap32(int(b) + int(p)) for b, p in zip(bias, products, strict=True)]


def sum_s16(values, real, w, bias) -> list[int]:
    x = values.astype(np.int64) * real[:, :, None]
    rows = [x.ravel()] if x.shape[2] < 16 else list(x.reshape(-1, x.shape[2]))
    out = []
    for o, b in enumerate(bias):
        weights = w[o].astype(np.int64)
        lines = [weights.ravel()] if x.shape[2] < 16 else list(weights.reshape(-1, x.shape[2]))
        total = int(b)
        for row, line in zip(rows, lines, strict=True):
            for start in range(0, len(row), 16):
                block = (row[start : start + 16] * line[start : start + 16]).sum()
                total += rshr(wrap32(int(block)), 9)
        out.append(wrap32(total))
    return out


def reference(case: Case, x, weight, chan: np.ndarray, zeros, low, high) -> np.ndarray:
    outputs = case.groups * case.og
    y = np.zeros((case.batch, outputs, case.y.out, case.x.out), x.dtype)
    for n, oy, ox, g in np.ndindex(case.batch, case.y.out, case.x.out, case.groups):
        part = slice(g * case.og, (g + 1) * case.og)
        w, rows = weight[part], chan[:, part]
        outside = 0 if case.transposed else zeros[0]
        values, real = patch(x, case, n, oy, ox, g, outside)
        if x.dtype == np.float32:
            acc = sum_f32(values, real, w, rows[0])
            if case.slopes:
                acc = np.where(acc > 0, acc, acc * rows[1])
            y[n, part, oy, ox] = np.clip(acc, low, high)
            continue
        if x.dtype == np.int8:
            acc = sum_s8(values, real, w, rows[0], zeros[0], case.transposed)
        else:
            acc = sum_s16(values, real, w, rows[0])
        for o, a in enumerate(acc):
            m, left, right = rows[4:7, o] if case.slopes and a < 0 else rows[1:4, o]
            y[n, g * case.og + o, oy, ox] = clamp(zeros[1] + rq(a, m, left, right), low, high)
    return y


def record(case: Case, size: int, low, high) -> bytes:
    y, x = case.y, case.x
    geometry = (y.kernel, x.kernel, y.stride, x.stride, y.dilation, x.dilation, y.pad, x.pad)
    packing = {0: 3, 5: 4}[case.packing] if case.halves else case.packing
    return words(*geometry, case.groups, packing, 0, size, 0, case.slopes, low, high)


def make(case: Case, dtype: type, seed: int, fill: str, factors: str, gap: int):
    """The call and what it should give."""
    rng = np.random.default_rng(seed)
    outputs, inputs = case.groups * case.og, case.groups * case.ig
    shape = (case.batch, inputs, case.y.size, case.x.size)
    kernel = (outputs, case.y.kernel, case.x.kernel, case.ig)
    if dtype == np.float32:
        x = rng.standard_normal(shape).astype(np.float32)
        weight = rng.standard_normal(kernel).astype(np.float32)
        chan = rng.standard_normal((1 + case.slopes, outputs)).astype(np.float32)
        zeros, low, high = (0, 0), np.float32(-2), np.float32(3)
    else:
        x = integers(rng, dtype, shape, fill)
        bound = 7 if case.halves else 127 if dtype == np.int8 else 4095
        if factors == "exact":  # small sums, or the clamp would hide them
            bound = 1 if dtype == np.int8 else 20
        weight = rng.integers(-bound, bound + 1, kernel).astype(dtype)
        if fill in ("low", "high"):
            weight[...] = bound
        rows = [multipliers(rng, outputs, factors) for _ in range(1 + case.slopes)]
        most = {"sane": 2**20, "exact": 100, "odd": 2**31}[factors]
        bias = rng.integers(-most, most, (1, outputs))
        chan = np.concatenate([bias.astype(np.int32), *rows])
        zeros = tuple(rng.integers(-128, 128, 2).tolist()) if dtype == np.int8 else (0, 0)
        low, high = RANGE[2 if dtype == np.int8 else 3]
        if rng.random() < 0.3:
            low, high = low + 5, high - 60
    packed = pack(weight, case)
    if case.halves:
        packed = in_halves(packed)
    y = np.zeros((case.batch, outputs, case.y.out, case.x.out), dtype)
    call = Call(
        DECONV if case.transposed else CONV,
        [Tensor(x, zero=zeros[0], gap=gap)],
        Tensor(y, zero=zeros[1], gap=gap),
        record(case, packed.nbytes, low, high),
        arrays(*chan),
        packed.tobytes(),
    )
    return call, reference(case, x, weight, chan, zeros, low, high)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "deconv"])
def test_any_geometry(library: ctypes.CDLL, dtype: str, transposed: bool) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        cases(transposed, (0, 1, 2, 5, 5, 5) if dtype == "int8" else (0, 1, 1, 2)),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["random", "random", "low", "high", "extremes"]),
        st.sampled_from(["sane", "exact", "odd"]),
        st.sampled_from([0, 3]),
    )
    def check(case: Case, seed: int, fill: str, factors: str, gap: int) -> None:
        call, expected = make(case, TYPES[dtype], seed, fill, factors, gap)
        np.testing.assert_array_equal(call.run(library), expected)

    check()


@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "deconv"])
def test_weights_of_half_a_byte(library: ctypes.CDLL, transposed: bool) -> None:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        cases(transposed, (0, 5, 5)),
        st.integers(0, 2**32 - 1),
        st.sampled_from(["random", "low", "high", "extremes"]),
        st.sampled_from([0, 3]),
    )
    def check(case: Case, seed: int, fill: str, gap: int) -> None:
        case = replace(case, halves=True)
        call, expected = make(case, np.int8, seed, fill, "sane", gap)
        np.testing.assert_array_equal(call.run(library), expected)
        call.data = call.data[:-1]
        call.param = call.param[:44] + words(len(call.data)) + call.param[48:]
        assert call.check(library) == OPERATOR

    check()


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_some_packings_are_for_int8_alone(library: ctypes.CDLL, dtype: str) -> None:
    for packing in (3, 4, 5):
        call = good_call(dtype)
        call.param = call.param[:36] + words(packing) + call.param[40:]
        assert call.check(library) == UNSUPPORTED


def usual(case: Case, dtype: str) -> Case:
    """With the packing that the converter chooses."""
    return replace(case, packing=5) if dtype == "int8" and case.packing == 1 else case


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "case",
    [
        # 1 x 1 over dense pixels, a long row; a whole image to one pixel; wide depthwise.
        Case(False, 1, Axis(5, 5, 1, 1, 1, 0), Axis(9, 9, 1, 1, 1, 0), 1, 24, 40, 1, 1),
        Case(False, 2, Axis(3, 1, 3, 1, 1, 0), Axis(4, 1, 4, 1, 1, 0), 1, 42, 5, 1, 0),
        Case(False, 1, Axis(6, 6, 5, 1, 1, 2), Axis(7, 4, 5, 2, 1, 2), 75, 1, 1, 2, 1),
        Case(False, 1, Axis(8, 8, 3, 1, 1, 1), Axis(40, 40, 3, 1, 1, 1), 1, 16, 3, 1, 0),
        Case(True, 1, Axis(4, 8, 4, 2, 1, 1), Axis(20, 40, 4, 2, 1, 1), 1, 8, 16, 1, 0),
    ],
)
def test_shapes_of_real_networks(library: ctypes.CDLL, dtype: str, case: Case) -> None:
    for gap in (0, 5):
        call, expected = make(usual(case, dtype), TYPES[dtype], 7, "random", "sane", gap)
        np.testing.assert_array_equal(call.run(library), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_rank_two(library: ctypes.CDLL, dtype: str) -> None:
    unit = Axis(1, 1, 1, 1, 1, 0)
    case = Case(False, 5, unit, unit, 1, 19, 37, 1, 0)
    call, expected = make(usual(case, dtype), TYPES[dtype], 3, "random", "sane", 0)
    for tensor in (*call.inputs, call.out):
        tensor.values = tensor.values[:, :, 0, 0]
        tensor.__post_init__()
    np.testing.assert_array_equal(call.run(library), expected[:, :, 0, 0])


def good_call(dtype: str = "int8") -> Call:
    axis = Axis(5, 5, 3, 1, 1, 1)
    case = usual(Case(False, 1, axis, axis, 2, 8, 4, 1, 1), dtype)
    return make(case, TYPES[dtype], 1, "random", "sane", 0)[0]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((at, 0) for at in (0, 4, 8, 12, 16, 20, 32)),  # kernel, stride, dilation, groups
        *((at, 2**31) for at in range(0, 36, 4)),
        *((at, 2**28 + 1) for at in (8, 12, 24, 28)),
        (16, 2**27 + 1),
        (32, 3),  # groups that do not divide
        (36, 2),  # depthwise with several inputs
        *((40, value) for value in (4, 64, 2**32 - 64)),  # weights
        *((44, value) for value in (0, 2**32 - 1)),
        *((48, value) for value in (4, 64, 2**32 - 64)),  # channels
        (52, 2),
        (56, 128),  # low above the range, above high
        (60, -129),
    ],
)
def test_check_refuses(library: ctypes.CDLL, at: int, value: int) -> None:
    call = good_call()
    assert call.check(library) == 0
    call.param = call.param[:at] + words(value) + call.param[at + 4 :]
    assert call.check(library) == OPERATOR
    assert call.check(library, 1) == OPERATOR


def test_check_refuses_shifts_records_and_tensors(library: ctypes.CDLL) -> None:
    for array in (2, 3, 5, 6):
        call = good_call()
        at = array * 16 * 4
        call.chan = call.chan[:at] + words(32) + call.chan[at + 4 :]
        assert call.check(library) == OPERATOR
    for name in ("param", "chan", "data"):
        call = good_call()
        setattr(call, name, getattr(call, name)[:-4])
        assert call.check(library) == OPERATOR, name
    call = good_call()
    call.param = call.param[:36] + words(6) + call.param[40:]
    assert call.check(library) == UNSUPPORTED
    call = good_call()
    call.inputs[0] = Tensor(call.inputs[0].values, order=(0, 1, 2, 3))
    assert call.check(library) == OPERATOR
    call = good_call()
    call.out = Tensor(call.out.values.astype(np.int16))
    assert call.check(library) == OPERATOR
