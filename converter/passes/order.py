"""Clamps come before the max pooling that feeds them."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, Tensor, rebuild
from demitasse.converter.ops import Clip, Conv2d, Deconv2d, Pool2d, Relu
from demitasse.converter.ops.pool import spans


def clamp_before_pooling(graph: Graph) -> Graph:
    """Swap a max pooling and the ReLU or Clip behind it, where the clamp can then be fused.

    The largest of clamped values is the largest value, clamped, bit by bit. Fused it costs nothing
    and spares integers the range of what it cuts off.
    """
    nodes = {node.name: node for node in graph.nodes}
    producers, readers = graph.producers(), graph.consumers()
    tensors = dict(graph.tensors)

    def only_reader(name: str) -> bool:
        return len(readers[name]) == 1 and name not in graph.outputs

    for node in graph.nodes:
        pool = producers.get(node.inputs[0]) if node.inputs else None
        if pool is None or not _is_clamp(node) or not _is_full(pool, graph):
            continue
        (source,) = pool.inputs
        host = producers.get(source)
        if host is None or not _fuses(host):
            continue
        if not only_reader(source) or not only_reader(pool.outputs[0]):
            continue
        clamped = f"{source}/{node.name}"
        tensors[clamped] = Tensor(clamped, tensors[source].shape)
        nodes[pool.name] = replace(node, inputs=(source,), outputs=(clamped,))
        nodes[node.name] = replace(pool, inputs=(clamped,), outputs=node.outputs)
    return rebuild(replace(graph, tensors=tensors), list(nodes.values()))


def _is_clamp(node: Node) -> bool:
    return isinstance(node.op, Clip) or node.op == Relu()


def _fuses(host: Node) -> bool:
    return isinstance(host.op, Conv2d | Deconv2d) and host.op.activation is None


def _is_full(pool: Node, graph: Graph) -> bool:
    """Whether it is a max pooling each of whose windows holds a value."""
    op = pool.op
    if not isinstance(op, Pool2d) or op.kind != "max":
        return False
    (source,), (result,) = graph.shapes(pool.inputs), graph.shapes(pool.outputs)
    axes = zip(source[2:], result[2:], *op.window(source), strict=True)
    return all(first < end for axis in axes for first, end, _ in spans(*axis))
