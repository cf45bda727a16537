"""Bilinear resizing."""

from __future__ import annotations

import numpy as np

from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Resize


def resize(step: Step, op: Resize) -> str:
    """A second input gives only its shape: ONNX does not see it."""
    x = step.inputs[0]
    if any(op.crop):
        begin, end = op.crop
        x = step.cut(x, {axis: slice(begin, step.shape[axis] - end) for axis in (2, 3)})
    unsaid = "" if step.opset >= 13 else step.constant(np.zeros(0), "unsaid")
    size = step.integers(step.output_shape, "size")
    return step.add(
        "Resize",
        x,
        unsaid,
        unsaid,
        size,
        mode="linear",
        coordinate_transformation_mode=op.rule,
    )
