"""A quantized network as float networks that any Caffe runs.

`deploy` is the float network as it is quantized: folded, its channels with the table's factors.
`fake` is the same network with the weights and biases that its integers stand for, and with every
value rounded to what its integers can say, by seven layers that BVLC Caffe has (`_steps`). It
differs from the integers in how sums are rounded: an activation now and then by one step. (INT16
rounds inside its sums, too, which is most of the little that it loses.)

Layers with weights are the same in both, so that each text goes with each file of weights: the
text of `deploy` and the weights of `fake` show what rounding the weights costs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from demitasse.converter.graph import Arrays, Graph, Node, Quantization, Tensor, rebuild
from demitasse.converter.ops import Concat, Constant, Operator, Pool2d, Power, Relu, Scale
from demitasse.errors import DataError
from demitasse.quantizer.diagnosis import forms_read
from demitasse.quantizer.integer.conv import Convolution, float_weights
from demitasse.quantizer.integer.norm import batch_norm_as_scale
from demitasse.quantizer.quantize import plan_of, quantize
from demitasse.quantizer.reference import to_real
from demitasse.quantizer.scheme import RANGES
from demitasse.quantizer.sharing import LAYOUT
from demitasse.quantizer.table import ScaleTable
from demitasse.quantizer.weight_plans import by_node

T = TypeVar("T")

# A float32 near this has no room for fractions: adding it rounds to a whole number.
ROUNDER = 1.5 * 2.0**23


@dataclass(frozen=True)
class FakeQuant:
    """The two networks (see above)."""

    deploy: Graph
    fake: Graph


def fake_quant(folded: Graph, table: ScaleTable) -> FakeQuant:
    """Both networks of a folded graph, with the table's factors applied, and its table.

    Raises DataError where the table does not fit.
    """
    integer = quantize(folded, table)
    folded = rebuild(folded, [batch_norm_as_scale(node) for node in folded.nodes])
    made = {node.name: node for node in integer.nodes if "multiplier" in node.weights}
    deploy, stored = [], []
    for node in folded.nodes:
        weights = _stored(node, made.get(node.name), integer)
        if "bias" in weights and "bias" not in node.weights:
            if weights["bias"].any():
                zeros = np.zeros_like(weights["bias"])
                node = replace(node, weights={**node.weights, "bias": zeros})
            else:
                weights = {key: array for key, array in weights.items() if key != "bias"}
        deploy.append(node)
        stored.append(replace(node, weights=weights))
    graph = rebuild(folded, deploy)
    work = _Rounding(graph, integer, integer.producers(), blobs=dict(graph.blobs))
    for name in graph.inputs:
        work.add_input(name)
    for node in stored:
        work.add_node(node)
    tensors = {**graph.tensors, **work.tensors}
    fake = replace(graph, nodes=tuple(work.nodes), tensors=tensors, blobs=work.blobs)
    return FakeQuant(graph, fake)


def table_for(table: ScaleTable, deploy: Graph, again: Graph) -> ScaleTable:
    """The table by the names that `deploy` has after it was written, read and folded: `again`.
    Caffe may need other layers to move values, of which the table need not know.

    Raises DataError where the two are not the same network.
    """
    old_nodes, new_nodes = (
        [node for node in graph.nodes if not isinstance(node.op, LAYOUT)]
        for graph in (deploy, again)
    )
    pairs = list(zip(old_nodes, new_nodes, strict=False))
    if len(old_nodes) != len(new_nodes) or not all(_alike(*pair) for pair in pairs):
        odd = next((a.name for a, b in pairs if not _alike(a, b)), None)
        raise DataError(
            "folds differently once it is written as Caffe's layers: the table cannot go with it",
            layer=odd,
            remedy="use the network that the table is of",
        )
    source = {name: name for name in again.tensors if name in deploy.tensors}
    source |= dict(zip(again.inputs, deploy.inputs, strict=True))
    for old, new in pairs:
        source |= dict(zip(new.outputs, old.outputs, strict=True))
    nodes = {old.name: new.name for old, new in pairs}
    plan = plan_of(deploy, table)

    def renamed(rows: Mapping[str, T], what: str) -> dict[str, T]:
        return {nodes[node]: row for node, row in by_node(deploy, rows, what).items()}

    return replace(
        table,
        tensors={new: table.tensors[old] for new, old in source.items() if old in table.tensors},
        weights=renamed(table.weights, "weight scales"),
        layers={nodes[name]: plan[name] for name in nodes.keys() & plan.keys()},
        weight_bits=renamed(table.weight_bits, "weight bits"),
        means={new: table.means[old] for new, old in source.items() if old in table.means},
        biases=renamed(table.biases, "biases"),
        rounding=renamed(table.rounding, "a rounding"),
        equalized={},
    )


def _alike(old: Node, new: Node) -> bool:
    """Whether they have the same integers; the files are compared by what they compute."""
    return (
        type(old.op) is type(new.op)
        and old.weights.keys() == new.weights.keys()
        and all(np.array_equal(array, new.weights[key]) for key, array in old.weights.items())
    )


def _stored(node: Node, made: Node | None, integer: Graph) -> Arrays:
    """The node's arrays as its integers say them; its own where there are no integers."""
    if isinstance(node.op, Constant):
        return {"value": to_real(*_value(integer, node.outputs[0]))}
    if made is None or not isinstance(made.op, Convolution):
        return node.weights
    x, y = integer.tensors[made.inputs[0]], integer.tensors[made.outputs[0]]
    found = float_weights(made, x, y)
    if isinstance(node.op, Convolution):
        return {**node.weights, **found}
    if isinstance(node.op, Scale) and len(node.inputs) == 1:
        return {"scale": found["weight"].reshape(-1), "bias": found["bias"]}
    return node.weights


def _value(integer: Graph, name: str) -> tuple[Tensor, np.ndarray]:
    return integer.tensors[name], integer.producers()[name].weights["value"]


@dataclass
class _Rounding:
    """The fake network as it grows. `values`: what holds a value, and what holds it in the other
    forms in which the integers stand, by the name of the integer graph's tensor."""

    graph: Graph
    integer: Graph
    producers: Mapping[str, Node]
    blobs: dict[str, str]
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def add_input(self, name: str) -> None:
        """Round an input into a blob of its own: its own belongs to the user."""
        made = f"{name}/rounded"
        self.values[name] = self._add_steps(name, made, self.integer.tensors[name], made)

    def add_node(self, node: Node) -> None:
        """The node, reading what its integers read, and its outputs rounded."""
        name = node.outputs[0]
        forms = forms_read(name, self.graph, self.integer, self.producers)
        inputs = tuple(self._read(value, forms.get(value)) for value in node.inputs)
        node = replace(node, inputs=inputs)
        stored = self.integer.tensors.get(name)
        if stored is None or stored.quant is None or _moves(node.op):
            self.nodes.append(node)
            self.values |= {output: output for output in node.outputs}
            return
        plain = f"{name}/float"
        self._add_tensor(plain, name)
        self.nodes.append(replace(node, outputs=(plain, *node.outputs[1:])))
        self.values |= {output: output for output in node.outputs}
        self._add_steps(plain, name, stored, node.name, blob=name)

    def _read(self, value: str, form: Tensor | None) -> str:
        """What holds the value as it is read, perhaps converted, once or twice."""
        if form is None or form.name == value:
            return self.values[value]
        if form.name not in self.values:
            before = self.integer.tensors[self.producers[form.name].inputs[0]]
            label = form.name.removeprefix("%")
            source = self._read(value, before)
            self.values[form.name] = self._add_steps(source, label, form, label)
        return self.values[form.name]

    def _add_steps(self, source: str, made: str, form: Tensor, label: str, blob: str = "") -> str:
        """Round `source` into `made`, which is new unless it has a blob; floats stay themselves."""
        if form.quant is None:
            return source
        steps = _steps(form.quant, form.dtype)
        if not blob:
            self._add_tensor(made, source, made)
        for index, op in enumerate(steps):
            last = index == len(steps) - 1
            target = made if last else f"{made}/{index}"
            if not last:
                self._add_tensor(target, source, blob or made)
            name = f"{label}/round{index + 1}"
            self.nodes.append(Node(name, op, (source,), (target,), origin=(name,)))
            source = target
        return made

    def _add_tensor(self, name: str, like: str, blob: str = "") -> None:
        """A tensor that lies in the blob of another, or in one of its own."""
        shape = (self.tensors.get(like) or self.graph.tensors[like]).shape
        self.tensors[name] = Tensor(name, shape)
        if name == blob:
            self.blobs[name] = name
            return
        keys = [key for key, tensor in self.blobs.items() if tensor == (blob or like)]
        self.blobs[f"{(keys or [like])[0].partition('@')[0]}@{name}"] = name


def _steps(quant: Quantization, dtype: str) -> tuple[Operator, ...]:
    """Float operators that round to the nearest code, clamp, and give the real value again.

    Exact but for halves, which go to the even code where the integers take the upper one.
    """
    low, high = RANGES[dtype]
    zero = quant.zero_point
    inverse = float(np.float32(1.0 / quant.scale))
    return (
        Power(1.0, inverse, ROUNDER),
        Power(1.0, 1.0, zero - low - ROUNDER),
        Relu(),
        Power(1.0, -1.0, float(high - low)),
        Relu(),
        Power(1.0, -1.0, float(high - zero)),
        Power(1.0, quant.scale, 0.0),
    )


def _moves(op: Operator) -> bool:
    """Whether values come out as they went in."""
    maximum = isinstance(op, Pool2d) and op.kind == "max"
    return isinstance(op, (*LAYOUT, Concat, Constant)) or op.shape_only or maximum


__all__ = ["FakeQuant", "fake_quant", "table_for"]
