"""One input of a model and the CRC of its outputs, for a test on the device."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from demitasse.converter.flat.format import ITEM_SIZES
from demitasse.converter.flat.read import TensorRecord
from demitasse.errors import DataError
from demitasse.runtime.model import Model
from demitasse.tools.firmware.embed import Loaded


@dataclass(frozen=True, slots=True)
class Sample:
    """stored: all inputs' elements, dense in Caffe's order. crc: of the outputs' likewise; answer:
    these, where the device's kernels may round them otherwise."""

    stored: bytes
    crc: int
    answer: bytes


def make_sample(loaded: Loaded, given: Mapping[str, np.ndarray] | None = None) -> Sample:
    """Run a model on values in real units, or without any on bytes that look like chance.

    Raises DataError or ShapeError for values that are not the model's inputs.
    """
    model = loaded.model
    tensors = {name: model.tensors[index] for name, index in model.inputs.items()}
    if given is not None and set(given) != set(tensors):
        raise DataError(f"the model's inputs are {', '.join(tensors)}", file=loaded.path)
    stored = {
        name: _quantized(given[name], tensor) if given is not None else _by_chance(name, tensor)
        for name, tensor in tensors.items()
    }
    real = {name: _real(stored[name], tensor) for name, tensor in tensors.items()}
    engine = Model(loaded.data, kernels="generic", file=loaded.path)
    outputs = engine.run_quantized(real)
    answer = b"".join(outputs[info.name].tobytes() for info in engine.outputs)
    inputs = b"".join(values.tobytes() for values in stored.values())
    rounds = any("winograd_f32" in name for name in loaded.needs.kernels)
    return Sample(inputs, zlib.crc32(answer), answer if rounds else b"")


def _by_chance(name: str, tensor: TensorRecord) -> np.ndarray:
    """The same on every machine; floats are multiples of 1/64 from -2 to 2."""
    count = int(np.prod(tensor.shape, dtype=np.int64))
    size = 1 if tensor.dtype == "float32" else ITEM_SIZES[tensor.dtype]
    noise = np.frombuffer(hashlib.shake_128(name.encode()).digest(count * size), f"<i{size}")
    values = noise / np.float32(64) if tensor.dtype == "float32" else noise
    return values.astype(tensor.dtype).reshape(tensor.shape)


def _quantized(values: np.ndarray, tensor: TensorRecord) -> np.ndarray:
    """quantize() of FORMAT.md."""
    values = np.asarray(values, np.float32).reshape(-1)
    if values.size != np.prod(tensor.shape, dtype=np.int64):
        raise DataError(f"{values.size} values for an input of shape {tensor.shape}")
    if tensor.dtype == "float32":
        return values.reshape(tensor.shape)
    limits = np.iinfo(tensor.dtype)
    inverse = np.float32(1 / np.float32(tensor.scale))
    steps = tensor.zero_point + np.floor(values * inverse + np.float32(0.5)).astype(np.float64)
    steps = np.where(np.isnan(steps), tensor.zero_point, steps)
    return np.clip(steps, limits.min, limits.max).astype(tensor.dtype).reshape(tensor.shape)


def _real(stored: np.ndarray, tensor: TensorRecord) -> np.ndarray:
    """dequantize() of FORMAT.md."""
    if tensor.dtype == "float32":
        return stored
    return (stored.astype(np.int32) - tensor.zero_point).astype(np.float32) * np.float32(
        tensor.scale
    )
