"""From a picture to what the network's input holds, and back into tables for the runtime.

The calibrator, the evaluation and `dmt_image` on the board all execute this definition:

1. channels in the network's order: RGB, BGR, or gray by `luma`; a gray picture fills all three;
2. geometry: stretched to the input's size, or to `resize` and then cut (`crop`), or fitted inside
   with borders (`letterbox`); always the integer `resize_bilinear`;
3. (pixel - mean) * scale in float32, as Caffe's data layers do; a letterbox's border is 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from demitasse.errors import DataError
from demitasse.quantizer.datasets import Sample
from demitasse.quantizer.mean_file import read_mean
from demitasse.quantizer.resize import MAX_SIZE, luma, resize_bilinear
from demitasse.quantizer.scheme import quantize

Order = Literal["bgr", "rgb", "gray"]
Shape = tuple[int, ...]


class Placement(NamedTuple):
    """The picture is stretched to (height, width); the input sees it from (top, left) on.

    Negative top or left: a letterbox's border.
    """

    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class Preprocess:
    """What happens to a picture before the network.

    order: the network's channel order; None means gray for one channel, else bgr.
    mean, scale: one value, or one a channel in the network's order.
    mean_image: float32 (C, H, W) in place of `mean`; larger than the input, its centre counts.
    resize: (width, height) before cutting; None: the input's size (crop: the picture's own).
    """

    order: Order | None = None
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    mean_image: np.ndarray | None = None
    resize: tuple[int, int] | None = None
    crop: bool = False
    letterbox: bool = False

    def __post_init__(self) -> None:
        if self.order not in (None, "bgr", "rgb", "gray"):
            raise DataError(f"unknown channel order '{self.order}'", remedy="bgr, rgb or gray")
        if self.letterbox and (self.crop or self.resize):
            raise DataError("letterbox does not go with crop or resize")
        if self.resize and not all(1 <= n <= MAX_SIZE for n in self.resize):
            raise DataError(f"resize to {self.resize} is out of range 1..{MAX_SIZE}")
        if not np.isfinite([*self.mean, *self.scale]).all() or 0 in self.scale:
            raise DataError(f"mean {self.mean} or scale {self.scale} is not finite, or scale is 0")
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in (1, 3):
                raise DataError(f"{len(values)} values of {name}, expected 1 or 3")

    def to_blob(self, image: np.ndarray, input_shape: Shape) -> np.ndarray:
        """uint8 (H, W, 3) RGB or (H, W, 1) gray to float32 (1, C, H, W) of the input's size."""
        channels, height, width = _image_shape(input_shape)
        pixels = self._channels(image, channels)
        place = self.placement(image.shape[0], image.shape[1], height, width)
        pixels = resize_bilinear(pixels, place.height, place.width)
        blob = np.zeros((1, channels, height, width), np.float32)
        inside, window = _overlap(place, height, width)
        part = pixels[window].transpose(2, 0, 1).astype(np.float32)
        part -= np.broadcast_to(self.mean_blob(input_shape), blob.shape[1:])[inside]
        part *= _per_channel(self.scale, channels, "scale")[:, None, None]
        blob[0][inside] = part
        return blob

    def apply(self, sample: Sample, input_shape: Shape) -> np.ndarray:
        """A sample as the network's input, batch 1; blobs pass through after a check of shape."""
        if sample.kind == "image":
            try:
                return self.to_blob(sample.data, input_shape)
            except DataError as error:
                raise DataError(error.message, file=sample.name, remedy=error.remedy) from None
        if sample.data.shape != tuple(input_shape[1:]):
            raise DataError(
                f"blob of shape {sample.data.shape}, the input expects {tuple(input_shape[1:])}",
                file=sample.name,
            )
        return sample.data[None]

    def placement(self, h: int, w: int, height: int, width: int) -> Placement:
        """Where a picture of h x w goes in an input of height x width."""
        if self.letterbox:
            if w * height >= h * width:  # wider than the input: full width
                nh, nw = max(1, (2 * h * width + w) // (2 * w)), width
            else:
                nh, nw = height, max(1, (2 * w * height + h) // (2 * h))
            return Placement(nh, nw, -((height - nh) // 2), -((width - nw) // 2))
        if self.resize is None:
            nh, nw = (h, w) if self.crop else (height, width)
        else:
            nw, nh = self.resize
        if nh < height or nw < width:
            raise DataError(
                f"a picture of {nw}x{nh} is too small to cut {width}x{height} from",
                remedy=f"use --resize {width}x{height} or more",
            )
        return Placement(nh, nw, (nh - height) // 2, (nw - width) // 2)

    def mean_blob(self, input_shape: Shape) -> np.ndarray:
        """float32 mean of (C, H, W), or (C, 1, 1) where there is no mean image."""
        channels, height, width = _image_shape(input_shape)
        if self.mean_image is None:
            return _per_channel(self.mean, channels, "mean")[:, None, None]
        c, h, w = self.mean_image.shape
        if c != channels or h < height or w < width:
            raise DataError(
                f"mean image of {c}x{h}x{w} for an input of {channels}x{height}x{width}",
                remedy="give a mean image of the input's size or larger, or one value a channel",
            )
        top, left = (h - height) // 2, (w - width) // 2
        cut = self.mean_image[:, top : top + height, left : left + width]
        return np.ascontiguousarray(cut, np.float32)

    def tables(
        self, channels: int, dtype: str = "float32", scale: float = 1.0, zero_point: int = 0
    ) -> np.ndarray:
        """What each byte becomes in the input tensor: (channels, 256) of dtype.

        float32: (v - mean) * scale. int8, int16: that, quantized with the tensor's scale and zero
        point. A mean image has no such table (ValueError): use `mean_blob` and `scale`.
        """
        if self.mean_image is not None:
            raise ValueError("a mean image differs from pixel to pixel")
        values = (
            np.arange(256, dtype=np.float32) - _per_channel(self.mean, channels, "mean")[:, None]
        )
        values *= _per_channel(self.scale, channels, "scale")[:, None]
        return values if dtype == "float32" else quantize(values, scale, zero_point, dtype)

    def range(self, channels: int) -> tuple[float, float]:
        """The least and the largest value that a picture can have, 0 included."""
        values = self.tables(channels)
        return min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def network_order(self, channels: int) -> Order:
        """The order in force for an input of so many channels."""
        order = self.order or ("gray" if channels == 1 else "bgr")
        if channels not in (1, 3) or (order == "gray") != (channels == 1):
            raise DataError(
                f"order '{order}' does not fit an input of {channels} channels",
                remedy=None if channels in (1, 3) else "give float32 blobs instead of images",
            )
        return order

    def describe(self) -> dict[str, Any]:
        """JSON-ready summary; two objects that compute the same have the same one."""
        image = self.mean_image
        digest = None if image is None else hashlib.sha256(image.tobytes()).hexdigest()[:16]
        return {
            "order": self.order,
            "mean": [float(str(np.float32(m))) for m in self.mean],
            "scale": [float(str(np.float32(s))) for s in self.scale],
            "mean_image": digest,
            "resize": self.resize and list(self.resize),
            "crop": self.crop,
            "letterbox": self.letterbox,
        }

    def _channels(self, image: np.ndarray, channels: int) -> np.ndarray:
        order = self.network_order(channels)
        if image.shape[2] == 1:
            return image if order == "gray" else np.repeat(image, 3, axis=2)
        if order == "gray":
            return luma(image)
        return image if order == "rgb" else image[..., ::-1]


def from_transform_param(
    fields: Mapping[str, Any], root: Path = Path(), base: Preprocess | None = None
) -> Preprocess:
    """The preprocessing that a Caffe `transform_param` describes; mirror does not apply to tests.

    fields: its values by name: scale, mean_value (list), mean_file (relative to `root`),
    crop_size, crop_h, crop_w, force_color, force_gray; new_width and new_height where the layer's
    own parameters have them. Raises DataError, as Caffe does, for a mean file with mean values.
    """
    result = base or Preprocess()
    means = [float(m) for m in np.atleast_1d(fields.get("mean_value", []))]
    if means and fields.get("mean_file"):
        raise DataError("transform_param has both mean_file and mean_value")
    if means:
        result = replace(result, mean=tuple(means), mean_image=None)
    if fields.get("mean_file"):
        result = with_mean_file(result, root / str(fields["mean_file"]))
    if "scale" in fields:
        result = replace(result, scale=(float(fields["scale"]),))
    if fields.get("force_gray"):
        result = replace(result, order="gray")
    if fields.get("new_width") and fields.get("new_height"):
        result = replace(result, resize=(int(fields["new_width"]), int(fields["new_height"])))
    if any(fields.get(name) for name in ("crop_size", "crop_h", "crop_w")):
        result = replace(result, crop=True)
    return result


def make_preprocess(
    *,
    transform_param: Mapping[str, Any] | None = None,
    root: Path = Path(),
    order: Order | None = None,
    mean: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    mean_file: Path | None = None,
    resize: tuple[int, int] | None = None,
    crop: bool = False,
    letterbox: bool = False,
) -> Preprocess:
    """From the command's flags, each of which takes the place of transform_param's value."""
    if mean is not None and mean_file is not None:
        raise DataError("give --mean or --mean-file, not both")
    if scale is not None and std is not None:
        raise DataError("give --scale or --std, not both")
    result = from_transform_param(transform_param or {}, root)
    if order is not None:
        result = replace(result, order=order)
    if mean is not None:
        result = replace(result, mean=tuple(map(float, mean)), mean_image=None)
    if mean_file is not None:
        result = with_mean_file(result, Path(mean_file))
    if std is not None:
        if 0 in std:
            raise DataError("a standard deviation of 0")
        scale = [1.0 / float(s) for s in std]
    if scale is not None:
        result = replace(result, scale=tuple(map(float, scale)))
    if letterbox:
        return replace(result, resize=None, crop=False, letterbox=True)
    return replace(result, resize=resize or result.resize, crop=crop or result.crop)


def with_mean_file(preprocess: Preprocess, path: Path) -> Preprocess:
    """The same with the mean of a file: an image, or values where it holds one a channel."""
    mean = read_mean(path)
    if mean.ndim == 1:
        return replace(preprocess, mean=tuple(map(float, mean)), mean_image=None)
    return replace(preprocess, mean=(0.0,), mean_image=mean)


def _image_shape(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 4:
        raise DataError(
            f"an input of shape {tuple(shape)} takes no images",
            remedy="give float32 blobs instead of images",
        )
    return shape[1], shape[2], shape[3]


def _per_channel(values: Sequence[float], channels: int, what: str) -> np.ndarray:
    if len(values) not in (1, channels):
        raise DataError(f"{len(values)} values of {what} for {channels} channels")
    return np.broadcast_to(np.asarray(values, np.float32), (channels,))


def _overlap(
    place: Placement, height: int, width: int
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the picture lies in the input (C, H, W), and which part of the stretched picture
    (H, W, C) that is."""
    inside, window = [slice(None)], []
    for start, size, length in (
        (place.top, place.height, height),
        (place.left, place.width, width),
    ):
        first, count = max(0, -start), min(size, length)
        inside.append(slice(first, first + count))
        window.append(slice(max(0, start), max(0, start) + count))
    return tuple(inside), tuple(window)


def check_single(shapes: Mapping[str, Shape]) -> None:
    """DataError for a network that keeps its batch: data comes one sample at a time."""
    for name, shape in shapes.items():
        if shape and shape[0] != 1:
            raise DataError(
                f"input '{name}' keeps its batch of {shape[0]}, for a layer mixes or indexes the "
                "samples; data goes in one by one",
                remedy=f"read it with batch 1 if that is meant (--input-shape {name}=1,...), or "
                "feed whole inputs with demitasse run",
            )
