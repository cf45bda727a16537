"""Mixed precision: raise the fewest layers to INT16 until a budget holds.

Each layer's share of the error is measured, not guessed: the network runs with that layer alone in
INT8 and all others in INT16. Layers are ranked by the error that they make per unit of what raising
them costs; the shortest prefix of that list that keeps the budget is found by bisection. (As AMCT
and NNCF rank layers by sensitivity; the errors of layers add up nearly independently.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Concat, Constant
from demitasse.converter.ops.base import count
from demitasse.quantizer.integer import BUILDERS
from demitasse.quantizer.sharing import moves_codes
from demitasse.quantizer.table import ScaleTable

Outputs = Mapping[str, np.ndarray]
# Runs the network, quantized by a table, on some inputs; without one in float32.
Run = Callable[[ScaleTable | None], Sequence[Outputs]]

MOVED = 4.0  # an element that is read or written costs about as much as so many MACs


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """noise: squared error of the outputs, each relative to its power, with the layer alone in
    INT8. cost: what computing it in INT16 instead costs, in MACs."""

    layer: str
    noise: float
    cost: float


def candidates(graph: Graph) -> list[Node]:
    """The nodes whose precision is a choice: those that compute with integers."""
    return [
        node
        for node in graph.nodes
        if type(node.op) in BUILDERS
        and not moves_codes(node.op)
        and not isinstance(node.op, Concat | Constant)
    ]


def sensitivities(graph: Graph, table: ScaleTable, run: Run) -> list[Sensitivity]:
    """Every candidate, the one most worth raising first. table: of INT8."""
    reference = run(None)
    nodes = candidates(graph)
    found = []
    for node in nodes:
        others = {other.name: "int16" for other in nodes if other is not node}
        noise = relative_noise(reference, run(replace(table, layers=others)))
        found.append(Sensitivity(node.name, noise, _cost(graph, node)))
    return sorted(found, key=lambda each: (-each.noise / each.cost, each.layer))


def raise_layers(
    table: ScaleTable, ranked: Sequence[Sensitivity], holds: Callable[[ScaleTable], bool]
) -> ScaleTable:
    """The table with the shortest prefix of `ranked` in INT16 for which `holds` is true; with all
    of them where it never is. Layers that the table names already stay as they are."""
    names = [each.layer for each in ranked if each.layer not in table.layers]

    def raised(number: int) -> ScaleTable:
        return replace(table, layers={**table.layers, **dict.fromkeys(names[:number], "int16")})

    if holds(table):
        return table
    low, high = 0, len(names)  # low does not hold
    while high - low > 1:
        middle = (low + high) // 2
        if holds(raised(middle)):
            high = middle
        else:
            low = middle
    return raised(high)


def relative_noise(expected: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """Squared error over power of each output, over all runs; the sum of the outputs."""
    total = 0.0
    for name in expected[0]:
        pairs = [
            (np.asarray(e[name], np.float64), np.asarray(f[name], np.float64))
            for e, f in zip(expected, found, strict=True)
        ]
        power = sum(float(np.square(e).sum()) for e, _ in pairs)
        noise = sum(float(np.square(f - e).sum()) for e, f in pairs)
        total += noise / power if power > 0 else noise
    return total


def _cost(graph: Graph, node: Node) -> float:
    """MACs, and the elements that cross the memory."""
    inputs, outputs = graph.shapes(node.inputs), graph.shapes(node.outputs)
    elements = sum(count(shape) for shape in (*inputs, *outputs))
    return node.op.macs(inputs, outputs) + MOVED * elements
