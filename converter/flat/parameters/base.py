"""What the parameter records of all families share."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.lower import Step
from demitasse.converter.graph import Node
from demitasse.converter.ops import Clip, Relu

REQUANTIZE = ("multiplier", "left", "right")
NEGATIVE = tuple(f"negative_{key}" for key in REQUANTIZE)


def is_float(step: Step) -> bool:
    return step.dtype == "float32"


def node_of(step: Step) -> Node:
    """The node of a step that is no copy."""
    assert step.node is not None
    return step.node


def weights_of(step: Step) -> dict[str, np.ndarray]:
    return dict(node_of(step).weights)


def clamp_of(step: Step) -> bytes:
    """low and high, in the operator's own numbers."""
    if not is_float(step):
        w = weights_of(step)
        return struct.pack("<ii", int(w["low"]), int(w["high"]))
    activation = getattr(node_of(step).op, "activation", None)
    low, high = float("-inf"), float("inf")
    if isinstance(activation, Clip):
        low, high = activation.low, activation.high
    elif activation == Relu():
        low = 0.0
    return struct.pack("<ff", low, high)
