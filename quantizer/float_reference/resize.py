"""Resizing."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import Resize
from demitasse.converter.ops.resize import positions
from demitasse.quantizer.float_reference.base import F, Inputs


def resize(op: Resize, inputs: Inputs, weights: Arrays) -> np.ndarray:
    (shape,) = op.infer_shapes([x.shape for x in inputs], weights)
    y = op.cropped(inputs[0])
    for axis in (3, 2):
        first, rest, whole = positions(y.shape[axis], shape[axis], op.rule)
        second = np.minimum(first + 1, y.shape[axis] - 1)
        weight = (rest.astype(np.float32) / F(whole)).reshape(-1, *(1,) * (3 - axis))
        y = F(0) + y.take(first, axis) * (F(1) - weight) + y.take(second, axis) * weight
    return y
