"""Detections and pooled regions: their definitions are exact but for the exponential function."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import PsRoiPool, RoiPool
from demitasse.converter.ops.detection import Detector
from demitasse.quantizer.float_reference.base import Inputs, exp


def detect(op: Detector, inputs: Inputs, weights: Arrays) -> np.ndarray:
    return op.detect(inputs, weights, exp)


def roi_pool(op: RoiPool | PsRoiPool, inputs: Inputs, weights: Arrays) -> np.ndarray:
    return op.reference(inputs, weights)[0]
