"""The parameter record of each opcode, float32 and integer (FORMAT.md, Opcodes)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from demitasse.converter.flat.blobs import Sections, pack, packing_of
from demitasse.converter.flat.format import NONE, Opcode
from demitasse.converter.flat.lower import Step
from demitasse.converter.graph import Node
from demitasse.converter.ops import (
    Abs,
    Bias,
    Clip,
    Conv2d,
    Deconv2d,
    Eltwise,
    Elu,
    InnerProduct,
    Lrn,
    Pool2d,
    Power,
    PRelu,
    Relu,
    Scale,
    Sigmoid,
    Softmax,
    Tanh,
)

REQUANTIZE = ("multiplier", "left", "right")
NEGATIVE = tuple(f"negative_{key}" for key in REQUANTIZE)


def encode(step: Step, sections: Sections) -> bytes:
    """The step's parameter record; its arrays go to `sections`."""
    return ENCODERS[step.opcode](step, sections)


def _none(step: Step, sections: Sections) -> bytes:
    return b""


def _is_float(step: Step) -> bool:
    return step.inputs[0].dtype == "float32"


def _node(step: Step) -> Node:
    """The node of a step that is no copy."""
    assert step.node is not None
    return step.node


def _weights(step: Step) -> dict[str, np.ndarray]:
    return dict(_node(step).weights)


def _clamp(step: Step) -> bytes:
    """low and high, in the operator's own numbers."""
    if not _is_float(step):
        w = _weights(step)
        return struct.pack("<ii", int(w["low"]), int(w["high"]))
    activation = getattr(_node(step).op, "activation", None)
    low, high = float("-inf"), float("inf")
    if isinstance(activation, Clip):
        low, high = activation.low, activation.high
    elif activation == Relu():
        low = 0.0
    return struct.pack("<ff", low, high)


def _convolution(step: Step, sections: Sections) -> bytes:
    op = _node(step).op
    weight = _taps_last(step)
    outputs, kh, kw, inputs = weight.shape
    groups = getattr(op, "groups", 1)
    packing = packing_of(inputs, outputs, groups)
    packed = pack(weight, groups, packing)
    arrays, slopes = _channel_arrays(step, weight)
    stride, dilation, pads = (
        getattr(op, "stride", (1, 1)),
        getattr(op, "dilation", (1, 1)),
        getattr(op, "pads", (0, 0, 0, 0)),
    )
    return struct.pack(
        "<14I",
        *(kh, kw, *stride, *dilation, *pads[:2], groups, packing),
        sections.tensor(packed),
        packed.nbytes,
        sections.arrays(arrays, outputs),
        slopes,
    ) + _clamp(step)


def _taps_last(step: Step) -> np.ndarray:
    """The weights as (O, kh, kw, I / groups)."""
    op, weight = _node(step).op, _weights(step)["weight"]
    if isinstance(op, InnerProduct):
        image = (*step.inputs[0].view.shape[1:], 1, 1)[:3]
        return weight.reshape(-1, *image).transpose(0, 2, 3, 1)
    if isinstance(op, Deconv2d):  # stored (C, O / groups, kh, kw)
        grouped = weight.reshape(op.groups, -1, *weight.shape[1:])
        return grouped.transpose(0, 2, 3, 4, 1).reshape(op.channels, *op.kernel, -1)
    assert isinstance(op, Conv2d)
    return weight.transpose(0, 2, 3, 1)


def _channel_arrays(step: Step, weight: np.ndarray) -> tuple[list[np.ndarray], int]:
    """The arrays behind `channels`, and whether there are slopes."""
    w, outputs = _weights(step), weight.shape[0]
    if _is_float(step):
        arrays = [np.asarray(w.get("bias", np.zeros(outputs)), np.float32)]
        slope = _slope(step)
        return (arrays, 0) if slope is None else ([*arrays, slope], 1)
    bias = w["bias"].astype(np.int64)
    quant = step.inputs[0].quant
    if step.opcode == Opcode.CONV and quant is not None and quant.zero_point:
        total = weight.astype(np.int64).sum(axis=(1, 2, 3))
        bias = bias - quant.zero_point * total
    slopes = NEGATIVE[0] in w
    keys = REQUANTIZE + (NEGATIVE if slopes else ())
    return [bias.astype(np.int32), *(w[key].astype(np.int32) for key in keys)], int(slopes)


def _slope(step: Step) -> np.ndarray | None:
    """The slope below zero of a fused leaky ReLU or PReLU."""
    activation = getattr(_node(step).op, "activation", None)
    if isinstance(activation, PRelu):
        return _weights(step)["slope"].astype(np.float32)
    if isinstance(activation, Relu) and activation.negative_slope:
        return np.array([activation.negative_slope], np.float32)
    return None


def _pool(step: Step, sections: Sections) -> bytes:
    op = _node(step).op
    assert isinstance(op, Pool2d)
    shape = step.inputs[0].view.shape
    kernel, stride, pads = op.window(shape)
    divisors, count, low, high = 0, 0, 0, 0
    if not _is_float(step) and step.opcode == Opcode.POOL_AVERAGE:
        w = _weights(step)
        table = np.asarray(w["divisors"], np.int32)
        divisors, count = sections.arrays([table.ravel()], table.size), len(table)
        low, high = int(w["low"]), int(w["high"])
    return struct.pack("<8Iii", *kernel, *stride, *pads, divisors, count, low, high)


def _eltwise(step: Step, sections: Sections) -> bytes:
    op, count = _node(step).op, len(step.inputs)
    assert isinstance(op, Eltwise)
    if _is_float(step):
        coefficients = op.coefficients or (1.0,) * count
        records = b"".join(struct.pack("<fII", c, 0, 0) for c in coefficients)
        return _clamp(step) + struct.pack("<II", 0, 0) + records
    w = _weights(step)
    multiplier, left, right = (
        np.broadcast_to(np.atleast_1d(w[key]), count).tolist() for key in REQUANTIZE
    )
    records = b"".join(
        struct.pack("<iII", *record) for record in zip(multiplier, left, right, strict=True)
    )
    return _clamp(step) + struct.pack("<II", left[0], right[0]) + records


def _rescale(step: Step, sections: Sections) -> bytes:
    w = _weights(step)
    slopes = NEGATIVE[0] in w
    arrays = [np.atleast_1d(w[key]).astype(np.int32) for key in REQUANTIZE]
    if slopes:
        arrays += [np.atleast_1d(w[key]).astype(np.int32) for key in NEGATIVE]
    count = max(array.size for array in arrays)
    return struct.pack("<III", count, sections.arrays(arrays, count), int(slopes)) + _clamp(step)


def _lookup(step: Step, sections: Sections) -> bytes:
    table = _weights(step)["table"]
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
}


def _unary(step: Step, sections: Sections) -> bytes:
    count, channels = 0, 0
    if isinstance(_node(step).op, PRelu):
        slope = _weights(step)["slope"].astype(np.float32)
        count, channels = slope.size, sections.arrays([slope], slope.size)
    function = UNARY[type(_node(step).op)](_node(step).op)
    return struct.pack("<I3fII", *function, count, channels)


def _scale(step: Step, sections: Sections) -> bytes:
    op, w = _node(step).op, _weights(step)
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


def _lrn(step: Step, sections: Sections) -> bytes:
    op = _node(step).op
    assert isinstance(op, Lrn)
    head = struct.pack(
        "<II3f", ("across", "within").index(op.region), op.size, op.alpha, op.beta, op.k
    )
    if _is_float(step):
        return head + bytes(32)
    w = _weights(step)
    return head + struct.pack(
        "<IIIiIIii",
        sections.tensor(w["table"].astype(np.int16)),
        *(int(w[key]) for key in ("bits", "shift", *REQUANTIZE, "low", "high")),
    )


def _softmax(step: Step, sections: Sections) -> bytes:
    op = _node(step).op
    assert isinstance(op, Softmax)
    return struct.pack("<I", op.axis % len(step.inputs[0].view.shape))


ENCODERS: dict[Opcode, Callable[[Step, Sections], bytes]] = {
    Opcode.CONV: _convolution,
    Opcode.DECONV: _convolution,
    Opcode.POOL_MAX: _pool,
    Opcode.POOL_AVERAGE: _pool,
    Opcode.SUM: _eltwise,
    Opcode.PROD: _eltwise,
    Opcode.MAX: _eltwise,
    Opcode.RESCALE: _rescale,
    Opcode.LOOKUP: _lookup,
    Opcode.UNARY: _unary,
    Opcode.SCALE: _scale,
    Opcode.LRN: _lrn,
    Opcode.SOFTMAX: _softmax,
    Opcode.COPY: _none,
    Opcode.QUANTIZE: _none,
    Opcode.DEQUANTIZE: _none,
}
