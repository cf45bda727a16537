"""The room that the generic kernels want beside an operator's tensors, on one thread.

Only a matter of memory: a kernel that needs more takes it behind the tensor plan.
"""

from __future__ import annotations

from demitasse.converter.flat.blobs import dot_rows, packing_of
from demitasse.converter.flat.format import ALIGN, LANES, Opcode, round_up
from demitasse.converter.flat.lower import Step
from demitasse.converter.ops import DetectionOutput

# Integer convolutions gather the inputs of a few pixels: whole tiles, up to a budget
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
    inputs, taps = x[1] // groups, kernel[0] * kernel[1]
    packing = packing_of(inputs, y[1], groups, dtype)
    height, width = (*y[2:], 1, 1)[:2]
    width *= height if taps == 1 else 1
    if packing == 1:
        direct = inputs >= 16 or taps == 1
        return 0 if direct else _patches(2 * taps * inputs, width)
    if packing != 5:
        return 0
    return _dots(step, dot_rows(taps, inputs), width)


def _patches(patch: int, width: int) -> int:
    """Patches of a few pixels, of so many bytes each."""
    tiles = max(PATCH_BYTES // patch // TILE_PIXELS, 1)
    return round_up(patch * min(tiles * TILE_PIXELS, MOST_PIXELS, width), ALIGN)


def _dots(step: Step, rows_and_run: tuple[int, int], width: int) -> int:
    """Packing 5: patches, a pixel of zero points, eight outputs' weights in whole bytes."""
    assert step.node is not None
    op, (rows, run) = step.node.op, rows_and_run
    inputs = step.inputs[0].view.shape[1] // getattr(op, "groups", 1)
    in_place = rows == 1 and run == inputs and not any(getattr(op, "pads", ()))
    bytes_ = 0 if in_place and step.opcode == Opcode.CONV else _patches(rows * run, width)
    if step.opcode == Opcode.DECONV:
        bytes_ += round_up(rows * run, ALIGN)
    if "weight_bits" in step.node.weights:
        bytes_ += round_up(LANES * rows * run, ALIGN)
    return bytes_


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
