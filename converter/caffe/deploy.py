"""What a training net is for inference: data layers are inputs, losses and measures go.

A deploy text passes through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.upgrade import Layer
from demitasse.converter.graph import Shape
from demitasse.errors import ParseError, ShapeError

# Layers that only measure or store. Their bottoms are what the user wants as outputs.
SINKS = {"Accuracy", "SegAccuracy", "DetectionEvaluate", "HDF5Output", "Yolov3", "YoloSeg"}


@dataclass(frozen=True)
class Source:
    """One top of an input or data layer; `shape` is None where only the user knows it."""

    blob: str
    shape: Shape | None
    data_layer: bool
    crop_size: int = 0


def is_source(layer: Layer) -> bool:
    """Whether the layer feeds the net from outside."""
    return not layer.bottoms and (
        layer.type in ("Input", "Python") or layer.type.lower().endswith("data")
    )


def is_sink(layer: Layer) -> bool:
    """Whether the layer goes: a loss, a measure, or a place to store blobs."""
    return layer.type in SINKS or (layer.type.endswith("Loss") and bool(layer.bottoms))


def predictions(layer: Layer) -> Layer:
    """A SoftmaxWithLoss with a second top also gives its probabilities: keep these."""
    if layer.type == "SoftmaxWithLoss" and len(layer.tops) == 2:
        return replace(layer, type="Softmax", bottoms=layer.bottoms[:1], tops=layer.tops[1:])
    return layer


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
        Source(top, shapes[i] if shapes else None, layer.type != "Input", crop)
        for i, top in enumerate(layer.tops)
    ]


def _shapes(layer: Layer) -> list[Shape | None]:
    if layer.type == "Input":
        params = Params("input_param", layer.param("input_param"))
        return [_complete(shape.integers("dim")) for shape in params.parts("shape")]
    if layer.type == "DummyData":
        return _dummy_shapes(Params("dummy_data_param", layer.param("dummy_data_param")))
    if layer.type == "MemoryData":
        params = Params("memory_data_param", layer.param("memory_data_param"))
        dims = [params.integer(key) for key in ("batch_size", "channels", "height", "width")]
        return [_complete(tuple(dims)), _complete((dims[0],))]
    return []


def _dummy_shapes(params: Params) -> list[Shape | None]:
    if "shape" in params:
        return [_complete(shape.integers("dim")) for shape in params.parts("shape")]
    axes = [params.integers(key) for key in ("num", "channels", "height", "width")]
    if not all(axes):
        return []
    count = max(len(axis) for axis in axes)
    rows = [[axis[min(i, len(axis) - 1)] for axis in axes if axis] for i in range(count)]
    return [_complete(tuple(row)) for row in rows]


def _complete(dims: Shape) -> Shape | None:
    """Placeholders (0, -1, nothing at all) leave the shape to the user."""
    return dims if dims and all(dim > 0 for dim in dims) else None
