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
        ends = (size - end for size in step.shape[2:])
        x = step.add(
            "Slice",
            x,
            step.integers((begin, begin), "starts"),
            step.integers(ends, "ends"),
            step.integers((2, 3), "axes"),
        )
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
