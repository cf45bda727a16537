"""Equalized channels: not a bit of the float result changes, and less is lost in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated, sqnr

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.repair import EQUALIZED, choose_exponents, equalize
from demitasse.quantizer.repair.equalize import importance

LOUDNESS = np.float32([1, 40, 0.05, 3, 0.01, 1, 7, 0.3])


def net(activation: ops.Activation | None = None, groups: int = 8) -> Graph:
    """A convolution of loud and quiet channels, and one that makes them equal again."""
    b = Builder(seed=3)
    x = b.input("data", 1, 4, 9, 9)
    loud = LOUDNESS.reshape(-1, 1, 1, 1)
    weights = {"weight": b.random(8, 4, 3, 3) * loud, "bias": b.random(8) * LOUDNESS}
    if isinstance(activation, ops.PRelu):
        weights["slope"] = b.random(8)
    y = b.add(ops.Conv2d(8, (3, 3), activation=activation), x, **weights)
    weight = b.random(8, 8 // groups, 3, 3)
    if groups == 8:
        weight = weight / loud
    b.add(ops.Conv2d(8, (3, 3), groups=groups), y, weight=weight, bias=b.random(8))
    return b.graph()


def data(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=graph.tensors[name].shape).astype(np.float32) for name in graph.inputs
    }


def test_importance_by_hand() -> None:
    weight = np.zeros((4, 1, 1, 2), np.float32)
    weight[0, 0, 0] = [3, 4]  # 5
    weight[1, 0, 0] = [0, 10]
    weight[2, 0, 0] = [0, 40]
    # the typical norm is 10, which a dead channel has too
    assert importance(weight).tolist() == [0, 1, 3, 1]
    assert importance(np.zeros((2, 1, 3, 3), np.float32)).tolist() == [0, 0]


@pytest.mark.parametrize("activation", [None, ops.Relu(), ops.Relu(0.25), ops.PRelu()], ids=str)
def test_float_results_stay_and_integers_lose_less(activation: ops.Activation | None) -> None:
    graph = net(activation)
    inputs = data(graph, 7)
    exponents = choose_exponents(graph)
    equal = equalize(graph, exponents)
    before, after = evaluate(graph, inputs, all_blobs=True), evaluate(equal, inputs, all_blobs=True)
    (output,) = graph.output_keys()
    assert np.array_equal(before[output], after[output])
    (digits,) = exponents.values()
    factors = np.exp2([int(d, 16) for d in digits]).astype(np.float32)
    (name,) = [name for name in after if name.endswith(EQUALIZED)]
    plain = name.removesuffix(EQUALIZED)
    assert plain not in after
    assert np.array_equal(after[name], before[plain] * factors.reshape(1, -1, 1, 1))
    lost = []
    for each in (graph, equal):
        integers = quantize(each, calibrated(each, data(each), "int8"))
        stored = run_integer(integers, inputs)[output]
        tensor = integers.tensors[integers.output_keys()[output]]
        lost.append(sqnr(before[output], to_real(tensor, stored)))
    assert lost[1] > lost[0] + 10


def clipped() -> Graph:
    return net(ops.Clip(0.0, 6.0))


def an_output() -> Graph:
    graph = net()
    return replace(graph, outputs=(graph.nodes[0].outputs[0], *graph.outputs))


def added() -> Graph:
    b = Builder()
    y = b.add(ops.Conv2d(4, (1, 1)), b.input("data", 1, 4, 5, 5), weight=b.random(4, 4, 1, 1))
    z = b.add(
        ops.Conv2d(4, (1, 1)),
        y,
        weight=b.random(4, 4, 1, 1) * 2.0 ** np.arange(4)[:, None, None, None],
    )
    b.add(ops.Eltwise("sum"), y, z)
    return b.graph()


def dense() -> Graph:
    return net(groups=1)


def grouped() -> Graph:
    return net(groups=2)


@pytest.mark.parametrize("make", [clipped, an_output, added, dense, grouped])
def test_what_cannot_be_scaled_stays(make) -> None:
    graph = make()
    exponents = choose_exponents(graph)
    assert exponents == {}
    assert equalize(graph, exponents) is graph


@pytest.mark.parametrize("digits", ["0", "0123456701", "0000000g", 5, None])
def test_factors_that_do_not_fit_are_refused(digits: object) -> None:
    graph = net()
    with pytest.raises(DataError, match="cannot have the factors"):
        equalize(graph, {graph.nodes[0].outputs[0]: digits})
    with pytest.raises(DataError, match="tensor 'data' cannot"):
        equalize(graph, {"data": "0000"})
