"""Resizing: layers of the forks."""

from __future__ import annotations

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Symbol, Value
from demitasse.converter.ops import Resize
from demitasse.errors import UnsupportedError


def resize(step: Step, op: Resize) -> None:
    """DeepLab's layer where corners align, else Xilinx's."""
    height, width = step.output_shapes[0][2:]
    if op.rule != "align_corners":
        if op.crop != (0, 0):
            raise UnsupportedError(f"resizing by the rule {op.rule} cannot crop as well")
        fields: dict[str, Value] = {"new_height": height, "new_width": width}
        fields["resize_type"] = Symbol("BILINEAR")
        step.layer("DeephiResize", "deephi_resize_param", fields, inputs=step.inputs[:1])
        return
    fields = {"pad_beg": -op.crop[0], "pad_end": -op.crop[1]} if any(op.crop) else {}
    if len(step.inputs) == 1 and (op.size != (0, 0) or op.scale != (0, 0)):
        fields |= {"height": height, "width": width}
    elif len(step.inputs) == 1:
        fields |= {"shrink_factor": op.shrink, "zoom_factor": op.zoom}
    step.layer("Interp", "interp_param", fields)
