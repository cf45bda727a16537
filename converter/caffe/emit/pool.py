"""Pooling, its mask, and the way back."""

from __future__ import annotations

from demitasse.converter.caffe.emit.conv import pair
from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Fields, Symbol, Value
from demitasse.converter.ops import Pool2d, PoolMask, Unpool


def pool2d(step: Step, op: Pool2d) -> None:
    """With a second output, the mask."""
    step.layer("Pooling", "pooling_param", _fields(step, op))


def pool_mask(step: Step, op: PoolMask) -> None:
    """The mask is the second top; nobody reads the first."""
    unread = step.blob("maximum")
    step.layer(
        "Pooling", "pooling_param", _fields(step, op.pool()), outputs=(unread, *step.outputs)
    )


def _fields(step: Step, op: Pool2d) -> Fields:
    fields: dict[str, Value] = {"pool": Symbol("MAX" if op.kind == "max" else "AVE")}
    if op.global_pooling:
        fields["global_pooling"] = True
    else:
        kernel, stride, pads = op.window(step.shape)
        fields |= pair("kernel_size", kernel, None, "kernel")
        fields |= pair("stride", stride, 1)
        fields |= pair("pad", pads, 0)
    if not op.ceil_mode:
        fields["round_mode"] = Symbol("FLOOR")
    return fields


def unpool(step: Step, op: Unpool) -> None:
    """SegNet's layer takes a factor, or a size; what is cut off says the size too."""
    if op.size == (0, 0) and op.cut == (0, 0):
        fields: dict[str, Value] = {"scale_h": op.scale[0], "scale_w": op.scale[1]}
        step.layer("Upsample", "upsample_param", fields)
        return
    height, width = step.output_shapes[0][2:]
    step.layer("Upsample", "upsample_param", {"upsample_h": height, "upsample_w": width})
