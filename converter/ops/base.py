"""What every operator says about itself, and the helpers that their references share."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.errors import ShapeError


class Operator:
    """Base of the frozen dataclasses in this package.

    A subclass is the definition that every back end must agree with: its fields, its output
    shapes, its cost, and `reference`, plain float32 NumPy.
    """

    __slots__ = ()

    shape_only: ClassVar[bool] = False  # the outputs depend on the inputs' shapes alone

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        """Whether output sample n depends on input sample n alone, given the inputs' shapes."""
        return True

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        """Shapes of the outputs. Raises ShapeError where Caffe would refuse."""
        return (inputs[0],)

    def capacity(self, inputs: Sequence[Shape]) -> int | None:
        """The most rows (axis 2) of an output that has as many as a run finds; None for others."""
        return None

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        """Keys without which the operator cannot run, given its number of inputs."""
        return ()

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        """Multiply-accumulates of one run (0 for what is not counted by convention)."""
        return 0

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        """The outputs, computed in float32."""
        raise NotImplementedError(type(self).__name__)


def require(condition: bool, message: str) -> None:
    """Raise ShapeError unless the condition holds."""
    if not condition:
        raise ShapeError(message)


def canonical_axis(axis: int, rank: int) -> int:
    """Caffe's axis rule: negative axes count from the end."""
    require(-rank <= axis < rank, f"axis {axis} is outside a blob of {rank} axes")
    return axis % rank


def off_batch(axis: int, rank: int) -> bool:
    """Whether an axis is another than the first, which holds the samples."""
    return axis % rank != 0


def count(shape: Shape) -> int:
    """Number of elements."""
    return prod(shape)
