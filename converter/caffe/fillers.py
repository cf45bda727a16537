"""Caffe's fillers: weights that no file gives.

Two of them mean something, so that a deployed net may leave its weights to them; the others draw
at random, which is for trying a net out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod, sqrt

import numpy as np

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.text import Message
from demitasse.converter.graph import Shape
from demitasse.errors import ParseError, ShapeError

NORMS = {"FAN_IN": 0, "FAN_OUT": 1, "AVERAGE": 2}
MEANINGFUL = ("constant", "bilinear")
NEED_AXES = ("xavier", "msra", "positive_unitball")  # they divide by the length of the first
MAX_KERNEL = 4096
# What a blob without a filler is, by its name. Others are drawn: zeros would make every net 0.
DEFAULTS = {"factor": 1.0, "scale": 1.0, "slope": 0.25}


def has_meaning(filler: Message | None) -> bool:
    """Whether the filler makes a weight that a net may be deployed with."""
    return filler is not None and _kind(filler) in MEANINGFUL


def check(filler: Message, shape: Shape) -> None:
    """Raise ParseError or ShapeError where Caffe would refuse the filler."""
    params = Params("filler", filler)
    kind = _kind(filler)
    if kind not in FILLERS:
        raise ParseError(
            f"unknown filler '{kind}'",
            line=filler.line,
            remedy=f"there is {', '.join(FILLERS)}; with weights of your own leave it out",
        )
    params.symbol("variance_norm", NORMS, "FAN_IN")
    for name in ("value", "min", "max", "mean", "std"):
        params.real(name)
    if params.integer("sparse", -1) != -1 and kind != "gaussian":
        raise ParseError(f"a {kind} filler cannot be sparse", line=filler.line)
    if not shape and kind in NEED_AXES:
        raise ShapeError(f"a {kind} filler cannot fill a single value", line=filler.line)
    if kind == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        raise ShapeError(
            f"a bilinear filler needs a square 4-D blob, found shape {shape}", line=filler.line
        )
    if kind == "bilinear" and shape[3] > MAX_KERNEL:
        raise ShapeError(f"a bilinear kernel of {shape[3]}x{shape[3]}, the most is {MAX_KERNEL}")


def fill(
    filler: Message | None, shape: Shape, name: str = "", rng: np.random.Generator | None = None
) -> np.ndarray:
    """The float32 blob that a filler makes, or that suits a blob of this name without one.

    Raises ParseError, ShapeError where Caffe would refuse the filler.
    """
    if filler is None:
        return _without_filler(shape, name, rng or np.random.default_rng(0))
    check(filler, shape)
    made = FILLERS[_kind(filler)](Params("filler", filler), shape, rng or np.random.default_rng(0))
    return np.asarray(made, np.float32)


def _kind(filler: Message) -> str:
    return Params("filler", filler).string("type", "constant")


def _without_filler(shape: Shape, name: str, rng: np.random.Generator) -> np.ndarray:
    """Matrices as `msra` has them, which keeps the size of activations behind ReLU."""
    if len(shape) < 2 or name in DEFAULTS:
        return np.full(shape, DEFAULTS.get(name, 0.0), np.float32)
    return _normal(rng, shape, sqrt(2 / max(_fan(shape, "FAN_IN"), 1)))


def _constant(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(np.float32(params.real("value")), shape)  # one number, however large


def _uniform(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    return _between(rng, shape, params.real("min", 0.0), params.real("max", 1.0))


def _gaussian(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """`sparse` is the mean number of inputs that an output has."""
    made = params.real("mean", 0.0) + _normal(rng, shape, params.real("std", 1.0))
    sparse = params.integer("sparse", -1)
    if sparse >= 0 and shape:
        made *= rng.random(shape, np.float32) < sparse / shape[0]
    return made


def _positive_unitball(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Uniform, then divided so that each output's weights add up to 1."""
    rows = _between(rng, shape, 0.0, 1.0).reshape(shape[0] if shape else 1, -1)
    return (rows / rows.sum(1, keepdims=True)).reshape(shape)


def _xavier(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Glorot and Bengio, 2010."""
    bound = sqrt(3 / _fan(shape, params.symbol("variance_norm", NORMS, "FAN_IN")))
    return _between(rng, shape, -bound, bound)


def _msra(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """He, Zhang, Ren and Sun, 2015."""
    fan = _fan(shape, params.symbol("variance_norm", NORMS, "FAN_IN"))
    return _normal(rng, shape, sqrt(2 / fan))


def _bilinear(params: Params, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Caffe's upsampling kernel, the same for every channel pair."""
    half = ceil(shape[3] / 2)
    center = (shape[3] - 1) / (2.0 * half)
    row = 1 - np.abs(np.arange(shape[3]) / half - center)
    return np.broadcast_to(np.outer(row, row).astype(np.float32), shape)


def _fan(shape: Shape, norm: str) -> float:
    """How many values the variance is divided by: inputs of an output, outputs of an input, or
    the mean of both."""
    count = prod(shape)
    fan_in = count / shape[0] if shape else 1.0
    fan_out = count / shape[1] if len(shape) > 1 else float(count)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]


def _normal(rng: np.random.Generator, shape: Shape, deviation: float) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


def _between(rng: np.random.Generator, shape: Shape, low: float, high: float) -> np.ndarray:
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


FILLERS: dict[str, Callable[[Params, Shape, np.random.Generator], np.ndarray]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
