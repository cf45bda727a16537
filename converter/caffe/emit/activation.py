"""Functions of one variable."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Fields
from demitasse.converter.ops import (
    Clip,
    Elu,
    Exp,
    HardSigmoid,
    Log,
    Power,
    PRelu,
    Relu,
    Swish,
    Threshold,
)
from demitasse.converter.ops.activation import Activation
from demitasse.converter.ops.base import Operator

# Functions without fields, by the names of Caffe and, the last two, of forks.
PLAIN = {"Abs": "AbsVal", "Sigmoid": "Sigmoid", "Tanh": "TanH", "Bnll": "BNLL"}
PLAIN |= {"Mish": "Mish", "HardSwish": "HardSwish"}


def plain(step: Step, op: Operator) -> None:
    step.layer(PLAIN[type(op).__name__])


def relu(step: Step, op: Relu) -> None:
    step.layer(*_function(step, op))


def clip(step: Step, op: Clip) -> None:
    step.layer(*_function(step, op))


def prelu(step: Step, op: PRelu) -> None:
    step.layer(*_function(step, op), _slope(step))


def elu(step: Step, op: Elu) -> None:
    step.layer("ELU", "elu_param", {"alpha": op.alpha})


def power(step: Step, op: Power) -> None:
    fields = {"power": op.power, "scale": op.scale, "shift": op.shift}
    step.layer("Power", "power_param", fields)


def exponential(step: Step, op: Exp) -> None:
    step.layer("Exp", "exp_param", {"base": op.base, "scale": op.scale, "shift": op.shift})


def logarithm(step: Step, op: Log) -> None:
    step.layer("Log", "log_param", {"base": op.base, "scale": op.scale, "shift": op.shift})


def threshold(step: Step, op: Threshold) -> None:
    step.layer("Threshold", "threshold_param", {"threshold": op.threshold})


def swish(step: Step, op: Swish) -> None:
    step.layer("Swish", "swish_param", {"beta": op.beta} if op.beta != 1 else {})


def hard_sigmoid(step: Step, op: HardSigmoid) -> None:
    """A fork's layer."""
    step.layer("HardSigmoid", "hardsigmoid_param", {"alpha": op.alpha, "beta": op.beta})


def activated(step: Step, activation: Activation | None) -> None:
    """A fused activation: a layer that works in place on what the node has made."""
    if activation is not None:
        step.layer(
            *_function(step, activation),
            _slope(step) if isinstance(activation, PRelu) else (),
            inputs=step.outputs,
            label=step.last_origin,
        )


def _function(step: Step, op: Activation) -> tuple[str, str, Fields]:
    """Type, name of the message, message."""
    if isinstance(op, Clip):
        if (op.low, op.high) == (0, 6):
            return "ReLU6", "", {}
        return "Clip", "clip_param", {"min": op.low, "max": op.high}
    if isinstance(op, PRelu):
        shared = step.weights["slope"].size == 1 and step.output_shapes[0][1] != 1
        return "PReLU", "prelu_param", {"channel_shared": True} if shared else {}
    fields = {"negative_slope": op.negative_slope} if op.negative_slope else {}
    return "ReLU", "relu_param", fields


def _slope(step: Step) -> list[np.ndarray]:
    """One value a channel; the shared one has no axes in Caffe."""
    slope = step.weights["slope"]
    return [slope.reshape(()) if slope.size == 1 and step.output_shapes[0][1] != 1 else slope]
