"""Element-wise combination of several inputs."""

from __future__ import annotations

from demitasse.converter.caffe.emit.activation import activated
from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Symbol, Value
from demitasse.converter.ops import Eltwise


def eltwise(step: Step, op: Eltwise) -> None:
    fields: dict[str, Value] = {"operation": Symbol(op.kind.upper())}
    if any(coefficient != 1 for coefficient in op.coefficients):
        fields["coeff"] = op.coefficients
    step.layer("Eltwise", "eltwise_param", fields)
    activated(step, op.activation)
