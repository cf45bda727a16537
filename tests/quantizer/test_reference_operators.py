"""Every other integer operator of the reference against plain Python integers."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support import naive

from demitasse.converter.graph import Graph, Node, Quantization, Tensor
from demitasse.converter.ops import Eltwise, Identity, Lookup, Lrn, Operator, Pool2d, Rescale
from demitasse.quantizer.reference import run_integer

RANGE = {"int8": (-128, 127), "int16": (-32768, 32767)}
KEYS = ("multiplier", "left", "right")
dtypes = st.sampled_from(["int8", "int16"])
seeds = st.integers(0, 2**16)


class Bench:
    """Random stored inputs, zero points and clamps for one operator."""

    def __init__(self, dtype: str, seed: int, shape: tuple[int, ...], inputs: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.low, self.high = RANGE[dtype]
        ends = self.rng.choice([self.low, self.high], (inputs, *shape))
        spread = self.rng.integers(self.low, self.high + 1, (inputs, *shape))
        self.x = [
            np.where(self.rng.random(shape) < 0.3, e, s).astype(dtype)
            for e, s in zip(ends, spread, strict=True)
        ]
        zeros = self.rng.integers(self.low, self.high + 1, inputs + 1) * (dtype == "int8")
        *self.z, self.z_y = (int(z) for z in zeros)
        self.clamp = {
            "low": np.int32(self.low + self.rng.integers(0, 9)),
            "high": np.int32(self.high - self.rng.integers(0, 9)),
        }

    def constants(self, n: int, prefix: str = "") -> dict[str, np.ndarray]:
        return {
            f"{prefix}multiplier": self.rng.integers(-(2**31) + 1, 2**31, n).astype(np.int32),
            f"{prefix}left": self.rng.integers(0, 16, n).astype(np.int32),
            f"{prefix}right": self.rng.integers(0, 24, n).astype(np.int32),
        }

    def run(
        self, op: Operator, weights: dict[str, np.ndarray], z_y: int | None = None
    ) -> np.ndarray:
        (shape,) = op.infer_shapes([x.shape for x in self.x], {})
        names = [f"x{i}" for i in range(len(self.x))]
        quants = [Quantization(1.0, z) for z in self.z]
        tensors = {
            name: Tensor(name, x.shape, self.dtype, q)
            for name, x, q in zip(names, self.x, quants, strict=True)
        }
        out = Quantization(1.0, self.z_y if z_y is None else z_y)
        tensors["y"] = Tensor("y", shape, self.dtype, out)
        node = Node("op", op, tuple(names), ("y",), weights)
        graph = Graph((node,), tensors, tuple(names), ("y",))
        found = run_integer(graph, dict(zip(names, self.x, strict=True)))["y"]
        assert found.dtype == self.dtype
        return found

    def centred(self, i: int = 0) -> np.ndarray:
        return self.x[i].astype(int) - self.z[i]

    def bounded(self, steps: int) -> int:
        return naive.clamp(self.z_y + steps, int(self.clamp["low"]), int(self.clamp["high"]))


def row(weights: dict[str, np.ndarray], i: int, prefix: str = "") -> list[int]:
    return [int(weights[prefix + key][i]) for key in KEYS]


@settings(deadline=None, max_examples=40)
@given(dtypes, seeds, st.booleans(), st.booleans(), st.sampled_from([(2, 3), (1, 3, 2, 2)]))
def test_rescale(
    dtype: str, seed: int, slopes: bool, per_channel: bool, shape: tuple[int, ...]
) -> None:
    bench = Bench(dtype, seed, shape)
    n = shape[1] if per_channel else 1
    weights = bench.constants(n) | (bench.constants(n, "negative_") if slopes else {})
    found = bench.run(Rescale(), weights | bench.clamp)
    for at in np.ndindex(shape):
        a = int(bench.centred()[at])
        prefix = "negative_" if slopes and a < 0 else ""
        constants = row(weights, at[1] if per_channel else 0, prefix)
        assert found[at] == bench.bounded(naive.rq(a, *constants))


@settings(deadline=None, max_examples=40)
@given(dtypes, seeds, st.sampled_from(["sum", "max"]), st.integers(2, 5))
def test_eltwise(dtype: str, seed: int, kind: str, inputs: int) -> None:
    shape = (1, 2, 3)
    bench = Bench(dtype, seed, shape, inputs)
    weights = bench.constants(inputs)
    if kind == "sum":
        weights |= {"left": np.int32(seed % 15), "right": np.int32(seed % 20)}
    found = bench.run(Eltwise(kind), weights | bench.clamp)
    for at in np.ndindex(shape):
        values = [int(bench.centred(i)[at]) for i in range(inputs)]
        if kind == "sum":
            m, left, right = weights["multiplier"], int(weights["left"]), int(weights["right"])
            terms = [naive.srdhm(v << left, int(m[i])) for i, v in enumerate(values)]
            steps = naive.rshr(naive.wrap(sum(terms)), right)
        else:
            steps = max(naive.rq(v, *row(weights, i)) for i, v in enumerate(values))
        assert found[at] == bench.bounded(steps)


@settings(deadline=None, max_examples=20)
@given(dtypes, seeds)
def test_product(dtype: str, seed: int) -> None:
    bench = Bench(dtype, seed, (2, 5), 2)
    weights = bench.constants(1)
    found = bench.run(Eltwise("prod"), weights | bench.clamp)
    for at in np.ndindex((2, 5)):
        steps = naive.rq(int(bench.centred(0)[at]) * int(bench.centred(1)[at]), *row(weights, 0))
        assert found[at] == bench.bounded(steps)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Pool2d, tuple[int, ...]]:
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = tuple(max(k, draw(st.integers(1, 7))) for k in kernel)
    kind = draw(st.sampled_from(["max", "average"]))
    op = Pool2d(kind, kernel, stride, pads, draw(st.booleans()))
    return op, (1, 2, *size)


@settings(deadline=None, max_examples=60)
@given(dtypes, seeds, pools())
def test_pooling(dtype: str, seed: int, case: tuple[Pool2d, tuple[int, ...]]) -> None:
    op, shape = case
    bench = Bench(dtype, seed, shape)
    areas = range(1, 17)
    table = bench.constants(len(areas))
    divisors = np.stack([np.array(areas), *(table[key] for key in KEYS)], axis=1)
    weights = {} if op.kind == "max" else {"divisors": divisors.astype(np.int32)}
    found = bench.run(op, weights | bench.clamp, bench.z[0] if op.kind == "max" else None)
    for at in np.ndindex(found.shape):
        starts = [at[2 + i] * op.stride[i] - op.pads[i] for i in range(2)]
        sides = [
            range(max(s, 0), min(s + k, size))
            for s, k, size in zip(starts, op.kernel, shape[2:], strict=True)
        ]
        window = [(*at[:2], y, x) for y, x in product(*sides)]
        if op.kind == "max":
            assert found[at] == max((int(bench.x[0][p]) for p in window), default=bench.low)
            continue
        area = 1
        for s, k, size, pad in zip(starts, op.kernel, shape[2:], op.pads, strict=True):
            area *= min(s + k, size + pad) - s
        total = sum(int(bench.centred()[p]) for p in window)
        steps = naive.rq(total, *row(table, area - 1)) if window else 0
        assert found[at] == bench.bounded(steps)


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(7, 12))
def test_lookup_int16(seed: int, bits: int) -> None:
    bench = Bench("int16", seed, (1, 50))
    table = bench.rng.integers(-32768, 32768, 2**bits + 1).astype(np.int16)
    found = bench.run(Lookup("any"), {"table": table, "bits": np.int32(bits)})
    expected = [naive.interpolate16(table.tolist(), bits, int(x)) for x in bench.x[0].ravel()]
    assert found.ravel().tolist() == expected


def test_lookup_int8() -> None:
    bench = Bench("int8", 3, (1, 50))
    table = bench.rng.integers(-128, 128, 256).astype(np.int8)
    found = bench.run(Lookup("any"), {"table": table, "bits": np.int32(8)})
    assert found.ravel().tolist() == [table[int(x) + 128] for x in bench.x[0].ravel()]


@settings(deadline=None, max_examples=40)
@given(dtypes, seeds, st.sampled_from(["across", "within"]), st.sampled_from([1, 3, 5]))
def test_lrn(dtype: str, seed: int, region: str, size: int) -> None:
    shape = (1, 4, 3, 4)
    bench = Bench(dtype, seed, shape)
    bits, shift = 3 + seed % 5, (0 if dtype == "int8" else 5)
    table = bench.rng.integers(0, 32768, (33 - bits) * 2**bits + 1).astype(np.int16)
    constants = {key: value[0] for key, value in bench.constants(1).items()}
    weights = {"table": table, "bits": np.int32(bits), "shift": np.int32(shift), **constants}
    found = bench.run(Lrn(region, size), weights | bench.clamp)
    d, half = bench.centred(), size // 2
    for at in np.ndindex(shape):
        near = [range(v - half, v + half + 1) for v in at]
        axes = (
            (at[:1], near[1], at[2:3], at[3:])
            if region == "across"
            else (at[:1], at[1:2], near[2], near[3])
        )
        inside = [[v for v in axis if 0 <= v < n] for axis, n in zip(axes, shape, strict=True)]
        window = list(product(*inside))
        total = sum(naive.rshr(int(d[p]) ** 2, shift) for p in window) % 2**32
        factor = naive.lrn_factor(table.tolist(), bits, total)
        steps = naive.rq(int(d[at]) * factor, *(int(constants[key]) for key in KEYS))
        assert found[at] == bench.bounded(steps)


def test_an_output_that_is_an_input() -> None:
    x = Tensor("x", (1, 2), "int8", Quantization(0.5, 1))
    y = Tensor("y", (1, 2), "int8", Quantization(0.5, 1))
    nodes = (Node("copy", Identity(), ("x",), ("y",)),)
    graph = Graph(nodes, {"x": x, "y": y}, ("x",), ("y",), {"x": "x", "y": "y"})
    found = run_integer(graph, {"x": np.array([[1.0, -2.5]], np.float32)})
    assert {key: value.tolist() for key, value in found.items()} == {"y": [[3, -4]]}
