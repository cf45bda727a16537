"""One sample: a model file holds batch 1 unless a layer mixes or indexes the batch axis."""

from __future__ import annotations

from demitasse.converter.graph import Graph, Node, infer
from demitasse.converter.ops import Constant
from demitasse.errors import ShapeError


def single_sample(graph: Graph) -> Graph:
    """Set dimension 0 to 1 everywhere; unchanged where that would change what is computed."""
    shapes = {name: graph.tensors[name].shape for name in graph.inputs}
    batches = {shape[0] for shape in shapes.values() if shape}
    if batches in (set(), {1}) or len(batches) != 1:
        return graph
    try:
        single = infer(graph, {name: (1, *shape[1:]) for name, shape in shapes.items()})
    except ShapeError:
        return graph
    keeps = all(
        isinstance(node.op, Constant) or _keeps_batch(node, graph, single) for node in graph.nodes
    )
    return single if keeps else graph


def _keeps_batch(node: Node, graph: Graph, single: Graph) -> bool:
    """Whether the node does to one sample what it does to each of many."""
    inputs = graph.shapes(node.inputs)
    if any(not shape for shape in inputs) or not node.op.per_sample(inputs):
        return False
    if node.op.capacity(inputs) is not None:
        return True
    many = graph.tensors[graph.inputs[0]].shape[:1]
    return all(
        batch == (*many, *one[1:]) and one[:1] == (1,)
        for batch, one in zip(graph.shapes(node.outputs), single.shapes(node.outputs), strict=True)
    )
