"""Fuse an activation into the node that feeds it."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Clip, Conv2d, Deconv2d, Eltwise, InnerProduct, PRelu, Relu


def fuse_activations(graph: Graph) -> Graph:
    """Move ReLU, leaky ReLU, Clip and PReLU into convolutions and their like.

    An Eltwise takes what is a clamp only. The host must have no other reader.
    """
    nodes: dict[str, Node] = {node.name: node for node in graph.nodes}
    host_of = {output: node.name for node in graph.nodes for output in node.outputs}
    readers = graph.consumers()
    for node in graph.nodes:
        if not isinstance(node.op, Relu | Clip | PRelu):
            continue
        (source,) = node.inputs
        host = nodes.get(host_of.get(source, ""))
        alone = len(readers[source]) == 1 and source not in graph.outputs
        if host is None or not alone or not _accepts(host, node):
            continue
        nodes[host.name] = replace(
            host,
            op=replace(host.op, activation=node.op),  # type: ignore[type-var]
            outputs=node.outputs,
            weights={**host.weights, **node.weights},
            origin=host.origin + node.origin,
        )
        del nodes[node.name]
        host_of[node.outputs[0]] = host.name
    return rebuild(graph, list(nodes.values()))


def _accepts(host: Node, node: Node) -> bool:
    if isinstance(host.op, Eltwise):
        clamp = isinstance(node.op, Clip) or node.op == Relu()
        return clamp and host.op.activation is None
    if isinstance(host.op, InnerProduct) and isinstance(node.op, PRelu) and host.op.axis != 1:
        return False
    return isinstance(host.op, Conv2d | Deconv2d | InnerProduct) and host.op.activation is None
