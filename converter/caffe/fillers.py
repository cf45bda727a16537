"""Fillers that mean something: weights that a deployed net may leave out of its file."""

from __future__ import annotations

from math import ceil

import numpy as np

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.text import Message
from demitasse.converter.graph import Shape
from demitasse.errors import ShapeError


def has_meaning(filler: Message | None) -> bool:
    """Whether the filler makes a weight that a net may be deployed with."""
    return filler is not None and _kind(filler) in ("constant", "bilinear")


def fill(filler: Message, shape: Shape) -> np.ndarray:
    """The blob that a filler with a meaning makes. Raises ShapeError where it does not fit."""
    if _kind(filler) == "bilinear":
        return _bilinear(shape)
    return np.full(shape, Params("filler", filler).real("value"), np.float32)


def _kind(filler: Message) -> str:
    return Params("filler", filler).string("type", "constant")


def _bilinear(shape: Shape) -> np.ndarray:
    """Caffe's upsampling kernel, the same for every channel pair."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ShapeError(f"a bilinear filler needs a square 4-D blob, found shape {shape}")
    half = ceil(shape[3] / 2)
    center = (shape[3] - 1) / (2.0 * half)
    row = 1 - np.abs(np.arange(shape[3]) / half - center)
    return np.broadcast_to(np.outer(row, row), shape).astype(np.float32)
