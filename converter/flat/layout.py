"""Where tensors stand: buffers, and views over them.

Every tensor is a strided view of a buffer. Operators that only move values (Slice, Crop,
Permute, Reshape, Expand, Concat) become views wherever strides can express them, and a tensor that
is joined with others is computed in place inside the joined buffer. An expanded axis has stride 0:
such a view is only ever read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

from demitasse.converter.graph import Graph, Node, Shape
from demitasse.converter.ops import Concat, Crop, Expand, Flatten, Permute, Reshape, Slice
from demitasse.converter.ops.base import canonical_axis


@dataclass(frozen=True, slots=True)
class View:
    """Strides and offset in elements over a named buffer."""

    buffer: str
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0

    def spans_buffer(self) -> bool:
        """Whether the view covers a whole, gapless buffer of its own size."""
        return self.offset == 0 and self.extent() == prod(self.shape) and not self.repeats()

    def repeats(self) -> bool:
        """Whether elements of the view share a place."""
        return any(s > 1 and step == 0 for s, step in zip(self.shape, self.strides, strict=True))

    def extent(self) -> int:
        """Elements from the view's first to its last, both included."""
        axes = zip(self.shape, self.strides, strict=True)
        return 1 + sum((size - 1) * stride for size, stride in axes)

    def same_place(self, other: View) -> bool:
        """Whether two views of one shape address the same elements."""
        strides = zip(self.shape, self.strides, other.strides, strict=True)
        return (self.buffer, self.offset) == (other.buffer, other.offset) and all(
            ours == theirs for size, ours, theirs in strides if size != 1
        )


def default_strides(shape: Shape) -> tuple[int, ...]:
    """Channels-last for rank 4, else dense in Caffe's order."""
    if len(shape) == 4:
        _, c, h, w = shape
        return (h * w * c, 1, w * c, c)
    return dense_strides(shape)


def dense_strides(shape: Shape) -> tuple[int, ...]:
    """Row-major strides in elements."""
    return tuple(accumulate((1, *shape[:0:-1]), lambda a, b: a * b))[::-1] if shape else ()


def assign(graph: Graph) -> dict[str, View]:
    """The view of every tensor over outermost buffers: as few copies as strides allow."""
    placed: dict[str, View] = {}
    views = _views(graph, placed)
    for node in reversed(graph.nodes):
        if isinstance(node.op, Concat):
            views = _place_inputs(graph, node, views, placed)
    return {name: _resolve(view, placed) for name, view in views.items()}


def join_regions(node: Node, inputs: list[View], joined: View) -> list[View]:
    """The part of a Concat's output that belongs to each input."""
    assert isinstance(node.op, Concat)
    axis = canonical_axis(node.op.axis, len(joined.shape))
    regions = []
    first = 0
    for view in inputs:
        offset = joined.offset + first * joined.strides[axis]
        regions.append(replace(joined, shape=view.shape, offset=offset))
        first += view.shape[axis]
    return regions


def _resolve(view: View, placed: dict[str, View]) -> View:
    """The view with nested buffers replaced by the outermost one."""
    while view.buffer in placed:
        host = placed[view.buffer]
        view = replace(view, buffer=host.buffer, offset=view.offset + host.offset)
    return view


def _views(graph: Graph, placed: dict[str, View]) -> dict[str, View]:
    """Every tensor's view, given where some buffers have been placed."""
    views: dict[str, View] = {}
    for name in graph.inputs:
        shape = graph.tensors[name].shape
        views[name] = View(name, shape, default_strides(shape))
    for node in graph.nodes:
        shapes = graph.shapes(node.outputs)
        moved = moved_views(node, [views[name] for name in node.inputs], shapes)
        for name, shape, view in zip(node.outputs, shapes, moved, strict=True):
            if view is None or (name in graph.outputs and view.repeats()):
                strides = placed[name].strides if name in placed else default_strides(shape)
                view = View(name, shape, strides)
            views[name] = view
    return views


def moved_views(node: Node, inputs: list[View], shapes: Sequence[Shape]) -> list[View | None]:
    """Views of the outputs of an operator that only moves values; None where it must write."""
    op = node.op
    if not inputs:
        return [None] * len(shapes)
    source = inputs[0]
    if isinstance(op, Slice):
        axis = canonical_axis(op.axis, len(source.shape))
        starts = [first for first, _ in op.bounds(source.shape)]
        return [
            replace(source, shape=shape, offset=source.offset + first * source.strides[axis])
            for shape, first in zip(shapes, starts, strict=True)
        ]
    if isinstance(op, Crop):
        window = op.window(source.shape, inputs[1].shape)
        cuts = zip(window, source.strides, strict=True)
        offset = source.offset + sum(cut.start * stride for cut, stride in cuts)
        return [replace(source, shape=shapes[0], offset=offset)]
    if isinstance(op, Expand):
        axes = zip(source.shape, shapes[0], source.strides, strict=True)
        strides = tuple(step if own == size else 0 for own, size, step in axes)
        return [replace(source, shape=shapes[0], strides=strides)]
    if isinstance(op, Permute):
        order = op.full_order(len(source.shape))
        strides = tuple(source.strides[axis] for axis in order)
        return [replace(source, shape=shapes[0], strides=strides)]
    if isinstance(op, Reshape | Flatten):
        steps = reshape_strides(source.shape, source.strides, shapes[0])
        return [None if steps is None else replace(source, shape=shapes[0], strides=steps)]
    return [None] * len(shapes)


def reshape_strides(shape: Shape, strides: tuple[int, ...], new: Shape) -> tuple[int, ...] | None:
    """Strides of the reshaped view, or None where it needs a copy."""
    axes = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    result: list[int] = []
    i = 0
    pending, stride = 1, 1  # what is left of the current run of mergeable source axes
    for size in new:
        if size == 1:
            result.append(1)
            continue
        while pending % size:  # merge further source axes until this one divides
            if i == len(axes):
                return None
            if pending > 1 and stride != axes[i][0] * axes[i][1]:
                return None
            pending *= axes[i][0]
            stride = axes[i][1]
            i += 1
        pending //= size
        result.append(stride * pending)
    return tuple(result)


def _place_inputs(
    graph: Graph, node: Node, views: dict[str, View], placed: dict[str, View]
) -> dict[str, View]:
    """Compute what this Concat joins directly inside its buffer, where possible."""
    output = node.outputs[0]
    regions = join_regions(node, [views[name] for name in node.inputs], views[output])
    for name, region in zip(node.inputs, regions, strict=True):
        view = views[name]
        root = view.buffer
        if root in placed or root in graph.inputs or not _alike(graph, root, output):
            continue
        whole = prod(view.shape) == prod(views[root].shape)
        if (
            whole
            and view.spans_buffer()
            and view.same_place(replace(region, buffer=root, offset=0))
        ):
            placed[root] = replace(region, shape=views[root].shape, strides=views[root].strides)
        elif name == root:
            placed[root] = region
        views = _views(graph, placed)
    return views


def _alike(graph: Graph, a: str, b: str) -> bool:
    """Whether two tensors store values in the same way."""
    first, second = graph.tensors[a], graph.tensors[b]
    return (first.dtype, first.quant) == (second.dtype, second.quant)
