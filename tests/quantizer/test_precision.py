"""Which layers are raised to INT16, and that the budget then holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.precision import (
    Noise,
    Run,
    measure_noise,
    raise_layers,
    rank,
    relative_noise,
)
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.table import ScaleTable

TABLE = ScaleTable("int8", False, "mse", "", {})
RANKED = "abcdefg"


@pytest.mark.parametrize("needed", range(8))
def test_the_shortest_prefix_that_holds_is_found(needed: int) -> None:
    tried: list[int] = []

    def holds(table: ScaleTable) -> bool:
        tried.append(len(table.layers))
        return len(table.layers) >= needed

    found = raise_layers(TABLE, RANKED, holds)
    assert found.layers == dict.fromkeys("abcdefg"[:needed], "int16")
    assert len(tried) <= 6


def test_what_the_table_says_stays() -> None:
    table = replace(TABLE, layers={"a": "int8"})
    found = raise_layers(table, RANKED, lambda tried: "c" in tried.layers)
    assert found.layers == {"a": "int8", "b": "int16", "c": "int16"}


def test_a_budget_that_never_holds_raises_all() -> None:
    found = raise_layers(TABLE, RANKED, lambda tried: False)
    assert found.layers == dict.fromkeys("abcdefg", "int16")


def test_noise_is_relative_to_the_power_of_each_output() -> None:
    expected = [{"a": np.array([3.0, 4.0]), "b": np.array([0.0])}]
    found = [{"a": np.array([3.0, 5.0]), "b": np.array([0.5])}]
    assert relative_noise(expected, found) == pytest.approx(1 / 25 + 0.25)


def network() -> tuple[Builder, Graph, str]:
    """A blob with one channel a thousand times the others: INT8 ruins who writes and reads it."""
    net = Builder(seed=9)
    x = net.input("data", 1, 4, 8, 8)
    first = net.add(ops.Conv2d(6, (3, 3)), x, weight=net.random(6, 4, 3, 3))
    weight = net.random(6, 6, 1, 1)
    weight[0] *= 1000
    bad = net.add(ops.Conv2d(6, (1, 1)), first, weight=weight)
    last = net.random(4, 6, 1, 1)
    last[:, 0] /= 1000
    net.add(ops.Conv2d(4, (1, 1)), bad, weight=last)
    return net, net.graph(), first


def runner(graph: Graph, feed: dict[str, np.ndarray]) -> Run:
    def run(tried: ScaleTable | None) -> list[dict[str, np.ndarray]]:
        if tried is None:
            return [evaluate(graph, feed)]
        integer = quantize(graph, tried)
        tensor = integer.tensors[integer.outputs[0]]
        return [{key: to_real(tensor, x) for key, x in run_integer(integer, feed).items()}]

    return run


def test_the_layers_that_int8_ruins_are_raised_first() -> None:
    net, graph, good = network()
    feed = net.feed(graph)
    table = calibrated(graph, feed, "int8")
    noise = measure_noise(graph, table, runner(graph, feed))
    first, bad, last = (node.name for node in graph.nodes)
    assert max(noise.tensors, key=lambda name: noise.tensors[name]) == bad
    assert noise.tensors[bad] > 100 * noise.tensors[first]
    assert noise.weights[last] > 100 * noise.weights[first]
    assert noise.images == 1
    steps = rank(graph, table, noise)
    assert [step.layer for step in steps] == [bad, last, good]
    left = [step.noise for step in steps]
    assert left == sorted(left, reverse=True)
    assert left[1] < noise.total / 5 < left[0]  # one of the two alone mends next to nothing
    assert left[2] == pytest.approx(noise.least)


def test_parts_add_up_to_the_whole() -> None:
    net = Builder(seed=11)
    x = net.input("data", 1, 4, 8, 8)
    for _ in range(3):
        x = net.add(ops.Conv2d(4, (1, 1)), x, weight=net.random(4, 4, 1, 1))
    graph = net.graph()
    feed = net.feed(graph)
    table = calibrated(graph, feed, "int8")
    noise = measure_noise(graph, table, runner(graph, feed))
    assert noise.tensors.keys() == {"data", *(node.name for node in graph.nodes)}
    parts = sum(noise.tensors.values()) + sum(noise.weights.values())
    assert parts == pytest.approx(noise.total, rel=0.3)
    assert noise.least < noise.total / 1000


def test_a_tensor_is_mended_once_all_around_it_are_raised() -> None:
    """a -> x -> b, c: x costs most, c is dear, and nothing else matters."""
    net = Builder(seed=1)
    data = net.input("data", 1, 4, 4, 4)
    a = net.add(ops.Conv2d(4, (1, 1)), data, weight=net.random(4, 4, 1, 1))
    b = net.add(ops.Relu(), a)
    c = net.add(ops.Conv2d(64, (3, 3)), a, weight=net.random(64, 4, 3, 3))
    graph = net.graph()
    table = calibrated(graph, net.feed(graph), "int8")
    noise = Noise(1.0, 0.0, {"data": 0.1, a: 0.9, b: 0.0, c: 0.0}, {a: 0.0, c: 0.0}, 1)
    steps = rank(graph, table, noise)
    assert [(step.layer, step.noise) for step in steps] == [
        (a, pytest.approx(0.9)),  # which mends data
        (b, pytest.approx(0.9)),
        (c, pytest.approx(0.0)),
    ]
    raised = replace(table, layers={b: "int16"})
    assert [step.layer for step in rank(graph, raised, noise)] == [a, c]
    kept = replace(table, layers={c: "int8"})
    assert [(step.layer, step.noise) for step in rank(graph, kept, noise)] == [
        (a, pytest.approx(0.9)),
        (b, pytest.approx(0.9)),
    ]
