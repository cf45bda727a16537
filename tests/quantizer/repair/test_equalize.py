"""Equalized channels: not a bit of the float result changes, and less is lost in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.repair import EQUALIZED, equalize, is_equalized
from demitasse.quantizer.repair.equalize import importance
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import build_table

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


def data(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=graph.tensors[name].shape).astype(np.float32) for name in graph.inputs
    }


def test_importance_by_hand() -> None:
    weight = np.zeros((4, 1, 1, 2), np.float32)
    weight[0, 0, 0] = [3, 4]  # 5
    weight[1, 0, 0] = [0, 10]
    weight[2, 0, 0] = [0, 40]
    # the typical norm is 10; a dead channel keeps 1
    assert importance(weight).tolist() == [0.5, 1.0, 4.0, 1.0]
    assert importance(np.zeros((2, 1, 3, 3), np.float32)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("activation", [None, ops.Relu(), ops.Relu(0.25), ops.PRelu()], ids=str)
def test_float_results_stay_bit_for_bit(activation: ops.Activation | None) -> None:
    graph = net(activation)
    inputs = data(graph)
    equal = equalize(graph)
    before, after = evaluate(graph, inputs, all_blobs=True), evaluate(equal, inputs, all_blobs=True)
    (output,) = graph.output_keys()
    assert np.array_equal(before[output], after[output])
    (name,) = [key for key in after if key.endswith(EQUALIZED)]
    plain = name.removesuffix(EQUALIZED)
    assert plain in before
    assert plain not in after
    ratio = np.abs(after[name]).max((0, 2, 3)) / np.abs(before[plain]).max((0, 2, 3))
    assert np.array_equal(ratio, np.exp2(np.rint(np.log2(ratio))))
    assert is_equalized(equal.tensors)
    assert not is_equalized(graph.tensors)


@pytest.mark.parametrize(
    "graph",
    [
        net(ops.Clip(0.0, 6.0)),
        net(groups=1),
        net(groups=2),
        replace(net(), outputs=(net().nodes[0].outputs[0], *net().outputs)),
    ],
    ids=["clip", "dense", "grouped", "output"],
)
def test_what_cannot_be_scaled_stays(graph: Graph) -> None:
    equal = equalize(graph)
    assert equal.tensors.keys() == graph.tensors.keys()
    assert [n.weights for n in equal.nodes] == [n.weights for n in graph.nodes]


def test_two_readers_forbid_it() -> None:
    b = Builder()
    x = b.input("data", 1, 2, 5, 5)
    y = b.add(ops.Conv2d(4, (1, 1)), x, weight=b.random(4, 2, 1, 1))
    b.add(ops.Conv2d(4, (3, 3), groups=4), y, weight=b.random(4, 1, 3, 3))
    b.add(ops.Relu(), y)
    graph = b.graph()
    assert equalize(graph).tensors.keys() == graph.tensors.keys()


def test_less_is_lost() -> None:
    graph = net(ops.PRelu())
    inputs = data(graph)
    (expected,) = evaluate(graph, inputs).values()
    errors = []
    for each in (graph, equalize(graph)):
        statistics = Statistics()
        for name, blob in evaluate(each, inputs, all_blobs=True).items():
            statistics.update(name, blob)
        integers = quantize(each, build_table(statistics))
        ((key, stored),) = run_integer(integers, inputs).items()
        tensor = integers.tensors[integers.output_keys()[key]]
        errors.append(float(np.square(to_real(tensor, stored) - expected).sum()))
    assert errors[1] < errors[0] / 100  # 20 dB
