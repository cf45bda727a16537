"""Parameter records of normalizations."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import REQUANTIZE, is_float, node_of, weights_of
from demitasse.converter.ops import Lrn, Mvn, Normalize, Softmax


def lrn(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, Lrn)
    head = struct.pack(
        "<II3f", ("across", "within").index(op.region), op.size, op.alpha, op.beta, op.k
    )
    if is_float(step):
        return head + bytes(32)
    w = weights_of(step)
    return head + struct.pack(
        "<IIIiIIii",
        sections.tensor(w["table"].astype(np.int16)),
        *(int(w[key]) for key in ("bits", "shift", *REQUANTIZE, "low", "high")),
    )


def mvn(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, Mvn)
    return struct.pack("<IIf", op.across_channels, op.variance, op.eps)


def normalize(step: Step, sections: Sections) -> bytes:
    op, w = node_of(step).op, weights_of(step)
    assert isinstance(op, Normalize)
    if is_float(step):
        arrays, rest = [w["scale"].astype(np.float32)], bytes(20)
    else:
        arrays = [w[key].astype(np.int32) for key in REQUANTIZE]
        table = sections.tensor(w["table"].astype(np.int16))
        numbers = (int(w[key]) for key in ("bits", "eps", "low", "high"))
        rest = struct.pack("<IIIii", table, *numbers)
    count = arrays[0].size
    head = struct.pack("<IfII", op.across_spatial, op.eps, count, sections.arrays(arrays, count))
    return head + rest


def softmax(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, Softmax)
    return struct.pack("<I", op.axis % len(step.inputs[0].view.shape))
