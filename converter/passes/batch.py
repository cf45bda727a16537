"""One sample: a model file holds batch 1 unless a layer mixes or indexes the batch axis."""

from __future__ import annotations

from demitasse.converter.graph import Graph, Node, Shape, infer
from demitasse.converter.ops import Concat, Crop, Permute, Scale, Slice, Softmax
from demitasse.converter.ops.norm import Bias
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
        _keeps_batch(node, graph.shapes(node.inputs))
        and all(
            batch[0] in batches and one[0] == 1 and batch[1:] == one[1:]
            for batch, one in zip(
                graph.shapes(node.outputs), single.shapes(node.outputs), strict=True
            )
        )
        for node in graph.nodes
    )
    return single if keeps else graph


def _keeps_batch(node: Node, shapes: tuple[Shape, ...]) -> bool:
    """Whether output sample n depends on input sample n alone."""
    op, rank = node.op, len(shapes[0])
    if any(not shape for shape in shapes):
        return False
    if isinstance(op, Permute):
        return op.full_order(rank)[0] == 0
    if isinstance(op, Scale | Bias):
        return op.axis % rank != 0 or len(node.inputs) == 2
    if isinstance(op, Concat | Slice | Softmax | Crop):
        return op.axis % rank != 0
    return True
