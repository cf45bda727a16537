"""Operators that make one value of many, or of a few the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, canonical_axis, count, off_batch, require


@dataclass(frozen=True, slots=True)
class Reduce(Operator):
    """The sum over axis `axis` and all behind it, times `coefficient`: of the values ("sum"), of
    their sizes ("asum"), of their squares ("sumsq"), or of the values divided by their number
    ("mean")."""

    kind: str = "sum"
    axis: int = 0
    coefficient: float = 1.0

    def factor(self, shape: Shape) -> np.float32:
        """By which the sum is multiplied."""
        size = count(shape[self.axis % len(shape) :]) if self.kind == "mean" else 1
        return np.float32(self.coefficient) / np.float32(size)

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return (inputs[0][: canonical_axis(self.axis, len(inputs[0]))],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        terms = {"asum": np.abs, "sumsq": np.square}.get(self.kind, np.asarray)(x)
        axes = tuple(range(self.axis % x.ndim, x.ndim))
        return (np.asarray(terms.sum(axes) * self.factor(x.shape), np.float32),)


@dataclass(frozen=True, slots=True)
class ArgMax(Operator):
    """Along `axis` the indices of the `top_k` largest values, or those `values`, in descending
    order; of equal ones the last comes first, as in Caffe. NaN counts as minus infinity."""

    axis: int = 1
    top_k: int = 1
    values: bool = False

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(inputs[0]))
        size = inputs[0][axis]
        require(1 <= self.top_k <= size, f"top_k {self.top_k} of {size} values")
        return ((*inputs[0][:axis], self.top_k, *inputs[0][axis + 1 :]),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = np.where(np.isnan(inputs[0]), -np.inf, inputs[0])
        backwards = np.argsort(-np.flip(x, self.axis), self.axis, kind="stable")
        order = x.shape[self.axis] - 1 - np.take(backwards, range(self.top_k), self.axis)
        chosen = np.take_along_axis(x, order, self.axis) if self.values else order
        return (chosen.astype(np.float32),)
