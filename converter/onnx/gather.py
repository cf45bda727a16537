"""Operators that pick values by an index."""

from __future__ import annotations

from onnx import TensorProto

from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Embed, Gather, Reverse
from demitasse.converter.ops.base import canonical_axis


def gather(step: Step, op: Gather) -> str:
    axis = canonical_axis(op.axis, len(step.shape))
    if len(step.inputs) > 1:
        places = _indices(step, step.inputs[1], step.shape[axis])
    else:
        places = step.integers(step.weights["indices"], "indices")
    return step.add("Gather", step.inputs[0], places, axis=axis)


def embed(step: Step, op: Embed) -> str:
    places = _indices(step, step.inputs[0], op.rows)
    y = step.add("Gather", step.weight("table"), places, axis=0)
    return step.add("Add", y, step.weight("bias")) if "bias" in step.weights else y


def reverse(step: Step, op: Reverse) -> str:
    return reversed_along(step, canonical_axis(op.axis, len(step.shape)))


def reversed_along(step: Step, axis: int) -> str:
    """The input the other way round."""
    size = step.shape[axis]
    return step.add(
        "Slice",
        step.inputs[0],
        step.integers([size - 1], "start"),
        step.integers([-size - 1], "end"),
        step.integers([axis], "axis"),
        step.integers([-1], "back"),
    )


def _indices(step: Step, x: str, size: int) -> str:
    """Values as indices, as the operators' `whole_indices`; NaN is not greater than 0."""
    zero = step.constant(0, "zero")
    x = step.add("Where", step.add("Greater", x, zero), x, zero)
    return step.add(
        "Cast", step.add("Min", x, step.constant(size - 1, "last")), to=TensorProto.INT64
    )
