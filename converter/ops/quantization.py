"""Operators that appear when a graph is quantized.

Their arithmetic is defined in integers; the executable definition is `quantizer.reference`.
Integer nodes of any class carry their constants in `Node.weights`:

    weight, bias                 integers (int8 or int16; int32)
    multiplier, left, right      int32: requantize, one per channel or one for all
    negative_multiplier, ...     the same three for accumulators below zero
    low, high                    int32 scalars, the clamp of the output
"""

from __future__ import annotations

from dataclasses import dataclass

from demitasse.converter.ops.base import Operator


@dataclass(frozen=True, slots=True)
class Quantize(Operator):
    """float32 to int8 or int16: clamp(zero_point + floor(x * inv_s + 0.5)), NaN to zero_point."""


@dataclass(frozen=True, slots=True)
class Dequantize(Operator):
    """int8 or int16 to float32: float(q - zero_point) * scale."""


@dataclass(frozen=True, slots=True)
class Rescale(Operator):
    """rq(x - zero_point) for both signs: requantize, ReLU, clip, leaky ReLU or PReLU on integers.

    Weights: multiplier, left, right, low, high and, where the slope below zero differs,
    negative_multiplier, negative_left, negative_right; each one value or one per channel
    (axis 1). Input and output may differ in dtype.
    """


@dataclass(frozen=True, slots=True)
class Lookup(Operator):
    """A function of one variable as a table. Weights: table.

    int8: 256 entries indexed by x + 128. int16: 2**k + 1 entries and linear interpolation.
    `function` names what the table holds, for people.
    """

    function: str
