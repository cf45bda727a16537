"""A value that no input changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require


@dataclass(frozen=True, slots=True)
class Constant(Operator):
    """No inputs. Weights: value, of the output's shape."""

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("value",)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require("value" in weights, "a constant needs its value")
        return (weights["value"].shape,)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (weights["value"].astype(np.float32),)
