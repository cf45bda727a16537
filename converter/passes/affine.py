"""Fold BatchNorm, Scale, Bias and linear Power along the blob graph, where that is exact.

Each of them is an affine map y = a * x + b with one (a, b) per channel of axis 1. It folds into
the weighted node that feeds it if nobody else reads that node, else into the weighted node that
it feeds if nobody else reads it, and zero padding allows. What cannot fold and was a BatchNorm
becomes a Scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import BatchNorm, Bias, Conv2d, Deconv2d, InnerProduct, Power, Scale


@dataclass(frozen=True, slots=True)
class Affine:
    """y = a * x + b, in float64: a and b have one value, or one per channel of axis 1."""

    a: np.ndarray
    b: np.ndarray

    def after(self, first: Affine) -> Affine:
        """This map applied to the result of `first`."""
        return Affine(self.a * first.a, self.a * first.b + self.b)


def fold_affine(graph: Graph) -> Graph:
    """Fold every affine node that can be folded exactly; what stays of BatchNorm is a Scale."""
    folded = _fold_once(graph)
    return graph if folded is graph else fold_affine(folded)


def _fold_once(graph: Graph) -> Graph:
    """One sweep in file order; the same object where nothing could be folded."""
    folds = 0
    nodes: dict[str, Node] = {node.name: node for node in graph.nodes}
    order = [node.name for node in graph.nodes]
    for name in order:
        if name not in nodes or (affine := affine_of(graph, nodes[name])) is None:
            continue
        current = rebuild(graph, [nodes[n] for n in order if n in nodes])
        changed = _fold(current, nodes[name], affine)
        if changed:
            folds += 1
            del nodes[name]
            nodes.update({node.name: node for node in changed})
        elif isinstance(nodes[name].op, BatchNorm):
            folds += 1
            nodes[name] = as_scale(graph, nodes[name], affine)
    return rebuild(graph, [nodes[n] for n in order if n in nodes]) if folds else graph


def affine_of(graph: Graph, node: Node) -> Affine | None:
    """The affine map of a node along axis 1; None where it is none."""
    w, op = node.weights, node.op
    rank = len(graph.tensors[node.inputs[0]].shape) if node.inputs else 0
    missing = set(op.required_weights(len(node.inputs))) - set(w)
    if missing or len(node.inputs) != 1 or rank < 2:
        return None
    if isinstance(op, BatchNorm):
        a = 1 / np.sqrt(w["variance"].astype(np.float64) + op.eps)
        return Affine(a, -w["mean"].astype(np.float64) * a)
    if isinstance(op, Power) and op.power == 1:
        return Affine(np.array([op.scale]), np.array([op.shift]))
    if isinstance(op, Scale | Bias):
        values = w["scale"] if isinstance(op, Scale) else w["bias"]
        if values.ndim > 0 and (values.ndim > 1 or op.axis % rank != 1):
            return None
        a = np.atleast_1d(w["scale"].astype(np.float64)) if "scale" in w else np.ones(values.size)
        b = np.atleast_1d(w["bias"].astype(np.float64)) if "bias" in w else np.zeros(values.size)
        return Affine(a, b)
    return None


def _fold(graph: Graph, node: Node, affine: Affine) -> list[Node] | None:
    """The nodes to replace (by name) so that `node` can go; None where it must stay."""
    (before,), (after,) = node.inputs, node.outputs
    producer = graph.producers().get(before)
    if producer is not None and _only_reader(graph, before, node):
        folded = _fold_into_producer(graph, producer, affine)
        if folded is not None:
            origin = producer.origin + node.origin
            return [replace(folded, outputs=(after,), origin=origin)]
    readers = graph.consumers().get(after, [])
    if len(readers) == 1 and _only_reader(graph, after, readers[0]):
        folded = _fold_into_consumer(graph, readers[0], before, affine)
        if folded is not None:
            origin = node.origin + readers[0].origin
            return [replace(folded, inputs=(before,), origin=origin)]
    return None


def _only_reader(graph: Graph, tensor: str, node: Node) -> bool:
    return tensor not in graph.outputs and graph.consumers()[tensor] == [node]


def _fold_into_producer(graph: Graph, node: Node, affine: Affine) -> Node | None:
    """`node` followed by the map: the weights of output channel o times a[o]."""
    first = affine_of(graph, node)
    if first is not None:
        return as_scale(graph, node, affine.after(first))
    if not isinstance(node.op, Conv2d | Deconv2d | InnerProduct) or node.op.activation is not None:
        return None
    if isinstance(node.op, InnerProduct) and node.op.axis != 1 and affine.a.size > 1:
        return None
    channels = node.op.channels
    a, b = np.broadcast_to(affine.a, channels), np.broadcast_to(affine.b, channels)
    weight = node.weights["weight"].astype(np.float64)
    if isinstance(node.op, Deconv2d):  # (C, O / groups, kh, kw)
        inputs = weight.shape[0]
        scale = np.repeat(a.reshape(node.op.groups, -1), inputs // node.op.groups, axis=0)
        weight = weight * scale[:, :, None, None]
    else:
        weight = weight * a.reshape(-1, *(1,) * (weight.ndim - 1))
    bias = node.weights.get("bias", np.zeros(channels, np.float32)) * a + b
    return _with_weights(node, weight, bias)


def _fold_into_consumer(graph: Graph, node: Node, source: str, affine: Affine) -> Node | None:
    """The map followed by `node`: the weights of input channel i times a[i]."""
    op = node.op
    if "weight" not in node.weights or not isinstance(op, Conv2d | InnerProduct):
        return None
    shape = graph.tensors[source].shape
    if isinstance(op, InnerProduct) and op.axis != 1 and affine.a.size > 1:
        return None
    if isinstance(op, Conv2d) and any(op.pads) and np.any(affine.b):
        return None  # padding zeros are not mapped to b
    inputs = shape[1]
    a, b = np.broadcast_to(affine.a, inputs), np.broadcast_to(affine.b, inputs)
    weight = node.weights["weight"].astype(np.float64)
    if isinstance(op, InnerProduct):
        repeat = weight.shape[1] // inputs if op.axis == 1 else 1
        a, b = (np.resize(np.repeat(v, repeat), weight.shape[1]) for v in (a, b))
        extra = weight @ b
        weight = weight * a
    else:
        group = inputs // op.groups
        a, b = (
            np.repeat(v.reshape(op.groups, group), op.channels // op.groups, axis=0) for v in (a, b)
        )
        extra = np.einsum("oihw,oi->o", weight, b)
        weight = weight * a[:, :, None, None]
    bias = node.weights.get("bias", np.zeros(op.channels, np.float32)) + extra
    return _with_weights(node, weight, bias)


def _with_weights(node: Node, weight: np.ndarray, bias: np.ndarray) -> Node:
    arrays = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
    return replace(node, weights={**node.weights, **arrays})


def as_scale(graph: Graph, node: Node, affine: Affine) -> Node:
    """The node as a Scale along axis 1."""
    channels = graph.tensors[node.inputs[0]].shape[1]
    weights = {
        "scale": np.broadcast_to(affine.a, channels).astype(np.float32),
        "bias": np.broadcast_to(affine.b, channels).astype(np.float32),
    }
    return replace(node, op=Scale(axis=1), weights=weights)
