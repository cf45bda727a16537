"""The parameter record of each opcode, float32 and integer (FORMAT.md, Opcodes)."""

from __future__ import annotations

from collections.abc import Callable

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.custom import custom_operator
from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.constant import constant
from demitasse.converter.flat.parameters.conv import convolution
from demitasse.converter.flat.parameters.detection import detection, roi_pool, yolo
from demitasse.converter.flat.parameters.elementwise import eltwise, lookup, rescale, scale, unary
from demitasse.converter.flat.parameters.gather import argmax, embed, gather, reduce
from demitasse.converter.flat.parameters.norm import lrn, mvn, normalize, softmax
from demitasse.converter.flat.parameters.pool import pool
from demitasse.converter.flat.parameters.recurrent import recurrent
from demitasse.converter.flat.parameters.resize import resize


def encode(step: Step, sections: Sections) -> bytes:
    """The step's parameter record; its arrays go to `sections`."""
    custom = None if step.node is None else custom_operator(step.node.op)
    if custom is not None:
        assert step.node is not None
        return custom.encode(step.node.op, step.node.weights, sections)
    return ENCODERS[Opcode(step.opcode)](step, sections)


def nothing(step: Step, sections: Sections) -> bytes:
    """No parameters."""
    return b""


ENCODERS: dict[Opcode, Callable[[Step, Sections], bytes]] = {
    Opcode.CONV: convolution,
    Opcode.DECONV: convolution,
    Opcode.POOL_MAX: pool,
    Opcode.POOL_AVERAGE: pool,
    Opcode.SUM: eltwise,
    Opcode.PROD: eltwise,
    Opcode.MAX: eltwise,
    Opcode.RESCALE: rescale,
    Opcode.LOOKUP: lookup,
    Opcode.UNARY: unary,
    Opcode.SCALE: scale,
    Opcode.LRN: lrn,
    Opcode.SOFTMAX: softmax,
    Opcode.COPY: nothing,
    Opcode.QUANTIZE: nothing,
    Opcode.DEQUANTIZE: nothing,
    Opcode.CONSTANT: constant,
    Opcode.GATHER: gather,
    Opcode.EMBED: embed,
    Opcode.REDUCE: reduce,
    Opcode.ARGMAX: argmax,
    Opcode.MVN: mvn,
    Opcode.NORMALIZE: normalize,
    Opcode.RESIZE: resize,
    Opcode.POOL_MASK: pool,
    Opcode.UNPOOL: nothing,
    Opcode.LSTM: recurrent,
    Opcode.RNN: recurrent,
    Opcode.DETECTION: detection,
    Opcode.YOLO: yolo,
    Opcode.ROI_POOL: roi_pool,
    Opcode.PSROI_POOL: roi_pool,
}
