"""Operators that make one value of many, or of a few the largest."""

from __future__ import annotations

from onnx import TensorProto

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.gather import reversed_along
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import ArgMax, Reduce
from demitasse.converter.ops.base import canonical_axis

KINDS = {"sum": "ReduceSum", "asum": "ReduceL1", "sumsq": "ReduceSumSquare", "mean": "ReduceMean"}


def reduce(step: Step, op: Reduce) -> str:
    rank = len(step.shape)
    axes = range(canonical_axis(op.axis, rank), rank)
    y = versions.reduce(step, KINDS[op.kind], step.inputs[0], axes, keep=False)
    return step.scaled(y, op.coefficient)


def arg_max(step: Step, op: ArgMax) -> str:
    """Of equal values ONNX takes the first: it sees the axis from behind."""
    axis = canonical_axis(op.axis, len(step.shape))
    count = step.integers([op.top_k], "count")
    values, places = step.add_many("TopK", (reversed_along(step, axis), count), 2, axis=axis)
    if op.values:
        return values
    last = step.constant(step.shape[axis] - 1, "last")
    return step.add("Sub", last, step.add("Cast", places, to=TensorProto.FLOAT))
