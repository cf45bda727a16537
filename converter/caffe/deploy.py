"""What a training net is for inference: data layers are inputs, losses and measures go.

A deploy text passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.text import Field
from demitasse.converter.caffe.upgrade import Layer
from demitasse.converter.graph import Shape
from demitasse.errors import ParseError, ShapeError

# Layers that only measure or store. Their bottoms are what the user wants as outputs.
SINKS = {"Accuracy", "SegAccuracy", "DetectionEvaluate", "HDF5Output", "Yolov3", "YoloSeg"}


# Where data layers have their batch, and older texts their transformation.
DATA_PARAMS = {"ImageData": "image_data_param", "WindowData": "window_data_param"}

# Losses, and the functions that they compute on their first bottom.
FUNCTIONS = {"SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}


@dataclass(frozen=True)
class Source:
    """One top of an input or data layer; `shape` is None where only the user knows it."""

    blob: str
    shape: Shape | None
    data_layer: bool
    crop_size: int = 0
    line: int | None = None


def is_source(layer: Layer) -> bool:
    """Whether the layer feeds the net from outside."""
    return not layer.bottoms and (
        layer.type in ("Input", "Python") or layer.type.lower().endswith("data")
    )


def constant_data(layers: Sequence[Layer]) -> list[Layer]:
    """The DummyData layers that are part of the net: filled with constants, beside other inputs.

    Alone they stand for the net's inputs, as in benchmarks.
    """
    found = [layer for layer in layers if layer.type == "DummyData" and not layer.bottoms]
    found = [layer for layer in found if _is_constant(layer)]
    others = any(is_source(layer) and layer not in found for layer in layers)
    return found if others else []


def _is_constant(layer: Layer) -> bool:
    params = Params("dummy_data_param", layer.param("dummy_data_param"))
    kinds = {filler.string("type", "constant") for filler in params.parts("data_filler")}
    return kinds <= {"constant"}


def is_sink(layer: Layer) -> bool:
    """Whether the layer goes: a loss, a measure, or a place to store blobs."""
    return layer.type in SINKS or layer.type.endswith("Loss")


def predictions(layers: Sequence[Layer], problems: Problems) -> list[Layer]:
    """Losses that compute a function first become that function, which is what the network is
    asked for: SoftmaxWithLoss gives the blob `prob` (its second top has its own name).

    Where the net has the function already beside the loss, nothing changes.
    """
    kept = []
    names = {blob for layer in layers for blob in (*layer.tops, *layer.bottoms)}
    losses = [layer for layer in layers if layer.type in FUNCTIONS and layer.bottoms]
    for layer in layers:
        function = FUNCTIONS.get(layer.type, "")
        told = {other.bottoms[:1] for other in layers if other.type == function}
        if not function or not layer.bottoms or layer.bottoms[:1] in told:
            kept.append(layer)
            continue
        top = "prob" if len(losses) == 1 else f"{layer.name}/prob"
        tops = layer.tops[1:2] or (top if top not in names else f"{layer.name}/{function}",)
        if len(layer.tops) < 2:
            problems.remark(
                f"a loss: its {function} is the output '{tops[0]}'",
                line=layer.line,
                layer=layer.name,
            )
        kept.append(replace(layer, type=function, bottoms=layer.bottoms[:1], tops=tops))
        kept.append(replace(layer, bottoms=layer.bottoms[1:], tops=()))  # for the labels
    return kept


def sources(layer: Layer) -> list[Source]:
    """The inputs that a source layer stands for. Raises ShapeError where shapes and tops differ
    in number."""
    if layer.type == "Input" and not layer.tops:
        raise ParseError("Input takes at least 1 top, found 0")
    shapes = _shapes(layer)
    if len(shapes) == 1 and layer.type != "MemoryData":
        shapes *= len(layer.tops)
    wrong = (
        len(shapes) < len(layer.tops)
        if layer.type == "MemoryData"
        else (len(shapes) != len(layer.tops))
    )
    if shapes and wrong:
        raise ShapeError(
            f"{len(shapes)} shapes for {len(layer.tops)} tops",
            remedy="give one shape, or one for each top",
        )
    transform = Params("transform_param", layer.param("transform_param"))
    crop = transform.integer("crop_size")
    return [
        Source(top, shapes[i] if shapes else None, layer.type != "Input", crop, layer.line)
        for i, top in enumerate(layer.tops)
    ]


def unknown_fields(layer: Layer) -> list[tuple[str, Field]]:
    """(path, field) of what an Input layer has that nobody reads."""
    if layer.type != "Input":
        return []
    known = Params("", layer.message)
    known.ignore("name", "type", "top", "phase", "include", "exclude", "transform_param")
    for shape in known.part("input_param").parts("shape"):
        shape.ignore("dim")
    return [(path.removeprefix("."), field) for path, field in known.unread()]


def _shapes(layer: Layer) -> list[Shape | None]:
    if layer.type == "Input":
        params = Params("input_param", layer.param("input_param"))
        return [_complete(shape.integers("dim")) for shape in params.parts("shape")]
    if layer.type == "DummyData":
        params = Params("dummy_data_param", layer.param("dummy_data_param"))
        return [_complete(shape) for shape in dummy_shapes(params)]
    if layer.type == "MemoryData":
        params = Params("memory_data_param", layer.param("memory_data_param"))
        dims = [params.integer(key) for key in ("batch_size", "channels", "height", "width")]
        return [_complete(tuple(dims)), _complete((dims[0],))]
    picture = _picture(layer)
    return [picture, *[None] * (len(layer.tops) - 1)] if picture else []


def _picture(layer: Layer) -> Shape | None:
    """The shape of a data layer's first top, where the text tells both size and channels."""
    transform = Params("transform_param", layer.param("transform_param"))
    data = Params("data", layer.param(DATA_PARAMS.get(layer.type, "data_param")))
    crop = transform.integer("crop_size", data.integer("crop_size"))
    height = crop or transform.integer("crop_h", data.integer("new_height"))
    width = crop or transform.integer("crop_w", data.integer("new_width"))
    colours = layer.type in ("ImageData", "WindowData") or transform.boolean("force_color")
    colours |= len(transform.reals("mean_value")) == 3
    if transform.boolean("force_gray") or not data.boolean("is_color", True):
        channels = 1
    else:
        channels = 3 if colours else 0
    return _complete((data.integer("batch_size", 1), channels, height, width))


def dummy_shapes(params: Params) -> list[Shape]:
    """The shapes that a DummyData gives its tops: one, or one for each."""
    if "shape" in params:
        return [shape.integers("dim") for shape in params.parts("shape")]
    axes = [params.integers(key) for key in ("num", "channels", "height", "width")]
    if not all(axes):
        return []
    count = max(len(axis) for axis in axes)
    return [tuple(axis[min(i, len(axis) - 1)] for axis in axes) for i in range(count)]


def _complete(dims: Shape) -> Shape | None:
    """Placeholders (0, -1, nothing at all) leave the shape to the user."""
    return dims if dims and all(dim > 0 for dim in dims) else None
