"""The intermediate representation: a static graph of tensors and operators.

Every stage of the tool is a function from `Graph` to `Graph` (or to a file). A graph is
immutable: passes build a new one with `dataclasses.replace`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from demitasse.converter.ops.base import Operator

Shape = tuple[int, ...]
Arrays = Mapping[str, np.ndarray]

DTYPES = ("float32", "int8", "int16")


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a stored integer maps to a real value: real = scale * (q - zero_point)."""

    scale: float
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value that flows between nodes. `shape` is Caffe's order (NCHW for images)."""

    name: str
    shape: Shape
    dtype: str = "float32"
    quant: Quantization | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator applied to named tensors.

    `weights` holds the operator's constant arrays; the operator's file in `converter/ops/`
    says which. `origin` lists the Caffe layers that the node came from, in file order.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Arrays = field(default_factory=dict)
    origin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in topological order over named tensors.

    `inputs` and `outputs` are keys of `tensors`. `blobs` maps what the user calls a value
    (`conv1`, or `conv1@relu1` for the value right after layer relu1) to a key of `tensors`;
    an entry disappears when a pass makes its tensor disappear.
    """

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    blobs: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def producers(self) -> dict[str, Node]:
        """The node that writes each tensor (inputs have none)."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each tensor, in order; a node reading it twice counts once."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def counted(self) -> set[str]:
        """The tensors that have as many rows (axis 2) as a run finds."""
        return {
            name
            for node in self.nodes
            if node.op.capacity(self.shapes(node.inputs)) is not None
            for name in node.outputs
        }

    def output_keys(self) -> dict[str, str]:
        """Map the user's key of each network output to its tensor."""
        plain = {t: key for key, t in self.blobs.items() if "@" not in key}
        return {plain.get(name, name): name for name in self.outputs}

    def shapes(self, names: Iterable[str]) -> tuple[Shape, ...]:
        """Shapes of the named tensors."""
        return tuple(self.tensors[name].shape for name in names)


def rebuild(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """Replace the nodes and drop the tensors and blob keys that no node mentions any more."""
    alive = {*graph.inputs, *graph.outputs}
    for node in nodes:
        alive.update(node.inputs, node.outputs)
    return replace(
        graph,
        nodes=tuple(nodes),
        tensors={name: t for name, t in graph.tensors.items() if name in alive},
        blobs={key: name for key, name in graph.blobs.items() if name in alive},
    )


def infer(graph: Graph, input_shapes: Mapping[str, Shape]) -> Graph:
    """Recompute every tensor's shape from the given input shapes, as Caffe's Reshape does.

    Raises ShapeError, naming the layer, where an operator does not accept its inputs.
    """
    tensors = dict(graph.tensors)
    for name, shape in input_shapes.items():
        tensors[name] = replace(tensors[name], shape=tuple(shape))
    for node in graph.nodes:
        found = infer_node(node, [tensors[name].shape for name in node.inputs])
        for name, shape in zip(node.outputs, found, strict=True):
            tensors[name] = replace(tensors[name], shape=shape)
    return replace(graph, tensors=tensors)


def infer_node(node: Node, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """Output shapes of one node; ShapeError carries the node's name."""
    from demitasse.errors import ShapeError

    try:
        return node.op.infer_shapes(shapes, node.weights)
    except ShapeError as error:
        if error.layer is None:
            raise ShapeError(str(error), layer=node.name) from None
        raise
