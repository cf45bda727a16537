"""The preprocessing that a prototxt tells: the transform_param of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demitasse.converter.caffe.binary import read_network
from demitasse.converter.caffe.text import Field, Message
from demitasse.errors import ParseError

_REALS = ("scale", "mean_value")
_NUMBERS = ("crop_size", "crop_h", "crop_w", "new_height", "new_width")
_TRUTHS = ("force_color", "force_gray")
# Where older texts keep the same fields, and newer ones the size of the picture.
_DATA_PARAMS = ("data_param", "image_data_param", "window_data_param", "transform_param")


@dataclass(frozen=True, slots=True)
class Transform:
    """The fields of a transform_param by name, and the line of the prototxt where it stands."""

    fields: Mapping[str, Any]
    line: int


def read_transform(prototxt: Path, phase: str = "TEST") -> Transform | None:
    """What the prototxt says about preprocessing in this phase; None where it says nothing.

    A caffemodel may stand in its place. Raises ParseError, naming file and line, for what cannot
    be read.
    """
    text = read_network(prototxt).message
    try:
        for field in (f for f in text.fields if f.name in ("layer", "layers")):
            layer = field.message()
            found = _transform(layer)
            if found is not None and _in_phase(layer, phase):
                return found
    except ParseError as error:
        error.file = str(prototxt)
        raise
    return None


def _transform(layer: Message) -> Transform | None:
    fields: dict[str, Any] = {}
    line = 0
    for name in _DATA_PARAMS:
        param = layer.merged(name)
        known = {} if param is None else _fields(param)
        if param is not None and known:
            line = param.line
            fields.update(known)
    return Transform(fields, line) if fields else None


def _fields(param: Message) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in param.fields:
        if field.name == "mean_value":
            result.setdefault("mean_value", []).append(field.real())
        elif field.name == "mean_file":
            result["mean_file"] = field.string()
        elif field.name in _REALS + _NUMBERS + _TRUTHS:
            result[field.name] = _value(field)
    return result


def _value(field: Field) -> float | int | bool:
    if field.name in _REALS:
        return field.real()
    return field.integer() if field.name in _NUMBERS else field.boolean()


def _in_phase(layer: Message, phase: str) -> bool:
    """Whether the layer's include and exclude rules let it into the phase."""
    phases = {"TRAIN": 0, "TEST": 1}

    def named(rule: str) -> list[str]:
        found = (field.message().last("phase") for field in layer.all(rule))
        return [field.symbol(phases) for field in found if field is not None]

    included = named("include")
    return (not included or phase in included) and phase not in named("exclude")
