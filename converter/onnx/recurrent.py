"""LSTM and RNN, unrolled: ONNX's own have no input that breaks sequences off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Lstm, Rnn
from demitasse.converter.ops.recurrent import Recurrent


def lstm(step: Step, op: Lstm) -> str:
    h, c = _states(step, op)
    hidden = _transposed(step, "hidden")
    rows = []
    for z, keep in _steps(step, op):
        before = step.add("MatMul", step.add("Mul", keep, h), hidden)
        gates = versions.split(step, step.add("Add", z, before), (op.channels,) * 4, 2)
        i, f, o = (step.add("Sigmoid", gate) for gate in gates[:3])
        kept = step.add("Mul", f, step.add("Mul", keep, c))
        c = step.add("Add", kept, step.add("Mul", i, step.add("Tanh", gates[3])))
        h = step.add("Mul", o, step.add("Tanh", c))
        rows.append(h)
    return _joined(step, rows + [c] * (op.expose > 0))


def rnn(step: Step, op: Rnn) -> str:
    (h,) = _states(step, op)
    hidden = _transposed(step, "hidden")
    rows = []
    for z, keep in _steps(step, op):
        before = step.add("MatMul", step.add("Mul", keep, h), hidden)
        h = step.add("Tanh", step.add("Add", z, before))
        rows.append(h)
    y = step.add("MatMul", _joined(step, rows), _transposed(step, "output"))
    y = step.add("Tanh", step.add("Add", y, step.weight("output_bias")))
    return _joined(step, [y, h]) if op.expose else y


def _steps(step: Step, op: Recurrent) -> Iterator[tuple[str, str]]:
    """For each step what does not depend on the one before (1, N, rows), and cont (1, N, 1)."""
    length = step.shape[0]
    z = step.add("MatMul", step.inputs[0], _transposed(step, "input"))
    z = step.add("Add", z, step.weight("bias"))
    if op.static:
        z = step.add("Add", z, step.add("MatMul", step.inputs[2], _transposed(step, "static")))
    cont = step.reshape(step.inputs[1], (*step.shapes[1], 1))
    if length == 1:
        return iter([(z, cont)])
    each = (versions.split(step, value, (1,) * length, 0) for value in (z, cont))
    return zip(*each, strict=True)


def _states(step: Step, op: Recurrent) -> list[str]:
    """The first states (1, N, H)."""
    given = step.inputs[2 + op.static :]
    if given:
        return list(given)
    zero = step.constant(np.zeros((1, step.shape[1], op.channels)), "start")
    return [zero] * op.states()


def _transposed(step: Step, key: str) -> str:
    return step.constant(step.weights[key].T, key)


def _joined(step: Step, rows: list[str]) -> str:
    return rows[0] if len(rows) == 1 else step.add("Concat", *rows, axis=0)
