"""Drop nodes that only copy: Split, Dropout at test time."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Identity


def drop_identities(graph: Graph) -> Graph:
    """Let the consumers of an Identity read its input."""
    source: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(source.get(name, name) for name in node.inputs))
        if isinstance(node.op, Identity):
            source.update(dict.fromkeys(node.outputs, node.inputs[0]))
        else:
            nodes.append(node)
    return _reroute(graph, nodes, source)


def _reroute(graph: Graph, nodes: list[Node], source: dict[str, str]) -> Graph:
    outputs = tuple(source.get(name, name) for name in graph.outputs)
    blobs = {key: source.get(name, name) for key, name in graph.blobs.items()}
    return rebuild(replace(graph, outputs=outputs, blobs=blobs), nodes)
