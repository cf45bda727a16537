"""Drop nodes that only copy: Split, Dropout at test time."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Identity


def drop_identities(graph: Graph) -> Graph:
    """Let the consumers of an Identity read its input.

    A copy stays where the value is an output of the network already: each output is a tensor of
    its own.
    """
    ends = set(graph.outputs)
    source: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(source.get(name, name) for name in node.inputs))
        if not isinstance(node.op, Identity):
            nodes.append(node)
            continue
        (value,) = node.inputs
        for name in node.outputs:
            if name in ends and value in ends:
                nodes.append(_copy(node, name))
                continue
            source[name] = value
            if name in ends:
                ends.add(value)
    return _reroute(graph, nodes, source)


def _copy(node: Node, name: str) -> Node:
    """The Identity that writes one of the outputs of `node`."""
    unique = node.name if len(node.outputs) == 1 else f"{node.name}.{name}"
    return replace(node, name=unique, op=Identity(), outputs=(name,))


def _reroute(graph: Graph, nodes: list[Node], source: dict[str, str]) -> Graph:
    outputs = tuple(source.get(name, name) for name in graph.outputs)
    blobs = {key: source.get(name, name) for key, name in graph.blobs.items()}
    # An output keeps the name that it had: other names of the same value would hide it.
    own = graph.output_keys()
    blobs = {k: t for k, t in blobs.items() if t not in outputs or "@" in k or k in own}
    return rebuild(replace(graph, outputs=outputs, blobs=blobs), nodes)
