"""The suggested plan: the order, and whether what it predicts comes true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.plan import suggest
from demitasse.quantizer.precision import relative_noise
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.table import ScaleTable


class Network:
    """Four convolutions; the second's quiet channel is what the third needs."""

    def __init__(self) -> None:
        net = Builder(seed=9)
        x = net.input("data", 1, 4, 8, 8)
        for i in range(4):
            channels = 4 if i == 0 else 6
            weight = net.random(6, channels, 1, 1)
            if i == 1:
                weight[0] *= 300
            if i == 2:
                weight[:, 0] /= 300
            x = net.add(ops.Conv2d(6, (1, 1)), x, weight=weight)
        self.graph: Graph = net.graph()
        self.feed = net.feed(self.graph)
        self.table = calibrated(self.graph, self.feed, "int8")
        self.names = [node.name for node in self.graph.nodes]
        self.runs = 0

    def run(self, table: ScaleTable | None) -> list[dict[str, np.ndarray]]:
        self.runs += 1
        if table is None:
            return [evaluate(self.graph, self.feed)]
        integer = quantize(self.graph, table)
        tensor = integer.tensors[integer.outputs[0]]
        return [{k: to_real(tensor, x) for k, x in run_integer(integer, self.feed).items()}]

    def decibels(self, table: ScaleTable) -> float:
        return float(-10 * np.log10(relative_noise(self.run(None), self.run(table))))


def test_raising_what_is_advised_gains_what_was_predicted() -> None:
    net = Network()
    found = suggest(net.graph, net.table, net.run)
    assert found.sqnr == pytest.approx(net.decibels(net.table))
    assert {step.layer for step in found.steps} == set(net.names)
    assert found.images == 1
    assert [step.sqnr for step in found.steps] == sorted(step.sqnr for step in found.steps)
    assert [step.layer for step in found.steps[:2]] == net.names[1:3]
    advised = replace(net.table, layers=found.layers(net.table))
    assert found.steps[found.advised - 1].sqnr >= found.sqnr + 3
    assert net.decibels(advised) == pytest.approx(found.steps[found.advised - 1].sqnr, abs=3)
    assert net.decibels(advised) == pytest.approx(found.reached)
    everything = replace(net.table, layers=dict.fromkeys(net.names, "int16"))
    assert found.steps[-1].sqnr == pytest.approx(net.decibels(everything))


def test_the_number_of_models_is_told() -> None:
    net = Network()
    found = suggest(net.graph, net.table, net.run)
    assert (
        found.models == net.runs == 5 + 4 + 5
    )  # tensors, weights; float twice, INT16, the table's, advised


def test_a_wish_decides_how_many_are_advised() -> None:
    net = Network()
    assert suggest(net.graph, net.table, net.run, wanted=-100).advised == 1
    assert suggest(net.graph, net.table, net.run, wanted=300).advised == len(net.names)


def test_layers_that_are_raised_already_are_no_steps() -> None:
    net = Network()
    table = replace(net.table, layers={net.names[1]: "int16"})
    found = suggest(net.graph, table, net.run)
    assert net.names[1] not in {step.layer for step in found.steps}
    assert found.layers(table)[net.names[1]] == "int16"
