"""Element-wise combination of several inputs."""

from __future__ import annotations

from functools import reduce

from demitasse.converter.onnx.activation import activated
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Eltwise


def eltwise(step: Step, op: Eltwise) -> str:
    if op.kind == "sum":
        y = _sum(step, op.coefficients or (1.0,) * len(step.inputs))
    elif op.kind == "prod":
        y = reduce(lambda a, b: step.add("Mul", a, b), step.inputs)
    else:
        y = step.add("Max", *step.inputs)
    return activated(step, y, op.activation, len(step.shape))


def _sum(step: Step, coefficients: tuple[float, ...]) -> str:
    """From the left, as the reference adds; a term with -1 is subtracted."""
    total = step.scaled(step.inputs[0], coefficients[0])
    for name, coefficient in zip(step.inputs[1:], coefficients[1:], strict=True):
        if coefficient == -1:
            total = step.add("Sub", total, name)
        else:
            total = step.add("Add", total, step.scaled(name, coefficient))
    return total
