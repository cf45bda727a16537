"""Resizing and unpooling of codes (FORMAT.md, opcodes 24 and 26)."""

from __future__ import annotations

import numpy as np

from demitasse.converter.ops import Resize
from demitasse.converter.ops.pool import scatter
from demitasse.converter.ops.resize import positions
from demitasse.quantizer.integer.base import Built, Call, Site, quantization
from demitasse.quantizer.requantize import rshr

WEIGHT_BITS = {"int8": 11, "int16": 14}
LINE_SHIFT = {"int8": 0, "int16": 13}  # between the columns and the rows


def build_resize(site: Site) -> Built | None:
    """Codes between codes: input and output share a quantization."""
    return site.become(site.node.op, {})


def run_resize(call: Call) -> np.ndarray:
    """Between columns, then between rows."""
    op: Resize = call.op
    bits, shift = WEIGHT_BITS[call.output.dtype], LINE_SHIFT[call.output.dtype]
    y = op.cropped(call.values[0])
    for axis, right in ((3, shift), (2, 2 * bits - shift)):
        first, rest, whole = positions(y.shape[axis], call.output.shape[axis], op.rule)
        second = np.minimum(first + 1, y.shape[axis] - 1)
        weight = ((rest << bits) + whole // 2) // whole
        weight = weight.reshape(-1, *(1,) * (3 - axis))
        y = y.take(first, axis) * (2**bits - weight) + y.take(second, axis) * weight
        y = rshr(y, right)
    return y


def run_unpool(call: Call) -> np.ndarray:
    """Codes at the mask's places, real 0 elsewhere."""
    zero_point = quantization(call.output).zero_point
    return scatter(call.values[0], call.values[1], call.output.shape, zero_point)
