"""One node of the graph as its ONNX form sees it, and what the forms have written so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from demitasse.converter.caffe.wiring import Names
from demitasse.converter.graph import Graph, Node, Shape


@dataclass
class Parts:
    """The nodes and initializers of a model that is being written."""

    opset: int
    values: Names  # names of values and initializers
    labels: Names  # names of nodes
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def initializer(self, name: str, value: np.ndarray) -> str:
        """Add a constant; returns the name that it got."""
        name = self.values.unique(name)
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name


def taken(names: Iterable[str]) -> Names:
    """Names that are given already."""
    result = Names()
    for name in dict.fromkeys(names):
        result.unique(name)
    return result


class Step:
    """A node with the ONNX names of its inputs; `add` writes, and returns names of results.

    The value that a form returns is renamed to the node's output, and the ONNX node that makes it
    has the layer's name; every other node and value is named `layer/what it does`.
    """

    def __init__(self, parts: Parts, graph: Graph, node: Node, names: Mapping[str, str]) -> None:
        self._parts = parts
        self._node = node
        self._made: list[onnx.NodeProto] = []
        self.opset = parts.opset
        self.weights = node.weights
        self.inputs = tuple(names[name] for name in node.inputs)
        self.shapes = graph.shapes(node.inputs)
        self.output_shapes = graph.shapes(node.outputs)

    @property
    def shape(self) -> Shape:
        """The first input's shape."""
        return self.shapes[0]

    @property
    def output_shape(self) -> Shape:
        """The first output's shape."""
        return self.output_shapes[0]

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Write a node with one output."""
        return self.add_many(kind, inputs, 1, **attributes)[0]

    def add_many(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Write a node with several outputs."""
        label = f"{self._node.name}/{kind.lower()}"
        made = [self._parts.values.unique(label) for _ in range(outputs)]
        self._made.append(helper.make_node(kind, inputs, made, made[0], **attributes))
        return tuple(made)

    def weight(self, key: str) -> str:
        """One of the node's weights, as it is stored."""
        return self.constant(self.weights[key], key)

    def constant(self, value: np.ndarray | float, what: str) -> str:
        """A float32 initializer."""
        return self._parts.initializer(f"{self._node.name}.{what}", np.asarray(value, np.float32))

    def integers(self, values: Iterable[int] | np.ndarray, what: str) -> str:
        """An int64 initializer of one axis, or of the array's shape."""
        array = values if isinstance(values, np.ndarray) else np.array(list(values))
        return self._parts.initializer(f"{self._node.name}.{what}", array.astype(np.int64))

    def reshape(self, x: str, shape: Shape) -> str:
        """The values of x in another shape."""
        return self.add("Reshape", x, self.integers(shape, "shape"))

    def cut(self, x: str, window: Mapping[int, slice]) -> str:
        """The part of x that is inside the window of each axis."""
        return self.add(
            "Slice",
            x,
            self.integers((part.start for part in window.values()), "starts"),
            self.integers((part.stop for part in window.values()), "ends"),
            self.integers(window, "axes"),
        )

    def scaled(self, x: str, factor: float, offset: float = 0.0) -> str:
        """factor * x + offset, without the parts that change nothing."""
        if factor != 1:
            x = self.add("Mul", x, self.constant(factor, "factor"))
        if offset != 0:
            x = self.add("Add", x, self.constant(offset, "offset"))
        return x

    def finish(self, results: Sequence[str], outputs: Sequence[str]) -> None:
        """Hand the nodes over, with each result under the name of its output."""
        renamed: dict[str, str] = {}
        made = {name for node in self._made for name in node.output}
        for result, output in zip(results, outputs, strict=True):
            if result in made and result not in renamed:
                renamed[result] = output
            else:  # an input, a constant, or one value twice
                self._made.append(helper.make_node("Identity", [result], [output], output))
        labels = [self._node.name]
        for node in self._made:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
            main = bool(labels) and not set(outputs).isdisjoint(node.output)
            node.name = labels.pop() if main else self._parts.labels.unique(node.name)
        self._parts.nodes += self._made
