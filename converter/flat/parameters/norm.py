"""Parameter records of normalizations."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import REQUANTIZE, is_float, node_of, weights_of
from demitasse.converter.ops import Lrn, Softmax


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


def softmax(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, Softmax)
    return struct.pack("<I", op.axis % len(step.inputs[0].view.shape))
