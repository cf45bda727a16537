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
from demitasse.quantizer.precision import Sensitivity, raise_layers, relative_noise, sensitivities
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.table import ScaleTable

TABLE = ScaleTable("int8", False, "mse", "", {})
RANKED = [Sensitivity(name, 1.0, 1.0) for name in "abcdefg"]


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


def test_the_layer_that_int8_does_not_ruin_is_ranked_last() -> None:
    net, graph, good = network()
    feed = net.feed(graph)
    table = calibrated(graph, feed, "int8")

    def run(tried: ScaleTable | None) -> list[dict[str, np.ndarray]]:
        if tried is None:
            return [evaluate(graph, feed)]
        integer = quantize(graph, tried)
        tensor = integer.tensors[integer.outputs[0]]
        return [{key: to_real(tensor, x) for key, x in run_integer(integer, feed).items()}]

    ranked = sensitivities(graph, table, run)
    assert {each.layer for each in ranked} == {node.name for node in graph.nodes}
    assert ranked[-1].layer == good
    assert ranked[1].noise > 10 * ranked[-1].noise
