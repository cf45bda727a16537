"""Samples in arrays: in memory, `.npy`, `.npz` and IDX files."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demitasse.errors import DataError
from demitasse.quantizer.datasets.dataset import Kind
from demitasse.quantizer.datasets.idx import read_idx

FLOATS = (np.float16, np.float32, np.float64)


@dataclass(eq=False)
class ArraySource:
    """Samples along the first axis of one array, which a file may stand behind.

    The file is opened again in another process, rather than its content sent there.
    """

    kind: Kind
    identity: str
    path: Path | None
    key: str | None
    array: np.ndarray | None = field(repr=False)
    size: int

    def __len__(self) -> int:
        return self.size

    def load(self, index: int) -> np.ndarray:
        if self.array is None:
            assert self.path is not None
            self.array = _as_samples(*read_array(self.path, self.key))[1]
        sample = self.array[index]
        return np.ascontiguousarray(sample, np.uint8 if self.kind == "image" else np.float32)

    def name(self, index: int) -> str:
        if self.path is None:
            return f"sample {index}"
        return f"{self.path}{'' if self.key is None else ':' + self.key}[{index}]"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ if self.path is None else {**self.__dict__, "array": None}


@dataclass(eq=False)
class ListSource:
    """Arrays of different sizes: uint8 (H, W[, C]) images or float32 blobs, all of one kind."""

    kind: Kind
    identity: str
    arrays: list[np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.arrays)

    def load(self, index: int) -> np.ndarray:
        return self.arrays[index]

    def name(self, index: int) -> str:
        return f"sample {index}"


def array_source(array: np.ndarray) -> ArraySource:
    """An array in memory: uint8 (N, H, W[, C]) images or float (N, ...) blobs."""
    kind, samples = _as_samples(array, "array")
    return ArraySource(kind, _digest([samples]), None, None, samples, len(samples))


def file_source(path: Path, key: str | None = None) -> ArraySource:
    """An array in a `.npy`, `.npz` or IDX file."""
    array, where = read_array(path, key)
    kind, samples = _as_samples(array, where)
    identity = f"{path.name}:{key or ''} {samples.dtype} {samples.shape}"
    return ArraySource(kind, identity, path, key, samples, len(samples))


def list_source(arrays: Sequence[np.ndarray]) -> ListSource:
    """A sequence of arrays, one a sample."""
    if not arrays:
        raise DataError("the list of arrays is empty")
    batches = [_as_samples(np.asarray(a)[None], f"array {i}") for i, a in enumerate(arrays)]
    kinds = {kind for kind, _ in batches}
    if len(kinds) > 1:
        raise DataError(
            "the list mixes uint8 images and float blobs", remedy="give arrays of one kind"
        )
    dtype = np.uint8 if "image" in kinds else np.float32
    samples = [np.ascontiguousarray(batch[0], dtype) for _, batch in batches]
    return ListSource(kinds.pop(), _digest(samples), samples)


def read_array(path: Path, key: str | None = None) -> tuple[np.ndarray, str]:
    """The array in a file (`.npy` stays on disk, mapped) and what to call it in a message."""
    where = str(path) if key is None else f"{path}:{key}"
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), where
        if path.suffix == ".npz":
            return _read_npz(path, key), where
        return read_idx(path), where
    except FileNotFoundError:
        raise DataError("no such file", file=path) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", file=path) from error


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays.files)
        if key is None and len(names) == 1:
            key = names[0]
        if key not in names:
            what = "holds several arrays" if key is None else f"holds no array '{key}'"
            raise DataError(
                what if names else "holds no array",
                file=path,
                remedy=f"write {path.name}:KEY with one of {', '.join(names)}" if names else None,
            )
        array: np.ndarray = arrays[key]
        return array


def _as_samples(array: np.ndarray, where: str) -> tuple[Kind, np.ndarray]:
    """Kind and samples of a batch; gray images get their channel axis."""
    what = f"{array.dtype} array of shape {array.shape}"
    if array.ndim and not len(array):
        raise DataError(f"holds no samples ({what})", file=where)
    if array.dtype in FLOATS:
        if array.ndim < 2:
            raise DataError(
                f"{what} is no batch of blobs", file=where, remedy="give (N, C, H, W) float32"
            )
        return "blob", array
    if array.dtype != np.uint8:
        raise DataError(
            f"{what} holds neither images nor blobs",
            file=where,
            remedy="give uint8 images (N, H, W, C) or float32 blobs (N, C, H, W)",
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        return "image", array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise DataError(
            f"{what} holds no images",
            file=where,
            remedy="give uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3) in RGB, "
            "or float32 blobs (N, C, H, W)",
        )
    return "image", array


def _digest(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
