"""Operators that move values without computing."""

from __future__ import annotations

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import (
    Concat,
    Constant,
    Crop,
    Expand,
    Flatten,
    Identity,
    Permute,
    Reshape,
    Slice,
)
from demitasse.converter.ops.base import canonical_axis


def constant(step: Step, op: Constant) -> str:
    return step.weight("value")


def identity(step: Step, op: Identity) -> tuple[str, ...]:
    return step.inputs * op.copies


def concat(step: Step, op: Concat) -> str:
    return step.add("Concat", *step.inputs, axis=canonical_axis(op.axis, len(step.shape)))


def cut(step: Step, op: Slice) -> tuple[str, ...]:
    axis = canonical_axis(op.axis, len(step.shape))
    sizes = [last - first for first, last in op.bounds(step.shape)]
    return versions.split(step, step.inputs[0], sizes, axis)


def reshape(step: Step, op: Reshape) -> str:
    return step.reshape(step.inputs[0], step.output_shape)


def flatten(step: Step, op: Flatten) -> str:
    """ONNX's Flatten makes two axes; any other becomes a Reshape."""
    rank = len(step.shape)
    if (canonical_axis(op.axis, rank), canonical_axis(op.end_axis, rank)) == (1, rank - 1):
        return step.add("Flatten", step.inputs[0], axis=1)
    return step.reshape(step.inputs[0], step.output_shape)


def expand(step: Step, op: Expand) -> str:
    return step.add("Expand", step.inputs[0], step.integers(step.output_shape, "shape"))


def permute(step: Step, op: Permute) -> str:
    return step.add("Transpose", step.inputs[0], perm=op.full_order(len(step.shape)))


def crop(step: Step, op: Crop) -> str:
    """The second input gives only its shape, which is known: ONNX does not see it."""
    window = op.window(*step.shapes)
    kept = {a: part for a, part in enumerate(window) if part != slice(0, step.shape[a])}
    return step.cut(step.inputs[0], kept) if kept else step.inputs[0]
