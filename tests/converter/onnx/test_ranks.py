"""Operators on blobs of every rank and along every axis, by onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from support.exported import worst
from support.graphs import Builder

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.check import sample
from demitasse.converter.ops import (
    ArgMax,
    BatchNorm,
    Bias,
    Bnll,
    Concat,
    Constant,
    Crop,
    Eltwise,
    Embed,
    Exp,
    Flatten,
    Gather,
    HardSigmoid,
    HardSwish,
    InnerProduct,
    Log,
    Mish,
    Permute,
    Power,
    PRelu,
    Reduce,
    Relu,
    Reshape,
    Reverse,
    Scale,
    Slice,
    Softmax,
    Swish,
    Threshold,
    Unary,
)

pytest.importorskip("onnxruntime")

SHAPE = (2, 3, 4, 5, 2)
OPSETS = (11, 13, versions.newest())
RANKS = range(1, 6)


@pytest.fixture(params=OPSETS)
def opset(request: pytest.FixtureRequest) -> int:
    return request.param


def agrees(net: Builder, opset: int) -> bool:
    graph = net.graph()
    return worst(graph, net.feed(graph), opset) <= 2e-6


@pytest.mark.parametrize(("rank", "axis"), [(r, a) for r in RANKS for a in range(-r, r)])
def test_axes(rank: int, axis: int, opset: int) -> None:
    net = Builder()
    shape = SHAPE[:rank]
    x = net.input("x", *shape)
    net.add(Softmax(axis), x)
    net.add(Concat(axis), x, x)
    parts = net.add(Slice(2, axis, (1,)), x, outputs=2)
    net.add(Relu(), parts)
    start = axis % rank
    span = shape[start : start + 2]
    net.add(Scale(axis), x, scale=net.random(*span), bias=net.random(*span))
    net.add(Scale(axis), x, net.input("scale", *span))
    net.add(Bias(axis), x, net.input("bias", *span))
    net.add(Reverse(axis), x)
    net.add(Gather(axis), x, indices=np.array([1, 0, 1], np.int32))
    net.add(Gather(axis), x, net.add(Constant(), value=np.float32([0.9, -3, 99, np.nan])))
    for kind in ("sum", "asum", "sumsq", "mean"):
        net.add(Reduce(kind, axis, 0.5), x)
    inside = shape[:start] + tuple(size - 1 for size in shape[start:])
    net.add(Crop(axis, (1,)), x, net.input("like", *inside))
    width = int(np.prod(shape[start:]))
    op = InnerProduct(3, axis)
    net.add(op, x, weight=net.random(3, width), bias=net.random(3))
    assert agrees(net, opset)


@pytest.mark.parametrize("rank", RANKS)
def test_ranks(rank: int, opset: int) -> None:
    net = Builder()
    shape = SHAPE[:rank]
    x = net.input("x", *shape)
    channels = shape[1] if rank > 1 else 1
    mean, variance = net.random(channels), net.random(channels, low=0.1)
    net.add(BatchNorm(), x, mean=mean, variance=variance)
    net.add(Permute(tuple(range(rank))[::-1]), x)
    net.add(Reshape((-1, 1)), x)
    net.add(Flatten(0), x)
    net.add(Eltwise("sum", (1, -1, 0.5)), x, x, net.add(Constant(), value=net.random(*shape)))
    net.add(Eltwise("sum", (-2.0, 1.0), Relu()), x, x)
    net.add(Power(2, 0.5, 1), x)
    net.add(Power(), x)
    for first in range(1, rank):
        net.add(Flatten(first, rank - 1), x)
        net.add(Flatten(0, first), x)
    if rank > 1:
        for slopes in (1, channels):
            net.add(PRelu(), x, slope=net.random(slopes))
    assert agrees(net, opset)


def test_a_slope_fused_into_inner_product(opset: int) -> None:
    net = Builder()
    op = InnerProduct(4, activation=PRelu())
    net.add(op, net.input("x", 2, 3), weight=net.random(4, 3), slope=net.random(4))
    assert agrees(net, opset)


FUNCTIONS: tuple[Unary, ...] = (
    Bnll(),
    Exp(),
    Exp(2.0, 0.5, -1.0),
    Log(shift=2),
    Log(10.0, 0.5, 3.0),
)
FUNCTIONS += (Threshold(0.1), Swish(), Swish(1.7), Mish(), HardSwish())
FUNCTIONS += (HardSigmoid(), HardSigmoid(0.4, 0.3))


@pytest.mark.parametrize("op", FUNCTIONS, ids=str)
def test_functions(op: Unary, opset: int) -> None:
    net = Builder()
    net.add(op, net.input("x", 2, 50))
    graph = net.graph()
    low = -2 if isinstance(op, Log) else -9  # behind it the logarithm is not defined
    assert worst(graph, {"x": net.random(2, 50, low=low, high=9)}, opset) <= 2e-6


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_largest_values_where_some_are_equal(axis: int, values: bool, opset: int) -> None:
    net = Builder()
    x = net.input("x", 3, 5, 4)
    for top_k in (1, 3):
        net.add(ArgMax(axis, top_k, values), x)
    inputs = {"x": np.round(net.random(3, 5, 4, low=-2, high=2))}
    assert worst(net.graph(), inputs, opset) == 0


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 3)])
def test_rows_of_a_table(shape: tuple[int, ...], opset: int) -> None:
    net = Builder()
    net.add(Embed(6, 3), net.input("x", *shape), table=net.random(6, 3), bias=net.random(3))
    graph = net.graph()
    assert worst(graph, {"x": net.random(*shape, low=-3, high=9)}, opset) <= 1e-6
    indices = sample(graph, 0)["x"]
    assert set(indices.flat) <= set(range(6))
    assert len(set(indices.flat)) > 1
