"""What the families share: where an operator stands, what it becomes, and its requantization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from demitasse.converter.graph import Arrays, Node, Quantization, Tensor
from demitasse.converter.ops import Activation, Clip, Operator, PRelu, Relu
from demitasse.errors import UnsupportedError
from demitasse.quantizer.requantize import Multipliers, multiplier, round_half_up, rq
from demitasse.quantizer.scheme import RANGES
from demitasse.quantizer.weights import WeightPlan


@dataclass(frozen=True, slots=True)
class Site:
    """A float node and the integer tensors that it shall read and write."""

    node: Node
    inputs: tuple[Tensor, ...]
    output: Tensor
    plan: WeightPlan = field(default_factory=WeightPlan)
    reach: tuple[float, float] | None = None  # the real range of the first input, where known

    @property
    def precision(self) -> str:
        """int8 or int16."""
        return self.output.dtype

    def become(self, op: Operator, weights: Arrays) -> Built:
        """The node with another operator and integer constants."""
        return Built((replace(self.node, op=op, weights=dict(weights)),))


@dataclass(frozen=True, slots=True)
class Built:
    """What a node becomes: integer nodes, and the tensors between them."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One run of an integer node: stored values (int64) and the tensors that they belong to."""

    node: Node
    values: Sequence[np.ndarray]
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def op(self) -> Any:
        """The operator; each family knows its classes."""
        return self.node.op

    def centred(self, index: int = 0) -> np.ndarray:
        """x - zero_point of an input."""
        return self.values[index] - quantization(self.inputs[index]).zero_point

    def clamp(self, steps: np.ndarray) -> np.ndarray:
        """clamp(zero_point + steps, low, high) as the node says."""
        zero_point = quantization(self.output).zero_point
        return np.clip(zero_point + steps, self.weight("low"), self.weight("high"))

    def weight(self, key: str) -> np.ndarray:
        """One constant of the node, int64."""
        return np.asarray(self.node.weights[key], np.int64)


def quantization(tensor: Tensor) -> Quantization:
    """The quantization of an integer tensor."""
    assert tensor.quant is not None, tensor.name
    return tensor.quant


def clamp_weights(output: Tensor, activation: Activation | None = None) -> dict[str, np.ndarray]:
    """low and high of an output with a fused activation: its real clamp, in codes."""
    low, high = RANGES[output.dtype]
    bottom, top = float("-inf"), float("inf")
    if isinstance(activation, Clip):
        bottom, top = activation.low, activation.high
    elif isinstance(activation, Relu) and activation.negative_slope == 0.0:
        bottom = 0.0
    quant = quantization(output)
    ends = np.clip(np.array([bottom, top]) / quant.scale, -1e9, 1e9)
    codes = np.clip(quant.zero_point + round_half_up(ends), low, high)
    return {"low": np.int32(codes[0]), "high": np.int32(codes[1])}


def slope_of(activation: Activation | None, weights: Arrays) -> np.ndarray | None:
    """The slopes below zero of a leaky ReLU or PReLU, (1,) or (C,); None of what has none."""
    if isinstance(activation, PRelu):
        return np.asarray(weights["slope"], np.float64).ravel()
    if isinstance(activation, Relu) and activation.negative_slope != 0.0:
        return np.array([np.float32(activation.negative_slope)], np.float64)
    return None


def requantize_weights(
    real: np.ndarray, slope: np.ndarray | None, bound: int | None = None
) -> dict[str, np.ndarray]:
    """multiplier, left and right for real factors (n,); the negative three with slopes."""
    weights = multiplier(real, bound).arrays()
    if slope is not None:
        weights |= multiplier(real * slope, bound).arrays("negative_")
    count = max(array.size for array in weights.values())
    return {key: np.broadcast_to(array, count).copy() for key, array in weights.items()}


def requantize(call: Call, acc: np.ndarray) -> np.ndarray:
    """rq of accumulators whose axis 1 is the channels, and the clamp."""
    positive = rq(acc, *_per_channel(call, acc.ndim, ""))
    if "negative_multiplier" in call.node.weights:
        negative = rq(acc, *_per_channel(call, acc.ndim, "negative_"))
        positive = np.where(acc < 0, negative, positive)
    return call.clamp(positive)


def _per_channel(call: Call, rank: int, prefix: str) -> list[np.ndarray]:
    shape = (1, -1, *(1,) * (rank - 2)) if rank > 1 else (-1,)
    keys = ("multiplier", "left", "right")
    return [call.weight(f"{prefix}{key}").reshape(shape) for key in keys]


def without_slope(node: Node, activation: Activation | None) -> None:
    """Refuse an activation that the node's integer form cannot carry."""
    if slope_of(activation, node.weights) is not None:
        raise UnsupportedError("this operator takes no slope below zero", layer=node.name)


__all__ = [
    "Built",
    "Call",
    "Multipliers",
    "Site",
    "clamp_weights",
    "quantization",
    "requantize",
    "requantize_weights",
    "slope_of",
    "without_slope",
]
