"""Pooling and convolution of any size by onnxruntime, against the NumPy reference."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.exported import worst
from support.graphs import Builder

from demitasse.converter.onnx import versions
from demitasse.converter.ops import Conv2d, Deconv2d, Pool2d
from demitasse.errors import ShapeError

pytest.importorskip("onnxruntime")

opsets = st.sampled_from([11, 12, 13, 18, versions.newest()])


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["max", "average"]),
    size=pairs(1, 9),
    kernel=pairs(1, 5),
    stride=pairs(1, 6),
    pads=pairs(0, 3),
    ceil=st.booleans(),
    opset=opsets,
)
def test_pooling(
    kind: str,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int],
    ceil: bool,
    opset: int,
) -> None:
    net = Builder()
    try:
        net.add(Pool2d(kind, kernel, stride, pads, ceil), net.input("x", 2, 3, *size))
    except ShapeError:
        assume(False)
    graph = net.graph()
    inputs = {"x": net.random(2, 3, *size, low=-5, high=-1)}  # no padding may win
    assert worst(graph, inputs, opset) <= 1e-6


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_global_pooling(kind: str, size: tuple[int, int]) -> None:
    net = Builder()
    net.add(Pool2d(kind, global_pooling=True), net.input("x", 2, 3, *size))
    graph = net.graph()
    assert worst(graph, net.feed(graph), 13) <= 1e-6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    deconvolution=st.booleans(),
    groups=st.sampled_from([1, 2, 4]),
    size=pairs(1, 7),
    kernel=pairs(1, 4),
    stride=pairs(1, 4),
    dilation=pairs(1, 3),
    pads=st.tuples(*[st.integers(0, 4)] * 4),
    bias=st.booleans(),
    opset=opsets,
)
def test_convolution(
    deconvolution: bool,
    groups: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    pads: tuple[int, int, int, int],
    bias: bool,
    opset: int,
) -> None:
    net = Builder()
    kind = Deconv2d if deconvolution else Conv2d
    op = kind(8, kernel, stride, pads, dilation, groups)
    shape = (4, 8 // groups) if deconvolution else (8, 4 // groups)
    weights = {"weight": net.random(*shape, *kernel)}
    if bias:
        weights["bias"] = net.random(8)
    try:
        net.add(op, net.input("x", 2, 4, *size), **weights)
    except ShapeError:
        assume(False)
    graph = net.graph()
    assert worst(graph, net.feed(graph), opset) <= 1e-5
