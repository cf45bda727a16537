"""LSTM and RNN."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import Lstm, Rnn
from demitasse.quantizer.float_reference.base import F, Inputs, sigmoid, tanh


def _add(z: np.ndarray, matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """z + matrix * x, one column after the other; x (N, columns), z (N, rows)."""
    for column, values in zip(matrix.T.astype(np.float32), x.T, strict=True):
        z = z + values[:, None] * column
    return z


def _gates(step: np.ndarray, static: np.ndarray | None, h: np.ndarray, w: Arrays) -> np.ndarray:
    z = np.tile(w["bias"].astype(np.float32), (len(step), 1))
    z = _add(z, w["input"], step)
    if static is not None:
        z = _add(z, w["static"], static)
    return _add(z, w["hidden"], h)


def lstm(op: Lstm, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x, cont, static, (h, c) = op.parts(inputs)
    rows = []
    for step, keep in zip(x, cont[..., None], strict=True):
        z = _gates(step, static, keep * h, weights)
        i, f, o, g = np.split(z, 4, axis=1)
        c = np.where(keep == 0, F(0), keep * sigmoid(f)) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        rows.append(h)
    return np.stack(rows + [c] * (op.expose > 0))


def rnn(op: Rnn, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x, cont, static, (h,) = op.parts(inputs)
    rows = []
    for step, keep in zip(x, cont[..., None], strict=True):
        h = tanh(_gates(step, static, keep * h, weights))
        y = np.tile(weights["output_bias"].astype(np.float32), (len(step), 1))
        rows.append(tanh(_add(y, weights["output"], h)))
    return np.stack(rows + [h] * (op.expose > 0))
