"""Evaluate what no input changes: nodes over constants, and those that only look at shapes."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Graph, Node, Shape, rebuild
from demitasse.converter.ops import Constant


def fold_constants(graph: Graph) -> Graph:
    """Replace such nodes by Constants, and drop those that nobody reads any more."""
    values: dict[str, np.ndarray] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if not _is_constant(node, values):
            nodes.append(node)
            continue
        inputs = [
            values[name] if name in values else _blank(graph.tensors[name].shape)
            for name in node.inputs
        ]
        results = node.op.reference(inputs, node.weights)
        for index, (name, value) in enumerate(zip(node.outputs, results, strict=True)):
            values[name] = np.asarray(value, np.float32, order="C")
            label = node.name if index == 0 else f"{node.name}.{index}"
            weights = {"value": values[name]}
            nodes.append(Node(label, Constant(), (), (name,), weights, node.origin))
    return rebuild(graph, _without_unread(graph, nodes))


def _is_constant(node: Node, values: dict[str, np.ndarray]) -> bool:
    if set(node.op.required_weights(len(node.inputs))) - set(node.weights):
        return False
    return node.op.shape_only or all(name in values for name in node.inputs)


def _blank(shape: Shape) -> np.ndarray:
    """An array that takes no memory, for who only looks at its shape."""
    return np.broadcast_to(np.float32(0), shape)


def _without_unread(graph: Graph, nodes: list[Node]) -> list[Node]:
    read = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    return [node for node in nodes if not isinstance(node.op, Constant) or node.outputs[0] in read]
