"""Convolutions of the integer reference against plain Python integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import naive

from demitasse.converter.graph import Graph, Node, Quantization, Tensor
from demitasse.converter.ops import Conv2d, Deconv2d, Flatten, InnerProduct
from demitasse.quantizer.reference import run_integer

LIMIT = {"int8": 127, "int16": 4095}
RANGE = {"int8": (-128, 127), "int16": (-32768, 32767)}


def requantization(rng: np.random.Generator, n: int, slopes: bool) -> dict[str, np.ndarray]:
    """Random legal constants, from those that show every bit to those that hide many."""
    weights = {}
    right = rng.choice([0, 1, 4, 8, 12])
    for prefix in ("", "negative_") if slopes else ("",):
        m = rng.integers(2**30, 2**31, n) * (rng.choice([-1, 1], n) if prefix else 1)
        weights[f"{prefix}multiplier"] = m.astype(np.int32)
        weights[f"{prefix}left"] = rng.integers(0, 2, n).astype(np.int32)
        weights[f"{prefix}right"] = (right + rng.integers(0, 2, n)).astype(np.int32)
    return weights


@dataclass
class Case:
    """One operator with random or extreme integers, ready for both implementations."""

    op: Conv2d | Deconv2d | InnerProduct
    shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    dtype: str
    seed: int
    extreme: bool = False
    slopes: bool = False
    zero_point: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        low, high = RANGE[self.dtype]
        limit = LIMIT[self.dtype]
        if self.extreme:
            self.x = np.full(self.shape, low if self.seed % 2 else high, self.dtype)
            weight = np.full(self.weight_shape, limit if self.seed % 4 < 2 else -limit)
        else:
            # small values too, which leave the sums inside the output's range
            size = rng.choice([1, 16, 256]) if self.dtype == "int16" else rng.choice([1, 16])
            x = rng.integers(low, high + 1, self.shape) // size
            self.x = (x + self.zero_point * (size > 1)).clip(low, high).astype(self.dtype)
            weight = rng.integers(-limit, limit + 1, self.weight_shape)
        o = self.op.channels
        self.weights = {
            "weight": weight.astype(self.dtype),
            "bias": rng.integers(-(2**10), 2**10, o).astype(np.int32),
            **requantization(rng, o, self.slopes),
            "low": np.int32(low + int(rng.integers(0, 20))),
            "high": np.int32(high - int(rng.integers(0, 20))),
        }
        self.y_zero = int(rng.integers(low, high + 1)) if self.dtype == "int8" else 0

    def reference(self) -> np.ndarray:
        y_shape = self.op.infer_shapes([self.shape], {})[0]
        tensors = {
            "x": Tensor("x", self.shape, self.dtype, Quantization(0.5, self.zero_point)),
            "y": Tensor("y", y_shape, self.dtype, Quantization(0.5, self.y_zero)),
        }
        node = Node("conv", self.op, ("x",), ("y",), self.weights)
        graph = Graph((node,), tensors, ("x",), ("y",))
        return run_integer(graph, {"x": self.x})["y"]

    def taps_last(self) -> np.ndarray:
        weight = self.weights["weight"]
        if isinstance(self.op, InnerProduct):
            return weight.reshape(-1, *(*self.shape[1:], 1, 1)[:3]).transpose(0, 2, 3, 1)
        if isinstance(self.op, Conv2d):
            return weight.transpose(0, 2, 3, 1)
        groups = np.split(weight, self.op.groups)  # (IG, OG, kh, kw) each
        return np.concatenate([g.transpose(1, 2, 3, 0) for g in groups])

    def expected(self) -> np.ndarray:
        y_shape = self.op.infer_shapes([self.shape], {})[0]
        y = np.zeros((*y_shape, 1, 1)[:4], int)
        w = self.weights
        for n in range(self.shape[0]):
            x = self.x[n].astype(int).reshape((*self.shape[1:], 1, 1)[:3]) - self.zero_point
            sums = naive.convolution(
                x,
                self.taps_last(),
                y.shape[2:],
                getattr(self.op, "stride", (1, 1)),
                getattr(self.op, "dilation", (1, 1)),
                getattr(self.op, "pads", (0, 0))[:2],
                getattr(self.op, "groups", 1),
                isinstance(self.op, Deconv2d),
                self.dtype == "int16",
            )
            for (o, oy, ox), total in sums:
                acc = naive.wrap(total + int(w["bias"][o]))
                prefix = "negative_" if self.slopes and acc < 0 else ""
                constants = [int(w[prefix + k][o]) for k in ("multiplier", "left", "right")]
                q = self.y_zero + naive.rq(acc, *constants)
                y[n, o, oy, ox] = naive.clamp(q, int(w["low"]), int(w["high"]))
        return y.reshape(y_shape)

    def check(self) -> None:
        found = self.reference()
        assert found.dtype == self.dtype
        np.testing.assert_array_equal(found, self.expected())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dtype = draw(st.sampled_from(["int8", "int16"]))
    deconv = draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2, 3, 5]))
    inputs = draw(st.sampled_from([1, 2, 3, 16, 17, 35]))
    outputs = draw(st.integers(1, 3))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    size = tuple(
        draw(st.integers(1, 4)) + d * (k - 1) for d, k in zip(dilation, kernel, strict=True)
    )
    if deconv:
        size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        full = [
            s * (n - 1) + d * (k - 1)
            for s, n, d, k in zip(stride, size, dilation, kernel, strict=True)
        ]
        pads = tuple(min(p, full[i % 2] // 2) for i, p in enumerate(pads))
    kind = Deconv2d if deconv else Conv2d
    op = kind(groups * outputs, kernel, stride, pads, dilation, groups)
    c = groups * inputs
    return Case(
        op,
        (draw(st.integers(1, 2)), c, *size),
        (c, outputs, *kernel) if deconv else (op.channels, inputs, *kernel),
        dtype,
        seed=draw(st.integers(0, 2**16)),
        extreme=draw(st.booleans()),
        slopes=draw(st.booleans()),
        zero_point=draw(st.integers(-128, 127)) if dtype == "int8" else 0,
    )


@settings(deadline=None, max_examples=60)
@given(cases())
def test_random_convolutions(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inputs", [1, 15, 16, 48])
def test_extreme_values(dtype: str, seed: int, inputs: int) -> None:
    """All inputs and all weights at the ends of their ranges, in every combination of signs."""
    op = Conv2d(channels=2, kernel=(3, 3), pads=(1, 1, 1, 1))
    zero_point = (-128, 127, 0, 3)[seed] if dtype == "int8" else 0
    Case(op, (1, inputs, 3, 4), (2, inputs, 3, 3), dtype, seed, True, False, zero_point).check()


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(2, 40), (1, 3, 5, 2), (1, 20, 3, 2), (1, 16, 1, 1)])
def test_inner_product(dtype: str, seed: int, shape: tuple[int, ...]) -> None:
    """On an image it is a convolution with the image's size as the kernel."""
    zero_point = -7 if dtype == "int8" else 0
    op = InnerProduct(channels=4)
    size = int(np.prod(shape[1:]))
    Case(op, shape, (4, size), dtype, seed, slopes=True, zero_point=zero_point).check()


def test_a_flatten_before_an_inner_product_changes_nothing() -> None:
    """INT16 sums its blocks in the image's order, whether or not the net says Flatten."""
    case = Case(InnerProduct(channels=3), (1, 20, 3, 2), (3, 120), "int16", seed=9)
    quant = Quantization(0.5)
    tensors = {
        "x": Tensor("x", (1, 20, 3, 2), "int16", quant),
        "flat": Tensor("flat", (1, 120), "int16", quant),
        "y": Tensor("y", (1, 3), "int16", quant),
    }
    nodes = (
        Node("flatten", Flatten(), ("x",), ("flat",)),
        Node("ip", case.op, ("flat",), ("y",), case.weights),
    )
    graph = Graph(nodes, tensors, ("x",), ("y",))
    np.testing.assert_array_equal(run_integer(graph, {"x": case.x})["y"], case.expected())
