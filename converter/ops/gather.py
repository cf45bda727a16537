"""Operators that pick values by an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, canonical_axis, off_batch, require


@dataclass(frozen=True, slots=True)
class Gather(Operator):
    """The slices of input 0 along `axis` at the indices of input 1, or of the weight
    indices (K,). What is no index counts as the nearest one, NaN as 0."""

    axis: int = 0

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("indices",) if inputs == 1 else ()

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return len(shapes) == 1 and off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(inputs[0]))
        indices = inputs[1] if len(inputs) > 1 else weights["indices"].shape
        require(len(indices) == 1, f"indices of shape {indices}, expected one axis")
        return ((*inputs[0][:axis], *indices, *inputs[0][axis + 1 :]),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        indices = inputs[1] if len(inputs) > 1 else weights["indices"]
        found = whole_indices(indices, inputs[0].shape[self.axis])
        return (np.take(inputs[0], found, self.axis),)


@dataclass(frozen=True, slots=True)
class Reverse(Operator):
    """The other way round along `axis`."""

    axis: int = 0

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        canonical_axis(self.axis, len(inputs[0]))
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (np.flip(inputs[0], self.axis),)


@dataclass(frozen=True, slots=True)
class Embed(Operator):
    """Row x of a table, for each element x of the input: a new last axis of `channels`.

    Weights: table (rows, channels), bias (channels,) or none. What is no row counts as the
    nearest one, NaN as 0.
    """

    rows: int
    channels: int

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("table",)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return ((*inputs[0], self.channels),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        y = weights["table"].astype(np.float32)[whole_indices(inputs[0], self.rows)]
        return (y + weights["bias"].astype(np.float32) if "bias" in weights else y,)


def whole_indices(x: np.ndarray, size: int) -> np.ndarray:
    """Values as indices of an axis: cut to whole numbers inside it, NaN to 0."""
    return np.clip(np.nan_to_num(x, nan=0.0, posinf=size, neginf=0.0), 0, size - 1).astype(np.int64)
