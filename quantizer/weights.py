"""Integer weights and biases, one scale per output channel (DESIGN: INT8, INT16).

A channel's scale is raised where its bias would not fit and where the accumulator could leave
int32 for some input: after that, no input makes it wrap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demitasse.quantizer.requantize import round_half_up
from demitasse.quantizer.scheme import RANGES
from demitasse.quantizer.weight_scales import METHODS

WEIGHT_LIMITS = {"int8": 127, "int16": 4095}
LIMIT_OF_4_BITS = 7
BIAS_LIMIT = 2**29
MIN_WEIGHT_SCALE = np.float32(2.0**-120)  # far from float32's subnormals

# INT16 sums blocks of 16 products exactly and adds each block >> 9 to the accumulator.
BLOCK = 16
BLOCK_SHIFT = 9
ACCUMULATOR_UNITS = {"int8": 1, "int16": 2**BLOCK_SHIFT}


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """How a node's weights become codes, as a table says; see `quantize_weights`.

    rounding: flat, in the order of the weights. bias: in place of the node's. means: of the
    channels of what the node reads; without a bias here the node's makes up for what they lose.
    """

    scale: np.ndarray | None = None
    method: str = "max"
    bits: int = 8
    rounding: np.ndarray | None = None
    bias: np.ndarray | None = None
    means: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """codes (O, K), bias (O,) int32 in accumulator units, scale (O,) float32."""

    codes: np.ndarray
    bias: np.ndarray
    scale: np.ndarray


def quantize_weights(
    weight: np.ndarray,
    bias: np.ndarray,
    input_scale: float,
    zero_point: int,
    precision: str,
    scale: np.ndarray | None = None,
    *,
    method: str = "max",
    bits: int = 8,
    rounding: np.ndarray | None = None,
) -> IntegerWeights:
    """Quantize weights (O, K) and biases (O,), float, for an input of the given quantization.

    scale: weight scales to start from, one per output channel, instead of those that `method` (of
    `weight_scales`) finds. bits: 4 for small int8 weights. rounding: what to add to the nearest
    codes, (O, K); a channel whose accumulator could then leave int32 keeps the nearest ones.
    """
    weight, bias = weight.astype(np.float64), bias.astype(np.float64)
    unit = float(input_scale) * ACCUMULATOR_UNITS[precision]
    limit = limit_of(precision, bits)
    if scale is None:
        found = METHODS[method](weight, limit)
        scale = _initial_scale(found, np.abs(bias).max(initial=0) / unit)
    scale = _at_least(scale.astype(np.float32), np.abs(bias) / (unit * BIAS_LIMIT))
    while True:
        result = _codes(weight, bias, scale, unit, limit, precision)
        bound = accumulator_bound(result.codes, result.bias, zero_point, precision)
        over = bound >= 2**31
        if not over.any():
            break
        wider = scale.astype(np.float64) * (bound / 2.0**31 * 1.001)
        scale = np.where(over, wider, scale).astype(np.float32)
    if rounding is None:
        return result
    codes = np.clip(result.codes.astype(np.int64) + rounding, -limit, limit).astype(precision)
    over = accumulator_bound(codes, result.bias, zero_point, precision) >= 2**31
    return replace(result, codes=np.where(over[:, None], result.codes, codes))


def limit_of(precision: str, bits: int) -> int:
    """The largest code of a weight."""
    return LIMIT_OF_4_BITS if bits == 4 else WEIGHT_LIMITS[precision]


def accumulator_bound(
    codes: np.ndarray, bias: np.ndarray, zero_point: int, precision: str
) -> np.ndarray:
    """What no input can make each channel's accumulator exceed in magnitude, int64 (O,)."""
    norm = np.abs(codes.astype(np.int64)).sum(axis=1)
    total = norm * largest_input(zero_point, precision)
    if precision == "int16":
        # rshr(block, 9) <= block / 2**9 + 1/2, and there are at most K blocks.
        total = (total >> BLOCK_SHIFT) + 1 + codes.shape[1] // 2 + 1
    return np.abs(bias.astype(np.int64)) + total


def largest_input(zero_point: int, precision: str) -> int:
    """The largest |q - zero_point|."""
    lowest, highest = RANGES[precision]
    return max(highest - zero_point, zero_point - lowest)


def _initial_scale(scale: np.ndarray, bias_steps: float) -> np.ndarray:
    """Scales in float32; an all-zero channel takes the tensor's largest."""
    # Without any weight, steps of 2**-16 of the largest bias.
    fallback = float(np.max(scale, initial=0.0)) or bias_steps * 2.0**-16 or 1.0
    scale = np.where(scale > 0, scale, fallback)
    return np.maximum(scale.astype(np.float32), MIN_WEIGHT_SCALE)


def _at_least(scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """float32 scales not below float64 minima."""
    raised = np.nextafter(minimum.astype(np.float32), np.float32(np.inf))
    return np.where(scale < minimum, raised, scale)


def _codes(
    weight: np.ndarray,
    bias: np.ndarray,
    scale: np.ndarray,
    unit: float,
    limit: int,
    precision: str,
) -> IntegerWeights:
    wide = scale.astype(np.float64)
    codes = np.clip(round_half_up(weight / wide[:, None]), -limit, limit)
    steps = np.clip(round_half_up(bias / (unit * wide)), -BIAS_LIMIT, BIAS_LIMIT)
    return IntegerWeights(codes.astype(precision), steps.astype(np.int32), scale)
