"""Cancel and merge Permute, Reshape and Flatten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Expand, Flatten, Identity, Permute, Reshape
from demitasse.converter.passes.identity import drop_identities


def cancel_layout(graph: Graph) -> Graph:
    """Merge runs of Reshape/Flatten and of Permute; drop those that change nothing."""
    nodes: dict[str, Node] = {}
    producer: dict[str, Node] = {}
    for node in graph.nodes:
        node = _merged(graph, node, producer.get(node.inputs[0]) if node.inputs else None)
        if _changes_nothing(graph, node):
            node = replace(node, op=Identity(), inputs=node.inputs[:1], weights={})
        nodes[node.name] = node
        producer.update(dict.fromkeys(node.outputs, node))
    return drop_identities(without_dead_moves(graph, list(nodes.values())))


def _merged(graph: Graph, node: Node, before: Node | None) -> Node:
    """`node` reading directly what the node before it reads, where both only move values."""
    if before is None:
        return node
    origin = before.origin + node.origin
    if isinstance(node.op, Reshape | Flatten) and isinstance(before.op, Reshape | Flatten):
        dims = graph.tensors[node.outputs[0]].shape
        return replace(node, op=Reshape(dims), inputs=before.inputs, origin=origin)
    if isinstance(node.op, Permute) and isinstance(before.op, Permute):
        rank = len(graph.tensors[node.inputs[0]].shape)
        first, second = before.op.full_order(rank), node.op.full_order(rank)
        order = tuple(first[a] for a in second)
        return replace(node, op=Permute(order), inputs=before.inputs, origin=origin)
    return node


def _changes_nothing(graph: Graph, node: Node) -> bool:
    if isinstance(node.op, Permute):
        rank = len(graph.tensors[node.inputs[0]].shape)
        return node.op.full_order(rank) == tuple(range(rank))
    if isinstance(node.op, Reshape | Flatten | Expand):
        before, after = (graph.tensors[n].shape for n in (node.inputs[0], node.outputs[0]))
        return before == after
    return False


def without_dead_moves(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """Drop nodes that only move values and whose result nobody reads."""
    alive = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        movable = isinstance(node.op, Permute | Reshape | Flatten | Expand | Identity)
        if movable and not alive & set(node.outputs):
            continue
        alive.update(node.inputs)
        kept.append(node)
    return rebuild(graph, kept[::-1])
