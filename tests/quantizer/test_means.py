"""What rounding of weights does to channel means, against the float operators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import WeightsError
from demitasse.quantizer.integer.conv import float_rows
from demitasse.quantizer.integer.means import lost_means
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real


@pytest.mark.parametrize(
    ("op", "weight", "x"),
    [
        (ops.Conv2d(6, (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2), (6, 2, 3, 2), (1, 4, 7, 8)),
        (ops.Conv2d(4, (3, 3), groups=4, pads=(1, 1, 1, 1)), (4, 1, 3, 3), (1, 4, 5, 5)),
        (ops.Deconv2d(6, (3, 3), (2, 2), (1, 1, 0, 0), groups=2), (4, 3, 3, 3), (1, 4, 3, 4)),
        (ops.InnerProduct(5), (5, 4 * 3 * 2), (1, 4, 3, 2)),
        (ops.InnerProduct(5), (5, 4), (1, 4)),
    ],
)
def test_an_image_of_means_gives_the_means_of_the_outputs(
    op: ops.Conv2d | ops.Deconv2d | ops.InnerProduct,
    weight: tuple[int, ...],
    x: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(3)
    lost, means = rng.normal(size=weight).astype(np.float32), rng.normal(size=4)
    image = np.broadcast_to(means.reshape(1, 4, *(1,) * (len(x) - 2)), x).astype(np.float32)
    (y,) = op.reference([image], {"weight": lost})
    found = lost_means(op, float_rows(op, lost).astype(np.float64), means, x, y.shape)
    np.testing.assert_allclose(found, y.reshape(op.channels, -1).mean(1), rtol=1e-4, atol=1e-5)


def layer(count: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """One that reads positive values with a mean, and the values."""
    b = Builder(seed=7)
    x = b.input("data", 1, 8, 6, 6)
    op = ops.Conv2d(5, (3, 3), pads=(1, 1, 1, 1))
    b.add(op, x, weight=b.random(5, 8, 3, 3), bias=b.random(5))
    return b.graph(), {"data": np.abs(b.random(count, 8, 6, 6)) + 1}


def shifts(graph: Graph, integer: Graph, inputs: dict[str, np.ndarray]) -> np.ndarray:
    (name,) = graph.outputs
    found = to_real(integer.tensors[name], run_integer(integer, inputs)[name])
    return np.asarray(np.abs((found - evaluate(graph, inputs)[name]).mean((0, 2, 3))))


def test_channels_keep_their_means() -> None:
    graph, inputs = layer(20)
    table = replace(calibrated(graph, inputs, "int8"), weight_bits={graph.nodes[0].name: 4})
    mean = tuple(float(m) for m in inputs["data"].mean((0, 2, 3)))
    plain = shifts(graph, quantize(graph, replace(table, means={})), inputs)
    kept = shifts(graph, quantize(graph, replace(table, means={"data": mean})), inputs)
    step = table.tensors[graph.outputs[0]].scale
    assert plain.max() > 2 * step
    assert kept.max() < 0.1 * step


def test_biases_of_the_table_stay_and_wrong_means_are_refused() -> None:
    graph, inputs = layer(1)
    (node,) = graph.nodes
    table = replace(calibrated(graph, inputs, "int8"), biases={node.name: (1.0,) * 5})
    with_means = replace(table, means={"data": (100.0,) * 8})
    one, other = (quantize(graph, t).nodes[0].weights["bias"] for t in (table, with_means))
    assert np.array_equal(one, other)
    with pytest.raises(WeightsError, match="the table has 3 means of 'data', expected 8"):
        quantize(graph, replace(table, biases={}, means={"data": (0.0,) * 3}))
