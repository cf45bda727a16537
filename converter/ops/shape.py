"""Operators that move values without computing: views and copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, canonical_axis, count, off_batch, require


@dataclass(frozen=True, slots=True)
class Identity(Operator):
    """One or more copies of the input (Split, Dropout at test time)."""

    copies: int = 1

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return (inputs[0],) * self.copies

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (inputs[0],) * self.copies


@dataclass(frozen=True, slots=True)
class Concat(Operator):
    """Join inputs along `axis`."""

    axis: int = 1

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(inputs[0]))
        for shape in inputs[1:]:
            same = len(shape) == len(inputs[0]) and all(
                a == b for i, (a, b) in enumerate(zip(shape, inputs[0], strict=True)) if i != axis
            )
            require(same, f"cannot join shapes {inputs[0]} and {shape} along axis {axis}")
        joined = list(inputs[0])
        joined[axis] = sum(shape[axis] for shape in inputs)
        return (tuple(joined),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (np.concatenate(inputs, self.axis),)


@dataclass(frozen=True, slots=True)
class Slice(Operator):
    """Cut along `axis` into `parts` at `points`; without points the parts are equal."""

    parts: int
    axis: int = 1
    points: tuple[int, ...] = ()

    def bounds(self, shape: Shape) -> list[tuple[int, int]]:
        """First and past-last index of each part."""
        size = shape[canonical_axis(self.axis, len(shape))]
        if self.points:
            require(
                len(self.points) == self.parts - 1,
                f"{len(self.points)} slice points for {self.parts} tops",
            )
            edges = [0, *self.points, size]
            require(
                all(a < b for a, b in pairwise(edges)),
                f"slice points {self.points} must increase inside 0..{size}",
            )
        else:
            require(
                size % self.parts == 0,
                f"axis of {size} does not split into {self.parts} equal parts",
            )
            edges = list(range(0, size + 1, size // self.parts))
        return list(pairwise(edges))

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(inputs[0]))
        shape = inputs[0]
        return tuple((*shape[:axis], b - a, *shape[axis + 1 :]) for a, b in self.bounds(shape))

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        prefix = (slice(None),) * canonical_axis(self.axis, x.ndim)
        cuts = [(*prefix, slice(a, b)) for a, b in self.bounds(x.shape)]
        return tuple(x[cut] for cut in cuts)


@dataclass(frozen=True, slots=True)
class Reshape(Operator):
    """Caffe's Reshape: `dims` replace `num_axes` axes from `axis` on (0 copies, -1 infers)."""

    dims: tuple[int, ...]
    axis: int = 0
    num_axes: int = -1

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        shape = inputs[0]
        start = self.axis if self.axis >= 0 else len(shape) + self.axis + 1
        require(
            0 <= start <= len(shape), f"axis {self.axis} is outside a blob of {len(shape)} axes"
        )
        end = len(shape) if self.num_axes == -1 else start + self.num_axes
        require(
            start <= end <= len(shape),
            f"{self.num_axes} axes from axis {start} exceed shape {shape}",
        )
        require(self.dims.count(-1) <= 1, f"reshape {self.dims} has more than one -1")
        middle = []
        for i, dim in enumerate(self.dims):
            require(
                dim != 0 or start + i < len(shape),
                f"reshape dim {i} copies an axis that {shape} lacks",
            )
            middle.append(shape[start + i] if dim == 0 else dim)
        result = [*shape[:start], *middle, *shape[end:]]
        if -1 in result:
            known = count(tuple(d for d in result if d != -1))
            require(
                known > 0 and count(shape) % known == 0, f"cannot reshape {shape} to {self.dims}"
            )
            result[result.index(-1)] = count(shape) // known
        require(count(tuple(result)) == count(shape), f"cannot reshape {shape} to {tuple(result)}")
        return (tuple(result),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (inputs[0].reshape(self.infer_shapes([inputs[0].shape], {})[0]),)


@dataclass(frozen=True, slots=True)
class Flatten(Operator):
    """Merge axes axis ... end_axis into one."""

    axis: int = 1
    end_axis: int = -1

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        shape = inputs[0]
        start, end = (canonical_axis(a, len(shape)) for a in (self.axis, self.end_axis))
        require(start <= end, f"flatten axis {self.axis} lies behind end_axis {self.end_axis}")
        return ((*shape[:start], count(shape[start : end + 1]), *shape[end + 1 :]),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (inputs[0].reshape(self.infer_shapes([inputs[0].shape], {})[0]),)


@dataclass(frozen=True, slots=True)
class Expand(Operator):
    """Repeat axes of one element until the shape is `shape` (0: the input's size), or that of a
    second input, which gives only its shape."""

    shape: tuple[int, ...] = ()

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        wanted = inputs[1] if len(inputs) > 1 else self.shape
        require(len(wanted) == len(inputs[0]), f"cannot expand {inputs[0]} to {wanted}")
        shape = tuple(size or own for size, own in zip(wanted, inputs[0], strict=True))
        fits = all(own in (1, size) for size, own in zip(shape, inputs[0], strict=True))
        require(fits, f"cannot expand {inputs[0]} to {wanted}")
        return (shape,)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        (shape,) = self.infer_shapes([x.shape for x in inputs], {})
        return (np.broadcast_to(inputs[0], shape),)


@dataclass(frozen=True, slots=True)
class Permute(Operator):
    """Reorder axes: output axis i is input axis order[i]."""

    order: tuple[int, ...]

    def full_order(self, rank: int) -> tuple[int, ...]:
        """The order with the axes that it leaves out appended in ascending order."""
        require(
            len(set(self.order)) == len(self.order) and all(0 <= a < rank for a in self.order),
            f"permute order {self.order} does not fit a blob of {rank} axes",
        )
        return (*self.order, *(a for a in range(rank) if a not in self.order))

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return self.full_order(len(shapes[0]))[0] == 0

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return (tuple(inputs[0][a] for a in self.full_order(len(inputs[0]))),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (np.transpose(inputs[0], self.full_order(inputs[0].ndim)),)


@dataclass(frozen=True, slots=True)
class Crop(Operator):
    """Cut input 0 to input 1's size from `axis` on, starting at `offsets` (one, or one per axis).

    The second input gives only its shape.
    """

    axis: int = 2
    offsets: tuple[int, ...] = ()

    def window(self, shape: Shape, reference: Shape) -> tuple[slice, ...]:
        """The region of input 0 that is kept."""
        axis = canonical_axis(self.axis, len(shape))
        require(
            len(reference) >= len(shape), f"crop of {shape} by a reference of shape {reference}"
        )
        require(
            len(self.offsets) in (0, 1, len(shape) - axis),
            f"{len(self.offsets)} crop offsets for {len(shape) - axis} axes",
        )
        window = [slice(0, size) for size in shape[:axis]]
        for i in range(axis, len(shape)):
            offset = 0
            if self.offsets:
                offset = self.offsets[0 if len(self.offsets) == 1 else i - axis]
            require(
                offset + reference[i] <= shape[i],
                f"crop of axis {i} to {offset + reference[i]} exceeds its size {shape[i]}",
            )
            window.append(slice(offset, offset + reference[i]))
        return tuple(window)

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return (tuple(s.stop - s.start for s in self.window(inputs[0], inputs[1])),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (inputs[0][self.window(inputs[0].shape, inputs[1].shape)],)
