"""float32 operators with the runtime's bits (FORMAT.md): one IEEE operation at a time, in order.

The operators' own references are for accuracy; these are for what runs in float32 inside an
integer graph, where every byte counts. NumPy rounds each array operation by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demitasse.converter.flat.custom import custom_operator
from demitasse.converter.graph import Arrays
from demitasse.converter.ops import (
    ArgMax,
    Bias,
    DetectionOutput,
    Eltwise,
    Embed,
    Gather,
    Lrn,
    Lstm,
    Mvn,
    Normalize,
    Pool2d,
    PoolMask,
    PRelu,
    PsRoiPool,
    Reduce,
    Resize,
    Rnn,
    RoiPool,
    Scale,
    Softmax,
    Unpool,
    YoloOutput,
)
from demitasse.quantizer.float_reference.base import Inputs, exp, log
from demitasse.quantizer.float_reference.detection import detect, roi_pool
from demitasse.quantizer.float_reference.elementwise import UNARY, eltwise, prelu, scale, unary
from demitasse.quantizer.float_reference.gather import pick, reduce
from demitasse.quantizer.float_reference.norm import lrn, mvn, normalize, softmax
from demitasse.quantizer.float_reference.pool import pool, pool_mask, unpool
from demitasse.quantizer.float_reference.recurrent import lstm, rnn
from demitasse.quantizer.float_reference.resize import resize

# class of the operator -> its output's bits
RUNNERS: dict[type, Callable[[Any, Inputs, Arrays], np.ndarray]] = {
    **dict.fromkeys(UNARY, unary),
    PRelu: prelu,
    Scale: scale,
    Bias: scale,
    Eltwise: eltwise,
    Pool2d: pool,
    Lrn: lrn,
    Softmax: softmax,
    Mvn: mvn,
    Normalize: normalize,
    Resize: resize,
    PoolMask: pool_mask,
    Unpool: unpool,
    Gather: pick,
    Embed: pick,
    ArgMax: pick,
    Reduce: reduce,
    Lstm: lstm,
    Rnn: rnn,
    DetectionOutput: detect,
    YoloOutput: detect,
    RoiPool: roi_pool,
    PsRoiPool: roi_pool,
}


def has_form(op: object) -> bool:
    """Whether the operator's bits are known: those of the runtime, or a plug-in's own."""
    return type(op) in RUNNERS or custom_operator(op) is not None


def run_float(op: Any, inputs: Inputs, weights: Arrays) -> np.ndarray:
    """The output of one float32 operator; a plug-in's gives its bits itself. KeyError for a class
    that the runtime lacks."""
    with np.errstate(all="ignore"):
        if custom_operator(op):
            (y,) = op.reference(inputs, weights)
        else:
            y = RUNNERS[type(op)](op, inputs, weights)
    assert y.dtype == np.float32, type(op).__name__
    return y


__all__ = ["RUNNERS", "exp", "has_form", "log", "run_float"]
