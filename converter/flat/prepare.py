"""Rewrites that the file format asks for, before tensors are laid out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops import (
    BatchNorm,
    Constant,
    Flatten,
    Gather,
    Identity,
    InnerProduct,
    Reshape,
    Reverse,
)
from demitasse.converter.ops.base import canonical_axis, count
from demitasse.converter.passes.affine import affine_of, as_scale
from demitasse.converter.passes.identity import drop_identities
from demitasse.converter.passes.layout import without_dead_moves
from demitasse.converter.passes.sizes import fix_sizes

HIDDEN = "%"  # names that start so never reach the user


def prepare(graph: Graph) -> Graph:
    """No Identity, BatchNorm, Reverse or PriorBox; every InnerProduct flattens rank 2 or 4 from
    axis 1; an output that has as many rows as a run finds has room for the most."""
    graph = _copy_passed_through(drop_identities(fix_sizes(graph)))
    tensors = dict(graph.tensors)
    producers = graph.producers()
    nodes: list[Node] = []
    for node in graph.nodes:
        shapes = [tensors[name].shape for name in node.inputs]
        rows = node.op.capacity(shapes)
        if rows is not None:
            (name,) = node.outputs
            tensors[name] = replace(tensors[name], shape=(1, 1, rows, tensors[name].shape[3]))
        if node.op.shape_only:
            blanks = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
            (value,) = node.op.reference(blanks, node.weights)
            nodes.append(replace(node, op=Constant(), inputs=(), weights={"value": value}))
        elif isinstance(node.op, BatchNorm) and (affine := affine_of(graph, node)) is not None:
            nodes.append(as_scale(graph, node, affine))
        elif isinstance(node.op, InnerProduct):
            nodes.extend(_inner_product(node, tensors, producers))
        elif isinstance(node.op, Reverse):
            indices = np.arange(shapes[0][node.op.axis])[::-1].astype(np.int32)
            nodes.append(replace(node, op=Gather(node.op.axis), weights={"indices": indices}))
        elif isinstance(node.op, Identity):  # a second output of the same value
            nodes.append(replace(node, op=Reshape(tensors[node.outputs[0]].shape)))
        else:
            nodes.append(node)
    return without_dead_moves(replace(graph, tensors=tensors), nodes)


def _inner_product(
    node: Node, tensors: dict[str, Tensor], producers: dict[str, Node]
) -> list[Node]:
    """The node, between reshapes where it flattens otherwise than an image or a row."""
    assert isinstance(node.op, InnerProduct)
    source = _before_flatten(node.inputs[0], tensors, producers)
    x = tensors[source]
    axis = canonical_axis(node.op.axis, len(tensors[node.inputs[0]].shape))
    if axis == 1 and len(x.shape) in (2, 4):
        return [replace(node, inputs=(source,))]
    x = tensors[node.inputs[0]]
    y = tensors[node.outputs[0]]
    rows = (count(x.shape[:axis]), count(x.shape[axis:]))
    before, after = f"{HIDDEN}{node.name}.rows", f"{HIDDEN}{node.name}.results"
    tensors[before] = replace(x, name=before, shape=rows)
    if len(y.shape) == 2:
        after = y.name
    else:
        tensors[after] = replace(y, name=after, shape=(rows[0], node.op.channels))
    steps = [
        Node(f"{node.name}.rows", Reshape(rows), (x.name,), (before,)),
        replace(node, op=replace(node.op, axis=1), inputs=(before,), outputs=(after,)),
    ]
    if after != y.name:
        steps.append(Node(f"{node.name}.results", Reshape(y.shape), (after,), (y.name,)))
    return steps


def _before_flatten(name: str, tensors: dict[str, Tensor], producers: dict[str, Node]) -> str:
    """The tensor whose flattening from axis 1 gives the rows of the rank-2 tensor `name`."""
    node = producers.get(name)
    if node is None or not isinstance(node.op, Flatten | Reshape):
        return name
    source = tensors[node.inputs[0]]
    rank_2 = len(tensors[name].shape) == 2
    same_rows = source.shape[:1] == tensors[name].shape[:1]
    return source.name if rank_2 and same_rows and len(source.shape) == 4 else name


def _copy_passed_through(graph: Graph) -> Graph:
    """An output that is an input (a net that only copies) becomes a tensor of its own."""
    nodes, tensors, blobs, outputs = list(graph.nodes), dict(graph.tensors), dict(graph.blobs), []
    for key, name in graph.output_keys().items():
        if name in graph.inputs:
            copy = f"{HIDDEN}{name}.copy"
            tensors[copy] = replace(tensors[name], name=copy)
            nodes.append(Node(copy, Reshape(tensors[name].shape), (name,), (copy,)))
            blobs[key] = name = copy
        outputs.append(name)
    return replace(graph, nodes=tuple(nodes), tensors=tensors, blobs=blobs, outputs=tuple(outputs))
