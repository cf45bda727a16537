"""Element-wise functions of one variable."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import (
    Clip,
    Elu,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PRelu,
    Relu,
    Swish,
    Threshold,
)
from demitasse.converter.ops.activation import Activation
from demitasse.converter.ops.base import Operator

# What ONNX calls it.
PLAIN = {"Abs": "Abs", "Bnll": "Softplus", "Sigmoid": "Sigmoid", "Tanh": "Tanh"}


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


def exponential(step: Step, op: Exp) -> str:
    factor, rate = op.terms()
    return step.scaled(step.add("Exp", step.scaled(step.inputs[0], rate)), factor)


def logarithm(step: Step, op: Log) -> str:
    inside = step.scaled(step.inputs[0], op.scale, op.shift)
    return step.scaled(step.add("Log", inside), op.factor())


def threshold(step: Step, op: Threshold) -> str:
    above = step.add("Greater", step.inputs[0], step.constant(op.threshold, "threshold"))
    return step.add("Cast", above, to=TensorProto.FLOAT)


def swish(step: Step, op: Swish) -> str:
    x = step.inputs[0]
    return step.add("Mul", x, step.add("Sigmoid", step.scaled(x, op.beta)))


def mish(step: Step, op: Mish) -> str:
    x = step.inputs[0]
    return step.add("Mul", x, step.add("Tanh", step.add("Softplus", x)))


def hard_swish(step: Step, op: HardSwish) -> str:
    x = step.inputs[0]
    return step.add("Mul", x, step.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))


def hard_sigmoid(step: Step, op: HardSigmoid) -> str:
    return step.add("HardSigmoid", step.inputs[0], alpha=op.alpha, beta=op.beta)


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
