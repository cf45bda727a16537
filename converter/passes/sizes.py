"""Sizes that another tensor gives, as numbers: a compiled network's shapes stand."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Expand, Operator, Resize


def fix_sizes(graph: Graph) -> Graph:
    """Let nothing read a tensor for its shape; drop what was computed for that alone."""
    nodes = [_fixed(graph, node) for node in graph.nodes]
    if all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return graph
    wanted = set(graph.outputs)
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
    return rebuild(graph, [node for node in nodes if wanted.intersection(node.outputs)])


def _fixed(graph: Graph, node: Node) -> Node:
    if not isinstance(node.op, Resize | Expand) or len(node.inputs) == 1:
        return node
    shape = graph.tensors[node.outputs[0]].shape
    op: Operator = Expand(shape)
    if isinstance(node.op, Resize):
        height, width = shape[2:]
        op = replace(node.op, size=(height, width))
    return replace(node, op=op, inputs=node.inputs[:1])
