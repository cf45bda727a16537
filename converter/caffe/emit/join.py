"""Several nodes that are one layer in Caffe: pooling and its mask, a blob that is repeated along
another to multiply it or to be added, an axis that is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from demitasse.converter import ops
from demitasse.converter.graph import Graph, Node, Shape, rebuild


@dataclass(frozen=True, slots=True)
class Tile(ops.Operator):
    """All along `axis`, again and again."""

    axis: int
    tiles: int


GATES = {ops.Eltwise("prod"): ops.Scale, ops.Eltwise("sum"): ops.Bias}


def join(graph: Graph) -> Graph:
    """The graph as it is written: a max pooling with its mask as second output, Scale and Bias
    with two inputs, Tile."""
    graph = _join_masks(graph)
    for node in graph.nodes:
        if node.op in GATES and len(node.inputs) == 2:
            graph = _join_gate(graph, node)
        elif isinstance(node.op, ops.Expand):
            graph = _join_tile(graph, node)
    return graph


def _join_masks(graph: Graph) -> Graph:
    pools = {(n.inputs, n.op): n.name for n in graph.nodes if isinstance(n.op, ops.Pool2d)}
    masks: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, ops.PoolMask) and (node.inputs, node.op.pool()) in pools:
            masks.setdefault(pools[node.inputs, node.op.pool()], node)
    gone = {node.name for node in masks.values()}
    nodes = []
    for node in graph.nodes:
        if node.name in masks:
            node = replace(node, outputs=node.outputs + masks[node.name].outputs)
        if node.name not in gone:
            nodes.append(node)
    return rebuild(graph, nodes)


def _join_gate(graph: Graph, node: Node) -> Graph:
    """x * Expand(gate, like x) as a Scale of x and the gate, a sum as a Bias; the same graph where
    the two do not fit. Caffe takes a gate that has some of x's axes, none of size 1 instead."""
    first, second = node.inputs
    for x, repeated in ((first, second), (second, first)):
        trail = _trail(graph, repeated)
        if not trail or trail[0].inputs[1:] != (x,):
            continue
        before, shape = [step.inputs[0] for step in trail], graph.tensors[x].shape
        for count in range(len(trail), 0, -1):  # the fewer reshapes the better
            gate = before[count - 1]
            axis = _span(graph.tensors[gate].shape, graph.tensors[before[0]].shape, shape)
            if axis is not None:
                joined = replace(node, inputs=(x, gate))
                return _with(graph, trail[:count], [], joined, axis)
        span = _block(graph.tensors[before[0]].shape, shape)
        if span is not None:
            axis, size = span
            same = axis == 0 and graph.tensors[before[-1]].shape[: len(size)] == size
            dims = (0,) * len(size) if same else size
            cut = replace(trail[0], op=ops.Reshape(dims), inputs=(before[-1],))
            tensors = {**graph.tensors, repeated: replace(graph.tensors[repeated], shape=size)}
            graph = replace(graph, tensors=tensors)
            return _with(graph, trail, [cut], replace(node, inputs=(x, repeated)), axis)
    return graph


def _trail(graph: Graph, tensor: str) -> list[Node]:
    """The Expand that makes the tensor for one reader, and the Reshapes that lead there alone."""
    made, readers = graph.producers(), graph.consumers()
    trail: list[Node] = []
    while tensor in made and len(readers[tensor]) == 1 and tensor not in graph.outputs:
        node = made[tensor]
        if not isinstance(node.op, ops.Reshape if trail else ops.Expand):
            break
        trail.append(node)
        tensor = node.inputs[0]
    return trail


def _span(gate: Shape, full: Shape, x: Shape) -> int | None:
    """Where in x the gate's axes stand, if it needs only 1s around to be `full`."""
    for axis in range(len(x) - len(gate) + 1):
        rest = len(x) - axis - len(gate)
        if (*(1,) * axis, *gate, *(1,) * rest) == full and x[axis:][: len(gate)] == gate:
            return axis
    return None


def _block(full: Shape, x: Shape) -> tuple[int, Shape] | None:
    """First axis and shape of what is left of `full` without the 1s around."""
    axes = [axis for axis, size in enumerate(full) if size != 1] or [0]
    first, last = axes[0], axes[-1] + 1
    return (first, full[first:last]) if full[first:last] == x[first:last] else None


def _with(graph: Graph, old: Sequence[Node], new: list[Node], node: Node, axis: int) -> Graph:
    """The graph with `node` as Scale or Bias, `new` before it and without `old`."""
    gone = {step.name for step in old}
    nodes: list[Node] = []
    for each in graph.nodes:
        if each.name == node.name:
            nodes += [*new, replace(node, op=GATES[node.op](axis))]  # type: ignore[index]
        elif each.name not in gone:
            nodes.append(each)
    return rebuild(graph, nodes)


def _join_tile(graph: Graph, node: Node) -> Graph:
    """An axis of one that is put before another, repeated, and merged with it."""
    made, readers = graph.producers(), graph.consumers()
    before, after = made.get(node.inputs[0]), readers.get(node.outputs[0], [])
    if before is None or not isinstance(before.op, ops.Reshape) or len(after) != 1:
        return graph
    alone = len(readers[node.inputs[0]]) == 1 and len(node.inputs) == 1
    inside = {node.inputs[0], node.outputs[0]}.isdisjoint(graph.outputs)
    if not alone or not inside or not isinstance(after[0].op, ops.Reshape | ops.Flatten):
        return graph
    x, apart, repeated = graph.shapes((before.inputs[0], node.inputs[0], node.outputs[0]))
    axes = [a for a, (one, many) in enumerate(zip(apart, repeated, strict=True)) if one != many]
    if len(axes) != 1 or axes[0] >= len(x):
        return graph
    axis, tiles = axes[0], repeated[axes[0]]
    whole = (*x[:axis], x[axis] * tiles, *x[axis + 1 :])
    if (*x[:axis], 1, *x[axis:]) != apart or graph.tensors[after[0].outputs[0]].shape != whole:
        return graph
    tile = replace(after[0], op=Tile(axis, tiles), inputs=before.inputs)
    gone = {before.name, node.name}
    nodes = [tile if n.name == tile.name else n for n in graph.nodes if n.name not in gone]
    return rebuild(graph, nodes)
