"""Parameter records of what works element by element."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.format import NONE
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import (
    NEGATIVE,
    REQUANTIZE,
    clamp_of,
    is_float,
    node_of,
    weights_of,
)
from demitasse.converter.ops import (
    Abs,
    Bias,
    Bnll,
    Clip,
    Eltwise,
    Elu,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PRelu,
    Relu,
    Scale,
    Sigmoid,
    Swish,
    Tanh,
    Threshold,
)


def eltwise(step: Step, sections: Sections) -> bytes:
    op, count = node_of(step).op, len(step.inputs)
    assert isinstance(op, Eltwise)
    if is_float(step):
        coefficients = op.coefficients or (1.0,) * count
        records = b"".join(struct.pack("<fII", c, 0, 0) for c in coefficients)
        return clamp_of(step) + struct.pack("<II", 0, 0) + records
    w = weights_of(step)
    multiplier, left, right = (
        np.broadcast_to(np.atleast_1d(w[key]), count).tolist() for key in REQUANTIZE
    )
    records = b"".join(
        struct.pack("<iII", *record) for record in zip(multiplier, left, right, strict=True)
    )
    return clamp_of(step) + struct.pack("<II", left[0], right[0]) + records


def rescale(step: Step, sections: Sections) -> bytes:
    w = weights_of(step)
    slopes = NEGATIVE[0] in w
    arrays = [np.atleast_1d(w[key]).astype(np.int32) for key in REQUANTIZE]
    if slopes:
        arrays += [np.atleast_1d(w[key]).astype(np.int32) for key in NEGATIVE]
    count = max(array.size for array in arrays)
    return struct.pack("<III", count, sections.arrays(arrays, count), int(slopes)) + clamp_of(step)


def lookup(step: Step, sections: Sections) -> bytes:
    table = weights_of(step)["table"]
    bits = 8 if table.itemsize == 1 else (table.size - 1).bit_length() - 1
    if table.itemsize == 2:
        assert table.size == 2**bits + 1
    return struct.pack("<III", sections.tensor(table), table.nbytes, bits)


UNARY: dict[type, Callable[..., tuple[int, float, float, float]]] = {
    Relu: lambda op: (0, op.negative_slope, 0, 0),
    Clip: lambda op: (1, op.low, op.high, 0),
    Elu: lambda op: (2, op.alpha, 0, 0),
    Sigmoid: lambda op: (3, 0, 0, 0),
    Tanh: lambda op: (4, 0, 0, 0),
    Abs: lambda op: (5, 0, 0, 0),
    Power: lambda op: (6, op.power, op.scale, op.shift),
    PRelu: lambda op: (7, 0, 0, 0),
    Exp: lambda op: (8, *op.terms(), 0),
    Log: lambda op: (9, op.factor(), op.scale, op.shift),
    Bnll: lambda op: (10, 0, 0, 0),
    Threshold: lambda op: (11, op.threshold, 0, 0),
    Swish: lambda op: (12, op.beta, 0, 0),
    Mish: lambda op: (13, 0, 0, 0),
    HardSwish: lambda op: (14, 0, 0, 0),
    HardSigmoid: lambda op: (15, op.alpha, op.beta, 0),
}


def unary(step: Step, sections: Sections) -> bytes:
    count, channels = 0, 0
    if isinstance(node_of(step).op, PRelu):
        slope = weights_of(step)["slope"].astype(np.float32)
        count, channels = slope.size, sections.arrays([slope], slope.size)
    function = UNARY[type(node_of(step).op)](node_of(step).op)
    return struct.pack("<I3fII", *function, count, channels)


def scale(step: Step, sections: Sections) -> bytes:
    op, w = node_of(step).op, weights_of(step)
    assert isinstance(op, Scale | Bias)
    rank = len(step.inputs[0].view.shape)
    second = 0
    shapes = [w[key].shape for key in ("scale", "bias") if key in w]
    if len(step.inputs) == 2:
        second = 1 if isinstance(op, Scale) else 2
        shapes.append(step.inputs[1].view.shape)
    offsets = [
        sections.arrays([w[key].astype(np.float32)], w[key].size) if key in w else NONE
        for key in ("scale", "bias")
    ]
    span = max(len(shape) for shape in shapes)
    axis = op.axis % rank if span else 0
    return struct.pack("<5I", axis, span, *offsets, second)
