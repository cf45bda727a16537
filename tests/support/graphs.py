"""Small random float graphs for the tests of passes and back ends, without the reader."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demitasse.converter.graph import Graph, Node, Tensor, infer_node
from demitasse.converter.ops.base import Operator


@dataclass
class Builder:
    """Adds one node at a time; weights are random unless given."""

    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)

    def input(self, name: str, *shape: int) -> str:
        self.tensors[name] = Tensor(name, shape)
        self.inputs.append(name)
        return name

    def add(self, op: Operator, *inputs: str, outputs: int = 1, **weights: np.ndarray) -> str:
        """Append a node; returns its output's name (or the first of several: name, name.1 ...)."""
        name = f"{type(op).__name__.lower()}{len(self.nodes)}"
        tops = (name, *(f"{name}.{i}" for i in range(1, outputs)))
        node = Node(name, op, inputs, tops, weights, (name,))
        shapes = infer_node(node, [self.tensors[x].shape for x in inputs])
        self.tensors.update({t: Tensor(t, s) for t, s in zip(tops, shapes, strict=True)})
        self.nodes.append(node)
        return name

    def random(self, *shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
        self.seed += 1
        return np.random.default_rng(self.seed).uniform(low, high, shape).astype(np.float32)

    def graph(self, *outputs: str) -> Graph:
        """The graph; outputs default to the tensors that nobody reads."""
        read = {name for node in self.nodes for name in node.inputs}
        unread = tuple(t for node in self.nodes for t in node.outputs if t not in read)
        return Graph(
            tuple(self.nodes),
            self.tensors,
            tuple(self.inputs),
            outputs or unread,
            {name: name for name in self.tensors},
        )

    def feed(self, graph: Graph) -> dict[str, np.ndarray]:
        """Random inputs of the graph."""
        return {name: self.random(*graph.tensors[name].shape) for name in graph.inputs}
