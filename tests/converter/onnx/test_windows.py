"""Pooling and convolution of any size by onnxruntime, against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.exported import worst
from support.graphs import Builder

from demitasse.converter.onnx import versions
from demitasse.converter.ops import Conv2d, Deconv2d, Pool2d, PoolMask, Resize, Unpool
from demitasse.errors import ShapeError

pytest.importorskip("onnxruntime")

opsets = st.sampled_from([11, 12, 13, 18, versions.newest()])


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["max", "average", "mask"]),
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
        window = (kernel, stride, pads, ceil)
        op = PoolMask(*window) if kind == "mask" else Pool2d(kind, *window)
        net.add(op, net.input("x", 2, 3, *size))
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


@settings(max_examples=40, deadline=None, derandomize=True)
@given(size=pairs(1, 4), cut=pairs(0, 1), seed=st.integers(0, 99), opset=opsets)
def test_unpooling(size: tuple[int, int], cut: tuple[int, int], seed: int, opset: int) -> None:
    """Places that repeat, stand outside or are no places."""
    net = Builder(seed)
    x = net.random(2, 3, *size)
    mask = np.round(net.random(2, 3, *size, low=-2, high=4 * size[0] * size[1] + 1))
    mask.flat[0] = np.nan
    shape = x.shape
    net.add(Unpool(scale=(2, 2), cut=cut), net.input("x", *shape), net.input("mask", *shape))
    assert worst(net.graph(), {"x": x, "mask": mask}, opset) == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=pairs(1, 90),
    out=pairs(1, 400),
    rule=st.sampled_from(["align_corners", "half_pixel"]),
    opset=opsets,
)
def test_resizing(size: tuple[int, int], out: tuple[int, int], rule: str, opset: int) -> None:
    net = Builder()
    net.add(Resize(size=out, rule=rule), net.input("x", 1, 1, *size))
    graph = net.graph()
    assert worst(graph, net.feed(graph), opset) <= 5e-5


def test_resizing_to_another_blob_after_cropping() -> None:
    net = Builder()
    net.add(Resize(crop=(1, 2)), net.input("x", 2, 3, 9, 8), net.input("like", 1, 1, 5, 20))
    graph = net.graph()
    assert worst(graph, net.feed(graph), 11) <= 1e-5
