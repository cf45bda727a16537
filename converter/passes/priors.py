"""Keep constant priors with the weights: a detection then reads them where the file has them."""

from __future__ import annotations

from dataclasses import replace

from demitasse.converter.graph import Graph, Node, rebuild
from demitasse.converter.ops import Constant, DetectionOutput


def absorb_priors(graph: Graph) -> Graph:
    """Make the constant third input of each DetectionOutput its weight `prior`."""
    constants = {n.outputs[0]: n for n in graph.nodes if isinstance(n.op, Constant)}
    nodes = [_absorbed(node, constants) for node in graph.nodes]
    read = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    return rebuild(graph, [n for n in nodes if n.inputs or n.outputs[0] in read])


def _absorbed(node: Node, constants: dict[str, Node]) -> Node:
    if not isinstance(node.op, DetectionOutput) or node.inputs[-1] not in constants:
        return node
    prior = constants[node.inputs[-1]].weights["value"]
    return replace(node, inputs=node.inputs[:2], weights={"prior": prior})
