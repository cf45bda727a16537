"""Mean files: Caffe's `.binaryproto` (one BlobProto) and `.npy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from demitasse.errors import DataError
from demitasse.protos.schema import message_class


def read_mean(path: Path) -> np.ndarray:
    """A mean file as float32 (C, H, W), or (C,) where it holds one value a channel.

    The channels stand in the network's order. Raises DataError naming the file.
    """
    try:
        if path.suffix == ".npy":
            mean = np.load(path, allow_pickle=False)
        else:
            mean = _read_binaryproto(path)
    except FileNotFoundError:
        raise DataError("no such mean file", file=path) from None
    except (OSError, ValueError, EOFError, DecodeError) as error:
        raise DataError(f"is no mean file ({error})", file=path) from error
    return _check(mean, path)


def _read_binaryproto(path: Path) -> np.ndarray:
    blob = message_class("BlobProto").FromString(path.read_bytes())
    values = np.concatenate(
        [
            *(np.frombuffer(chunk, "<f4") for chunk in blob.data),
            *(np.frombuffer(chunk, "<f8") for chunk in blob.double_data),
        ]
        or [np.empty(0, np.float32)]
    )
    if not values.size:
        raise ValueError("it holds no values")
    return values.reshape(_shape(blob))


def _shape(blob: Any) -> tuple[int, ...]:
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in legacy):
        return tuple(getattr(blob, name) for name in legacy)
    dims = blob.shape.dim
    return tuple(dims)


def _check(mean: np.ndarray, path: Path) -> np.ndarray:
    """Drop the batch axis and single pixels; refuse what cannot be a mean."""
    shape = mean.shape
    if mean.ndim == 4 and shape[0] == 1:
        mean = mean[0]
    if mean.ndim == 3 and mean.shape[1:] == (1, 1):
        mean = mean[:, 0, 0]
    if mean.ndim not in (1, 3) or mean.shape[0] not in (1, 3) or mean.dtype.kind not in "fui":
        raise DataError(
            f"{mean.dtype} array of shape {shape} is no mean",
            file=path,
            remedy="expected (C, H, W) or (C,) with 1 or 3 channels in the network's order",
        )
    if not np.isfinite(mean).all():
        raise DataError("the mean has values that are not finite", file=path)
    return np.ascontiguousarray(mean, np.float32)
