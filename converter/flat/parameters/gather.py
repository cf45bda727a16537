"""Parameter records of what picks or sums values."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.format import NONE
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import (
    REQUANTIZE,
    clamp_of,
    is_float,
    node_of,
    weights_of,
)
from demitasse.converter.ops import ArgMax, Embed, Gather, Reduce


def gather(step: Step, sections: Sections) -> bytes:
    op, indices = node_of(step).op, NONE
    assert isinstance(op, Gather)
    if len(step.inputs) == 1:
        array = weights_of(step)["indices"].astype(np.int32)
        indices = sections.arrays([array], array.size)
    return struct.pack("<II", op.axis % len(step.output.view.shape), indices)


def embed(step: Step, sections: Sections) -> bytes:
    op, w, bias = node_of(step).op, weights_of(step), NONE
    assert isinstance(op, Embed)
    if "bias" in w:
        bias = sections.arrays([w["bias"].astype(np.float32)], op.channels)
    return struct.pack("<III", op.rows, sections.tensor(w["table"].astype(np.float32)), bias)


KINDS = {"sum": 0, "mean": 0, "asum": 1, "sumsq": 2}


def reduce(step: Step, sections: Sections) -> bytes:
    op, w = node_of(step).op, weights_of(step)
    assert isinstance(op, Reduce)
    head = struct.pack("<If", KINDS[op.kind], op.factor(step.inputs[0].view.shape))
    if is_float(step):
        return head + bytes(20)
    return head + struct.pack("<iII", *(int(w[key]) for key in REQUANTIZE)) + clamp_of(step)


def argmax(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, ArgMax)
    return struct.pack("<II", op.axis % len(step.output.view.shape), op.values)
