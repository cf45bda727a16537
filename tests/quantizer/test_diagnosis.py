"""Layers that are spoiled on purpose, and what the columns say of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated, sqnr, table_of

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.diagnosis import LayerDiagnosis, diagnose
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.table import ScaleTable

Spoil = Callable[[ScaleTable], ScaleTable]


def chain(middle: np.ndarray | None = None) -> tuple[Builder, Graph]:
    """Three convolutions of eight channels, one after the other."""
    net = Builder(seed=3)
    x = net.input("data", 1, 4, 8, 8)
    first = net.add(ops.Conv2d(8, (3, 3), pads=(1,) * 4), x, weight=net.random(8, 4, 3, 3))
    weight = net.random(8, 8, 1, 1) if middle is None else middle
    second = net.add(ops.Conv2d(8, (1, 1)), first, weight=weight, bias=net.random(8))
    net.add(ops.Conv2d(5, (1, 1)), second, weight=net.random(5, 8, 1, 1))
    return net, net.graph()


def rows(
    net: Builder, graph: Graph, precision: str = "int8", spoil: Spoil = lambda table: table
) -> list[LayerDiagnosis]:
    loud = net.feed(graph)
    feeds = [loud, {name: np.float32(0.8) * x for name, x in loud.items()}]
    table = spoil(calibrated(graph, loud, precision))
    return list(diagnose(graph, quantize(graph, table), feeds))


def without_bias(graph: Graph) -> Graph:
    nodes = [replace(n, weights={"weight": n.weights["weight"]}) for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def weights_db(row: LayerDiagnosis) -> float:
    assert row.weights is not None
    return row.weights.sqnr


def test_each_layer_has_a_row_in_order() -> None:
    net, graph = chain()
    found = rows(net, graph)
    assert [row.layer for row in found] == [node.name for node in graph.nodes]
    assert all(row.dtype == "int8" and row.alone.cosine > 0.9999 for row in found)
    for row in found:  # the parts' errors add up nearly independently
        parts = -10 * math.log10(10 ** (-weights_db(row) / 10) + 10 ** (-row.activations.sqnr / 10))
        assert row.alone.sqnr == pytest.approx(parts, abs=1.5)


def test_coarse_weights_show_in_the_weights_alone() -> None:
    net, graph = chain()
    name = graph.nodes[1].name
    largest = np.abs(graph.nodes[1].weights["weight"]).max((1, 2, 3))
    spoil = {name: tuple(float(np.float32(v / 7)) for v in largest)}  # 15 levels
    plain = rows(*chain())
    found = rows(net, graph, spoil=lambda table: replace(table, weights=spoil))
    assert weights_db(found[1]) < 30 < weights_db(plain[1])
    assert found[1].alone.sqnr == pytest.approx(weights_db(found[1]), abs=1)
    assert found[1].activations == plain[1].activations
    assert [found[0], found[2]] == [plain[0], plain[2]]


def test_a_clipped_range_shows_in_the_activations() -> None:
    net, graph = chain()
    name = graph.nodes[1].name

    def spoil(table: ScaleTable) -> ScaleTable:
        old = table.tensors[name]
        narrow = table_of({name: (old.low / 4, old.high / 4)}, "int8").tensors[name]
        return replace(table, tensors={**table.tensors, name: narrow})

    found, plain = rows(net, graph, spoil=spoil), rows(*chain())
    assert found[1].clipped > 0.2
    assert found[1].activations.sqnr < 15 < plain[1].activations.sqnr
    assert weights_db(found[1]) == pytest.approx(weights_db(plain[1]), abs=0.01)
    assert found[2].activations.sqnr < 15  # which reads it
    assert found[0] == plain[0]
    assert max(row.clipped for row in plain) < 0.01


def test_a_quiet_channel_is_the_worst() -> None:
    weight = Builder(seed=8).random(8, 8, 1, 1)
    weight[5] /= 500
    net, graph = chain(weight)
    row = rows(net, without_bias(graph))[1]
    assert row.worst[0].index == 5
    assert row.worst[0].sqnr < 10 < row.worst[1].sqnr
    assert row.alone.sqnr > 30
    assert [each.sqnr for each in row.worst] == sorted(each.sqnr for each in row.worst)


def test_a_channel_without_a_signal_is_not_the_worst() -> None:
    weight = Builder(seed=8).random(8, 8, 1, 1)
    weight[2] = 0
    net = Builder(seed=4)
    x = net.input("data", 1, 8, 4, 4)
    net.add(ops.Conv2d(8, (1, 1)), x, weight=weight)
    row = rows(net, net.graph())[0]
    assert 2 not in {channel.index for channel in row.worst}


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_weights_that_integers_hold_lose_nothing(precision: str) -> None:
    limit = {"int8": 127, "int16": 4095}[precision]
    codes = np.random.default_rng(1).integers(-limit, limit + 1, (8, 8, 1, 1))
    codes[:, 0] = limit
    net, graph = chain((codes * 2.0**-9).astype(np.float32))
    row = rows(net, without_bias(graph), precision)[1]
    assert row.weights is not None
    assert row.weights.sqnr == math.inf
    assert row.weights.cosine == pytest.approx(1)
    assert row.alone.sqnr == pytest.approx(row.activations.sqnr, abs=0.5)


def test_the_only_layer_alone_is_the_model() -> None:
    net = Builder(seed=6)
    x = net.input("data", 1, 3, 9, 7)
    weight = net.random(6, 3, 3, 3)
    relu = ops.Relu()
    net.add(ops.Conv2d(6, (3, 3), activation=relu), x, weight=weight, bias=net.random(6))
    graph = net.graph()
    feed = net.feed(graph)
    integer = quantize(graph, calibrated(graph, feed, "int8"))
    (key,) = graph.output_keys()
    real = to_real(integer.tensors[integer.outputs[0]], run_integer(integer, feed)[key])
    (row,) = diagnose(graph, integer, [feed])
    assert row.alone.sqnr == pytest.approx(sqnr(evaluate(graph, feed)[key], real))


def test_mixed_layers_are_judged_as_they_compute() -> None:
    net, graph = chain()
    name = graph.nodes[1].name
    found = rows(net, graph, spoil=lambda table: replace(table, layers={name: "int16"}))
    assert [row.dtype for row in found] == ["int8", "int16", "int8"]
    assert found[1].alone.sqnr > 55
    assert max(found[0].alone.sqnr, found[2].alone.sqnr) < 55


@pytest.mark.parametrize(("precision", "least"), [("int8", 25), ("int16", 55)])
def test_every_form_of_an_operator_is_walked(precision: str, least: float) -> None:
    """Chains of products, rescaled joins, float tails, affine layers of rank 2, inner axes."""
    net = Builder(seed=2)
    x = net.input("data", 1, 6, 6, 6)
    a = net.add(ops.Conv2d(6, (1, 1)), x, weight=net.random(6, 6, 1, 1))
    b = net.add(ops.Relu(), net.add(ops.Conv2d(6, (1, 1)), x, weight=3 * net.random(6, 6, 1, 1)))
    product = net.add(ops.Eltwise("prod"), a, b, x)
    joined = net.add(ops.Concat(), product, b, net.add(ops.Sigmoid(), a))
    pooled = net.add(ops.Pool2d("max", (2, 2), (2, 2)), joined)
    flat = net.add(ops.Flatten(), pooled)
    dense = net.add(ops.InnerProduct(5), flat, weight=net.random(5, 162))
    scaled = net.add(ops.Scale(), dense, scale=net.random(5), bias=net.random(5))
    net.add(ops.Softmax(1), scaled)
    net.add(ops.InnerProduct(4, axis=3), joined, weight=net.random(4, 6))
    graph = net.graph()
    found = {row.layer: row for row in rows(net, graph, precision)}
    moved = {node.name for node in graph.nodes if isinstance(node.op, ops.Flatten)}
    assert found.keys() == {node.name for node in graph.nodes} - moved
    assert min(row.alone.sqnr for row in found.values()) > least
    assert min(row.activations.sqnr for row in found.values()) > least
    weighted = (ops.Conv2d, ops.InnerProduct, ops.Scale)
    for node in graph.nodes:
        if node.name in found:
            assert (found[node.name].weights is not None) == isinstance(node.op, weighted)
    assert found[graph.nodes[-2].name].alone.sqnr == math.inf  # Softmax stays float
