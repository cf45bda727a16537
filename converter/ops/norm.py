"""Batch normalisation, per-axis scale and bias, other normalisations, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, canonical_axis, off_batch, require
from demitasse.converter.ops.pool import Pool2d


@dataclass(frozen=True, slots=True)
class BatchNorm(Operator):
    """(x - mean) / sqrt(variance + eps) along axis 1.

    Weights: mean (C,), variance (C,), already divided by Caffe's moving-average factor.
    """

    eps: float = 1e-5

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("mean", "variance")

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        channels = inputs[0][1] if len(inputs[0]) > 1 else 1
        for key in ("mean", "variance"):
            if key in weights:
                found = weights[key].size
                require(found == channels, f"{key} has {found} values, expected {channels}")
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        shape = (1, -1) + (1,) * (x.ndim - 2) if x.ndim > 1 else (-1,)
        deviation = np.sqrt(weights["variance"] + np.float32(self.eps))
        return (
            ((x - weights["mean"].reshape(shape)) / deviation.reshape(shape)).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Scale(Operator):
    """x * scale (+ bias), both spanning axes axis ... axis + rank(scale) - 1 of x.

    One input: weights scale, and bias (same shape) optional. Two inputs: the second is the
    scale, weights hold at most the bias.
    """

    axis: int = 1

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0])) or len(shapes) == 2

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("scale",) if inputs == 1 else ()

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        shapes = [inputs[1]] if len(inputs) > 1 else []
        shapes += [weights[key].shape for key in ("scale", "bias") if key in weights]
        for shape in shapes:
            _check_span(inputs[0], self.axis, shape)
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        y = x * spread(inputs[1] if len(inputs) > 1 else weights["scale"], x.ndim, self.axis)
        if "bias" in weights:
            y = y + spread(weights["bias"], x.ndim, self.axis)
        return (y.astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Bias(Operator):
    """x + bias, spanning axes axis ... of x. Weights: bias, or the second input is the bias."""

    axis: int = 1

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0])) or len(shapes) == 2

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("bias",) if inputs == 1 else ()

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        shape = inputs[1] if len(inputs) > 1 else weights["bias"].shape if "bias" in weights else ()
        _check_span(inputs[0], self.axis, shape)
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        bias = inputs[1] if len(inputs) > 1 else weights["bias"]
        return ((inputs[0] + spread(bias, inputs[0].ndim, self.axis)).astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Lrn(Operator):
    """Local response normalisation (Krizhevsky et al., 2012), Caffe's two regions.

    across: x / (k + alpha / size * sum of squares over `size` channels) ** beta.
    within: x / (1 + alpha * average of squares over size x size) ** beta, with average
    pooling's border rule (stride 1, pad (size - 1) / 2); k is ignored.
    """

    region: str = "across"  # or "within"
    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(self.size % 2 == 1, f"LRN local_size must be odd, found {self.size}")
        require(len(inputs[0]) == 4, f"LRN needs a 4-D input, found shape {inputs[0]}")
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        square = x * x
        half = self.size // 2
        if self.region == "within":
            pool = Pool2d("average", (self.size, self.size), (1, 1), (half, half))
            base = 1 + np.float32(self.alpha) * pool.reference([square], {})[0]
        else:
            padded = np.pad(square, ((0, 0), (half, half), (0, 0), (0, 0)))
            total = sum(padded[:, i : i + x.shape[1]] for i in range(self.size))
            base = np.float32(self.k) + np.float32(self.alpha / self.size) * total
        return ((x * np.power(base, np.float32(-self.beta))).astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Softmax(Operator):
    """exp(x - max) / sum along `axis`."""

    axis: int = 1

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return off_batch(self.axis, len(shapes[0]))

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        canonical_axis(self.axis, len(inputs[0]))
        return (inputs[0],)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        e = np.exp(inputs[0] - inputs[0].max(self.axis, keepdims=True))
        return ((e / e.sum(self.axis, keepdims=True)).astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Mvn(Operator):
    """Mean 0 and, with `variance`, deviation 1: (x - mean) / (sqrt(mean of squares) + eps).

    Over the last two axes of four, or with `across_channels` the last three.
    """

    variance: bool = True
    across_channels: bool = False
    eps: float = 1e-9

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"MVN needs a 4-D input, found shape {inputs[0]}")
        return (inputs[0],)

    def axes(self) -> tuple[int, ...]:
        """The axes that are averaged over."""
        return (1, 2, 3) if self.across_channels else (2, 3)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        axes = self.axes()
        y = inputs[0] - inputs[0].mean(axes, keepdims=True)
        if self.variance:
            deviation = np.sqrt((y * y).mean(axes, keepdims=True))
            with np.errstate(invalid="ignore", divide="ignore"):
                y = y / (deviation + np.float32(self.eps))
        return (y.astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Normalize(Operator):
    """x * scale / sqrt(eps + sum of squares) over axis 1, or with `across_spatial` over all axes
    but the first (Liu et al., ParseNet, 2015). Weights: scale (C,) or (1,). 2 to 4 axes."""

    across_spatial: bool = True
    eps: float = 1e-10

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("scale",)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(2 <= len(inputs[0]) <= 4, f"Normalize takes 2 to 4 axes, found shape {inputs[0]}")
        if "scale" in weights:
            found = weights["scale"].shape
            expected = ((1,), inputs[0][1:2])
            require(found in expected, f"scale has shape {found}, expected {expected[1]} or (1,)")
        return (inputs[0],)

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes that are summed over."""
        return tuple(range(1, rank if self.across_spatial else 2))

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        axes = self.axes(x.ndim)
        total = np.float32(self.eps) + (x * x).sum(axes, keepdims=True)
        scale = weights["scale"].reshape(-1, *(1,) * (x.ndim - 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((x / np.sqrt(total) * scale).astype(np.float32),)


def spread(values: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """Reshape a parameter so that it broadcasts from `axis` of a blob of `rank` axes."""
    if values.ndim == 0:
        return values
    return values.reshape(values.shape + (1,) * (rank - axis % rank - values.ndim))


def _check_span(shape: Shape, axis: int, found: Shape) -> None:
    if not found:
        return
    start = canonical_axis(axis, len(shape))
    expected = shape[start : start + len(found)]
    require(found == expected, f"parameter has shape {found}, expected {expected} from axis {axis}")
