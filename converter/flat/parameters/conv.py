"""Parameter records of convolutions."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import FOUR_BITS, Sections, pack, pack_halves, packing_of
from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import (
    NEGATIVE,
    REQUANTIZE,
    clamp_of,
    is_float,
    node_of,
    weights_of,
)
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct, PRelu, Relu


def convolution(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    weight = _taps_last(step)
    outputs, kh, kw, inputs = weight.shape
    groups = getattr(op, "groups", 1)
    packing = packing_of(inputs, outputs, groups, step.dtype)
    packed = pack(weight, groups, packing)
    if has_four_bits(step):
        packing, packed = FOUR_BITS[packing], pack_halves(packed)
    arrays, slopes = _channel_arrays(step, weight)
    int8 = step.opcode == Opcode.CONV and step.dtype == "int8"
    bounded = int8 and is_bounded(weight, arrays[0])
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
    ) + (clamp_of(step) + struct.pack("<I", bounded))


def has_four_bits(step: Step) -> bool:
    """Whether the weights take four bits each."""
    return int(weights_of(step).get("weight_bits", 8)) == 4


def is_bounded(weight: np.ndarray, bias: np.ndarray) -> bool:
    """Whether no int8 input takes an accumulator of these (outputs first) to 2^25."""
    norms = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
    return bool((128 * norms + np.abs(bias.astype(np.int64)) < 1 << 25).all())


def _taps_last(step: Step) -> np.ndarray:
    """The weights as (O, kh, kw, I / groups)."""
    op, weight = node_of(step).op, weights_of(step)["weight"]
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
    w, outputs = weights_of(step), weight.shape[0]
    if is_float(step):
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
    activation = getattr(node_of(step).op, "activation", None)
    if isinstance(activation, PRelu):
        return weights_of(step)["slope"].astype(np.float32)
    if isinstance(activation, Relu) and activation.negative_slope:
        return np.array([activation.negative_slope], np.float32)
    return None
