"""Element-wise combination of several inputs of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.activation import Activation, activate
from demitasse.converter.ops.base import Operator, require


@dataclass(frozen=True, slots=True)
class Eltwise(Operator):
    """Sum with coefficients, product or maximum of two or more inputs; no broadcasting."""

    kind: str = "sum"  # "sum", "prod" or "max"
    coefficients: tuple[float, ...] = ()  # one per input, sum only; empty means all 1
    activation: Activation | None = None

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs) >= 2, "element-wise operation needs at least two inputs")
        for shape in inputs[1:]:
            require(shape == inputs[0], f"inputs differ in shape: {inputs[0]} and {shape}")
        require(
            len(self.coefficients) in (0, len(inputs)),
            f"{len(self.coefficients)} coefficients for {len(inputs)} inputs",
        )
        require(not self.coefficients or self.kind == "sum", "coefficients need operation SUM")
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        if self.kind == "sum":
            coefficients = self.coefficients or (1.0,) * len(inputs)
            y = sum(np.float32(c) * x for c, x in zip(coefficients, inputs, strict=True))
        else:
            y = reduce(np.multiply if self.kind == "prod" else np.maximum, inputs)
        return (activate(self.activation, np.asarray(y, np.float32), weights),)
