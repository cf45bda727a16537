"""Element-wise functions of one variable."""

from __future__ import annotations

import numpy as np

from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Clip, Elu, Power, PRelu, Relu
from demitasse.converter.ops.activation import Activation
from demitasse.converter.ops.base import Operator

# The function that ONNX knows by the same name.
PLAIN = {"Abs": "Abs", "Sigmoid": "Sigmoid", "Tanh": "Tanh"}


def plain(step: Step, op: Operator) -> str:
    return step.add(PLAIN[type(op).__name__], step.inputs[0])


def relu(step: Step, op: Relu) -> str:
    return activated(step, step.inputs[0], op, len(step.shape))


def clip(step: Step, op: Clip) -> str:
    return activated(step, step.inputs[0], op, len(step.shape))


def prelu(step: Step, op: PRelu) -> str:
    return activated(step, step.inputs[0], op, len(step.shape))


def elu(step: Step, op: Elu) -> str:
    return step.add("Elu", step.inputs[0], alpha=op.alpha)


def power(step: Step, op: Power) -> str:
    base = step.scaled(step.inputs[0], op.scale, op.shift)
    return base if op.power == 1 else step.add("Pow", base, step.constant(op.power, "power"))


def activated(step: Step, y: str, activation: Activation | None, rank: int) -> str:
    """y after an activation of its own or one that was fused into the node; channels on axis 1."""
    if isinstance(activation, Relu):
        if activation.negative_slope == 0:
            return step.add("Relu", y)
        return step.add("LeakyRelu", y, alpha=activation.negative_slope)
    if isinstance(activation, Clip):
        low, high = step.constant(activation.low, "low"), step.constant(activation.high, "high")
        return step.add("Clip", y, low, high)
    if isinstance(activation, PRelu):
        return step.add("PRelu", y, step.constant(_slope(step.weights["slope"], rank), "slope"))
    return y


def _slope(slope: np.ndarray, rank: int) -> np.ndarray:
    """One slope a channel broadcasts from the last axis: it needs an axis for each behind it."""
    return slope.reshape(-1, *(1,) * (rank - 2)) if slope.size > 1 else slope.reshape(1)
