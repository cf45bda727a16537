"""Layers that move values without computing."""

from __future__ import annotations

from demitasse.converter.caffe.emit.join import Tile
from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Value
from demitasse.converter.ops import (
    Concat,
    Constant,
    Crop,
    Expand,
    Flatten,
    Identity,
    Permute,
    Reshape,
    Slice,
)


def identity(step: Step, op: Identity) -> None:
    """Split does not work in place; what does, and copies at test time, is Dropout."""
    step.layer("Dropout" if step.in_place else "Split")


def concat(step: Step, op: Concat) -> None:
    step.layer("Concat", "concat_param", {"axis": op.axis})


def cut(step: Step, op: Slice) -> None:
    fields: dict[str, Value] = {"axis": op.axis}
    if op.points:
        fields["slice_point"] = op.points
    step.layer("Slice", "slice_param", fields)


def reshape(step: Step, op: Reshape) -> None:
    fields: dict[str, Value] = {"shape": {"dim": op.dims}}
    if op.axis != 0:
        fields["axis"] = op.axis
    if op.num_axes != -1:
        fields["num_axes"] = op.num_axes
    step.layer("Reshape", "reshape_param", fields)


def tile(step: Step, op: Tile) -> None:
    step.layer("Tile", "tile_param", {"axis": op.axis, "tiles": op.tiles})


def expand(step: Step, op: Expand) -> None:
    """One Tile for each axis that is repeated."""
    (shape,) = step.output_shapes
    axes = [axis for axis, size in enumerate(shape) if size != step.shape[axis]]
    blob = step.inputs[0]
    for axis in axes:
        top = step.outputs[0] if axis == axes[-1] else step.blob(f"axis{axis}")
        fields = {"axis": axis, "tiles": shape[axis]}
        step.layer("Tile", "tile_param", fields, inputs=(blob,), outputs=(top,))
        blob = top
    if not axes:
        step.layer("Split", inputs=(blob,))


def flatten(step: Step, op: Flatten) -> None:
    fields: dict[str, Value] = {"axis": op.axis} if op.axis != 1 else {}
    if op.end_axis not in (-1, len(step.shape) - 1):
        fields["end_axis"] = op.end_axis
    step.layer("Flatten", "flatten_param", fields)


def permute(step: Step, op: Permute) -> None:
    """SSD's layer."""
    step.layer("Permute", "permute_param", {"order": op.full_order(len(step.shape))})


def crop(step: Step, op: Crop) -> None:
    step.layer("Crop", "crop_param", {"axis": op.axis, "offset": op.offsets})


def constant(step: Step, op: Constant) -> None:
    step.parameter(step.outputs[0], step.weights["value"])
