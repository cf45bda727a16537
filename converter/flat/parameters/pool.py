"""Parameter records of pooling."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import is_float, node_of, weights_of
from demitasse.converter.ops import Pool2d, PoolMask


def pool(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    op = op.pool() if isinstance(op, PoolMask) else op
    assert isinstance(op, Pool2d)
    shape = step.inputs[0].view.shape
    kernel, stride, pads = op.window(shape)
    divisors, count, low, high = 0, 0, 0, 0
    if not is_float(step) and step.opcode == Opcode.POOL_AVERAGE:
        w = weights_of(step)
        table = np.asarray(w["divisors"], np.int32)
        divisors, count = sections.arrays([table.ravel()], table.size), len(table)
        low, high = int(w["low"]), int(w["high"])
    return struct.pack("<8Iii", *kernel, *stride, *pads, divisors, count, low, high)
