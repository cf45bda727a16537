"""The room that the generic kernels want beside an operator's tensors, on one thread.

Only a matter of memory: a kernel that needs more takes it behind the tensor plan.
"""

from __future__ import annotations

from demitasse.converter.flat.blobs import packing_of
from demitasse.converter.flat.format import ALIGN, LANES, Opcode, round_up
from demitasse.converter.flat.lower import Step
from demitasse.converter.ops import DetectionOutput

# Integer convolutions gather the inputs of a few pixels as int16: whole tiles, up to a budget
# (runtime_c/kernels/generic/dmt_patch.h).
PATCH_BYTES = 8192
TILE_PIXELS = 4
MOST_PIXELS = 64
BOX_BYTES = 20


RECURRENT = (Opcode.LSTM, Opcode.RNN)


def scratch_of(step: Step) -> int:
    """Bytes, a multiple of 64."""
    if step.node is not None and isinstance(step.node.op, DetectionOutput):
        return _detection(step.node.op, step.inputs[1].view.shape[1])
    if step.opcode is Opcode.YOLO:
        boxes = step.output.view.shape[2] // step.inputs[0].view.shape[0]
        return round_up(boxes * (BOX_BYTES + 4 + 4), ALIGN)  # and a score and an index of each
    if step.opcode in RECURRENT:
        return _recurrent(step.opcode, step.output.view.shape[2])
    dtype = step.dtype
    if step.opcode not in (Opcode.CONV, Opcode.DECONV) or dtype == "float32":
        return 0
    assert step.node is not None
    x, y, op = step.inputs[0].view.shape, step.output.view.shape, step.node.op
    groups = getattr(op, "groups", 1)
    kernel = getattr(op, "kernel", (*x[2:], 1, 1)[:2])
    inputs, one = x[1] // groups, kernel == (1, 1)
    direct = dtype == "int16" and (inputs >= 16 or one)
    if direct or packing_of(inputs, y[1], groups) != 1:
        return 0
    patch = 2 * kernel[0] * kernel[1] * inputs
    width = (*y[2:], 1, 1)[1] * ((*y[2:], 1, 1)[0] if one else 1)
    tiles = max(PATCH_BYTES // patch // TILE_PIXELS, 1)
    patches = round_up(patch * min(tiles * TILE_PIXELS, MOST_PIXELS, width), ALIGN)
    if "weight_bits" in step.node.weights:  # a block of eight outputs is unpacked
        return patches + round_up(8 * kernel[0] * kernel[1] * inputs, ALIGN)
    return patches


def _recurrent(opcode: Opcode | int, channels: int) -> int:
    """LSTM: four gates and two states; RNN: its gate, its state, its output."""
    up = round_up(channels, LANES)
    gates = round_up(4 * channels, LANES) if opcode is Opcode.LSTM else up
    return round_up(4 * (gates + 2 * up), ALIGN)


def _detection(op: DetectionOutput, scores: int) -> int:
    """The boxes of one class, and of every class indices of its best and two numbers."""
    most = scores // op.classes
    most = most if op.top_k < 0 else min(most, op.top_k)
    return round_up(BOX_BYTES * most + 4 * op.classes * (most + 2), ALIGN)
