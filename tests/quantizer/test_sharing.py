"""Which tensors take whose quantization."""

from __future__ import annotations

import pytest
from support.graphs import Builder
from support.integers import calibrated

from demitasse.converter import ops
from demitasse.quantizer.sharing import assign_quantization, scale_sources

POOL = ops.Pool2d("max", (2, 2), (2, 2))


def convolution(b: Builder, x: str, activation: ops.Activation | None) -> str:
    op = ops.Conv2d(4, (3, 3), pads=(1, 1, 1, 1), activation=activation)
    return b.add(op, x, weight=b.random(4, b.tensors[x].shape[1], 3, 3), bias=b.random(4))


@pytest.mark.parametrize(
    ("activation", "taken"), [(ops.Relu(), True), (ops.Relu(0.1), False), (None, False)]
)
def test_what_only_a_max_pooling_reads(activation: ops.Activation | None, taken: bool) -> None:
    """Below zero, values that no window shows would be clipped."""
    b = Builder(seed=1)
    x = convolution(b, b.input("data", 1, 3, 8, 8), activation)
    pooled = b.add(POOL, x)
    b.add(ops.InnerProduct(3), pooled, weight=b.random(3, 64), bias=b.random(3))
    graph = b.graph()
    sources = scale_sources(graph)
    assert sources[x] == sources[pooled] == (pooled if taken else x)
    inputs = {"data": b.random(2, 3, 8, 8)}
    table = calibrated(graph, inputs, "int8")
    quants = assign_quantization(graph, table)
    assert quants[x] == quants[pooled]
    assert quants[x].scale == pytest.approx(table.tensors[sources[x]].scale)


def test_another_reader_sees_every_value() -> None:
    b = Builder(seed=1)
    x = convolution(b, b.input("data", 1, 3, 8, 8), ops.Relu())
    pooled, other = b.add(POOL, x), convolution(b, x, None)
    graph = b.graph()
    assert set(graph.outputs) == {pooled, other}
    assert scale_sources(graph)[pooled] == x
    output = b.graph(x, pooled, other)
    assert scale_sources(output)[pooled] == x


def test_pooled_tensors_that_are_joined_take_the_joined_ones() -> None:
    b = Builder(seed=1)
    data = b.input("data", 1, 3, 8, 8)
    parts = [convolution(b, data, ops.Relu()) for _ in range(2)]
    pooled = [b.add(POOL, x) for x in parts]
    joined = b.add(ops.Concat(), *pooled)
    sources = scale_sources(b.graph())
    assert {sources[name] for name in (*parts, *pooled)} == {joined}
