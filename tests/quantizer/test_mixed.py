"""Layers of several precisions in one network."""

from __future__ import annotations

from collections.abc import Mapping
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


def network() -> tuple[Builder, Graph]:
    """Two convolutions side by side, joined, pooled, and a third one."""
    net = Builder(seed=5)
    x = net.input("data", 1, 4, 8, 8)
    left = net.add(ops.Conv2d(6, (3, 3), pads=(1,) * 4), x, weight=net.random(6, 4, 3, 3))
    right = net.add(ops.Conv2d(5, (1, 1)), x, weight=net.random(5, 4, 1, 1))
    both = net.add(ops.Pool2d("max", (2, 2), (2, 2)), net.add(ops.Concat(), left, right))
    net.add(ops.Conv2d(3, (1, 1)), both, weight=net.random(3, 11, 1, 1))
    return net, net.graph()


NET, GRAPH = network()
FEED = NET.feed(GRAPH)
CONVOLUTIONS = [node.name for node in GRAPH.nodes if isinstance(node.op, ops.Conv2d)]


def mixed(layers: Mapping[str, str], precision: str = "int8") -> Graph:
    return quantize(GRAPH, replace(calibrated(GRAPH, FEED, precision), layers=layers))


def test_a_layer_of_many_nodes_is_computed_as_the_table_says() -> None:
    nodes = tuple(replace(node, origin=("whole",)) for node in GRAPH.nodes[:2])
    graph = replace(GRAPH, nodes=(*nodes, *GRAPH.nodes[2:]))
    integer = quantize(graph, replace(calibrated(GRAPH, FEED, "int8"), layers={"whole": "int16"}))
    dtypes = [integer.tensors[name].dtype for name in CONVOLUTIONS]
    assert dtypes == ["int16", "int16", "int8"]


def decibels(integer: Graph) -> float:
    (key,) = GRAPH.output_keys()
    stored = run_integer(integer, FEED)[key]
    real = to_real(integer.tensors[integer.outputs[0]], stored)
    return sqnr(evaluate(GRAPH, FEED)[key], real)


def kinds(integer: Graph) -> list[str]:
    return [type(node.op).__name__ for node in integer.nodes]


def test_each_layer_is_computed_as_the_table_says() -> None:
    first, second, third = CONVOLUTIONS
    integer = mixed({first: "int16"})
    nodes = {node.name: node for node in integer.nodes}
    for name, precision in ((first, "int16"), (second, "int8"), (third, "int8")):
        assert integer.tensors[name].dtype == precision
        assert integer.tensors[nodes[name].inputs[0]].dtype == precision
        assert nodes[name].weights["weight"].dtype == np.dtype(precision)


def test_without_layers_nothing_changes() -> None:
    assert kinds(mixed({})) == kinds(mixed(dict.fromkeys(CONVOLUTIONS, "int8")))
    assert "Rescale" not in kinds(mixed({}))


def test_all_layers_raised_are_as_good_as_int16() -> None:
    raised = decibels(mixed(dict.fromkeys(CONVOLUTIONS, "int16")))
    assert raised > decibels(mixed({})) + 20
    assert raised == pytest.approx(decibels(mixed({}, "int16")), abs=6)


def test_every_layer_raised_helps_or_does_no_harm() -> None:
    plain = decibels(mixed({}))
    for name in CONVOLUTIONS:
        assert decibels(mixed({name: "int16"})) > plain - 0.5


def test_layers_lowered_from_int16() -> None:
    low = decibels(mixed(dict.fromkeys(CONVOLUTIONS, "int8"), "int16"))
    assert low == pytest.approx(decibels(mixed({})), abs=3)


def test_a_value_is_converted_once_for_all_its_readers() -> None:
    integer = mixed(dict.fromkeys(CONVOLUTIONS[:2], "int16"))
    assert [node.outputs[0] for node in integer.nodes if isinstance(node.op, ops.Rescale)] == [
        "%pool2d3.int8"
    ]
    both = mixed({CONVOLUTIONS[0]: "int16"})
    assert kinds(both)[0] == "Rescale"
    assert both.nodes[0].outputs == ("%data.int16",)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(DataError, match="gives layer 'nix' a precision"):
        mixed({"nix": "int16"})
