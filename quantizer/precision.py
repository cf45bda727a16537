"""Mixed precision: raise the fewest layers to INT16 until a budget holds.

What INT8 costs is measured, not guessed: the network runs in INT16 with a single tensor, or the
weights of a single layer, as coarse as INT8 has them. A tensor is mended only when the layer that
writes it and all that read it are raised. So layers go up in groups: each time those around the
tensor that mend the most error for what raising them costs. The shortest prefix of the list so made
that keeps the budget is found by bisection. (Ranking layers by measured sensitivity is AMCT's and
NNCF's way; the errors of parts add up nearly independently.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Concat, Constant
from demitasse.converter.ops.base import count
from demitasse.quantizer.integer import BUILDERS
from demitasse.quantizer.integer.conv import Convolution, float_rows
from demitasse.quantizer.quantize import plan_of
from demitasse.quantizer.sharing import moves_codes, scale_sources
from demitasse.quantizer.table import ScaleTable
from demitasse.quantizer.weight_scales import largest_magnitude
from demitasse.quantizer.weights import WEIGHT_LIMITS

Outputs = Mapping[str, np.ndarray]
# Runs the network, quantized by a table, on some inputs; without one in float32.
Run = Callable[[ScaleTable | None], Sequence[Outputs]]

MOVED = 4.0  # an element that is read or written costs about as much as so many MACs


@dataclass(frozen=True, slots=True)
class Noise:
    """Squared errors of the outputs, each relative to its power.

    total: of the table; least: of INT16 alone. tensors, weights: what a tensor (with those that
    share its codes) or a layer's weights add to that by themselves, as coarse as in INT8. images:
    what it was measured on.
    """

    total: float
    least: float
    tensors: Mapping[str, float]
    weights: Mapping[str, float]
    images: int


@dataclass(frozen=True, slots=True)
class Step:
    """A layer to raise. noise: of the outputs, that is then likely to be left."""

    layer: str
    noise: float


def candidates(graph: Graph) -> list[Node]:
    """The nodes whose precision is a choice: those that compute with integers."""
    return [
        node
        for node in graph.nodes
        if type(node.op) in BUILDERS
        and not moves_codes(node.op)
        and not isinstance(node.op, Concat | Constant)
    ]


def measure_noise(graph: Graph, table: ScaleTable, run: Run) -> Noise:
    """Run a model for each tensor and each layer's weights, and three more. table: of INT8."""
    reference = run(None)
    plain = replace(table, layers={}, biases={}, rounding={}, weight_bits={})
    fine = plain.at("int16")
    least = relative_noise(reference, run(fine))

    def added(tried: ScaleTable) -> float:
        return max(relative_noise(reference, run(tried)) - least, 0.0)

    tensors = {}
    for name in _layers_around(graph):
        coarse = replace(fine.tensor(name), scale=table.tensor(name).scale)
        tensors[name] = added(replace(fine, tensors={**fine.tensors, name: coarse}))
    weights = {
        node.name: added(replace(fine, weights={node.name: _coarse_weights(node)}))
        for node in candidates(graph)
        if isinstance(node.op, Convolution)
    }
    total = relative_noise(reference, run(table))
    return Noise(total, least, tensors, weights, len(reference))


def rank(graph: Graph, table: ScaleTable, noise: Noise) -> list[Step]:
    """Every layer that the table leaves free, the ones most worth raising first."""
    plan = plan_of(graph, table)
    nodes = {node.name: node for node in candidates(graph)}
    raised = {name for name in nodes if plan.get(name) == "int16"}
    around = _layers_around(graph)
    beside = {n: [name for name, layers in around.items() if n in layers] for n in nodes}
    groups = _Groups(around, beside, noise, {n: _cost(graph, x) for n, x in nodes.items()})
    share = (noise.total - noise.least) / (groups.left(raised) or 1.0)
    steps = []
    while group := groups.best(raised, fixed=plan.keys()):
        for name in (name for name in nodes if name in group):
            raised.add(name)
            left = noise.least + max(share, 0.0) * groups.left(raised)
            steps.append(Step(name, left))
    return steps


@dataclass(frozen=True)
class _Groups:
    """What is raised together. around: the layers that write or read each tensor; beside: the
    tensors that each layer writes or reads."""

    around: Mapping[str, frozenset[str]]
    beside: Mapping[str, Collection[str]]
    noise: Noise
    cost: Mapping[str, float]

    def left(self, raised: set[str]) -> float:
        """The errors that remain when these layers are raised."""
        tensors, weights = self.noise.tensors, self.noise.weights
        coarse = [tensors[name] for name, layers in self.around.items() if not layers <= raised]
        return fsum(coarse) + fsum(weights[name] for name in weights.keys() - raised)

    def best(self, raised: set[str], fixed: Collection[str]) -> frozenset[str]:
        """The group that mends most for its cost; empty where none is left."""
        tried: dict[frozenset[str], float] = {}
        for group in self._choices(raised):
            if group and not group.intersection(fixed) and group not in tried:
                tried[group] = self._mended(raised, group) / fsum(self.cost[n] for n in group)
        return max(tried, key=lambda group: (tried[group], sorted(group)), default=frozenset())

    def _choices(self, raised: set[str]) -> Iterator[frozenset[str]]:
        for layers in self.around.values():
            yield layers - raised
        for name in self.cost:
            yield frozenset({name}) - raised

    def _mended(self, raised: set[str], group: Iterable[str]) -> float:
        after = raised.union(group)
        weights = (self.noise.weights.get(name, 0.0) for name in group)
        near = dict.fromkeys(name for layer in group for name in self.beside[layer])
        tensors = (self.noise.tensors[name] for name in near if self.around[name] <= after)
        return fsum(weights) + fsum(tensors)


def _layers_around(graph: Graph) -> dict[str, frozenset[str]]:
    """For each tensor that has a scale of its own the layers that compute with its values."""
    source = scale_sources(graph)
    found: dict[str, set[str]] = {}
    for node in candidates(graph):
        for name in (*node.inputs, *node.outputs):
            found.setdefault(source[name], set()).add(node.name)
    return {name: frozenset(layers) for name, layers in found.items()}


def _coarse_weights(node: Node) -> tuple[float, ...]:
    """Scales of INT8, one per output channel."""
    assert isinstance(node.op, Convolution)
    rows = float_rows(node.op, node.weights["weight"]).astype(np.float64)
    scale = largest_magnitude(rows, WEIGHT_LIMITS["int8"])
    scale = np.where(scale > 0, scale, scale.max(initial=0.0) or 1.0)
    return tuple(float(value) for value in scale.astype(np.float32))


def raise_layers(
    table: ScaleTable, ranked: Sequence[str], holds: Callable[[ScaleTable], bool]
) -> ScaleTable:
    """The table with the shortest prefix of `ranked` in INT16 for which `holds` is true; with all
    of them where it never is. Layers that the table names already stay as they are."""
    names = [name for name in ranked if name not in table.layers]

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
