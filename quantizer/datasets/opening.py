"""From what the user names (`--data`, `--labels`) to a dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, Union

import numpy as np

from demitasse.errors import DataError
from demitasse.quantizer.datasets.arrays import (
    array_source,
    file_source,
    list_source,
    read_array,
)
from demitasse.quantizer.datasets.dataset import Dataset, Source
from demitasse.quantizer.datasets.idx import is_idx
from demitasse.quantizer.datasets.images import (
    ImageSource,
    folder_source,
    is_image,
    list_file_source,
)

DataSpec: TypeAlias = Union[str, "os.PathLike[str]", np.ndarray, Sequence[np.ndarray], Dataset]


def open_dataset(spec: DataSpec, labels: DataSpec | None = None) -> Dataset:
    """Open a folder of images, a list file, `.npy`, `.npz[:key]`, IDX(.gz), one image or arrays.

    Colour images are RGB, in files and in arrays alike. `labels` may be an array, `.npy`,
    `.npz:key`, IDX or a text with one label a line; it takes the place of a list file's labels.
    Raises DataError, naming the file, where the data cannot be used.
    """
    if isinstance(spec, Dataset):
        return spec if labels is None else _with_labels(spec.source, spec.ids, labels)
    source, own_labels = _open_source(spec)
    ids = np.arange(len(source))
    return Dataset(source, ids, own_labels) if labels is None else _with_labels(source, ids, labels)


def _open_source(spec: DataSpec) -> tuple[Source, np.ndarray | None]:
    if isinstance(spec, np.ndarray):
        return array_source(spec), None
    if isinstance(spec, Mapping):
        raise DataError(
            f"data by input ({', '.join(map(str, spec))}); samples are for one input",
            remedy="give the array alone",
        )
    if not isinstance(spec, (str, os.PathLike)):
        return list_source([np.asarray(array) for array in spec]), None
    path, key = split_key(spec)
    if path.is_dir():
        return folder_source(path), None
    if not path.is_file():
        raise DataError("no such file or folder", file=path)
    if is_image(path):
        return ImageSource(path.parent, (path.name,)), None
    if path.suffix in (".npy", ".npz") or is_idx(path):
        return file_source(path, key), None
    return list_file_source(path)


def split_key(spec: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Path and key of `file.npz:key`."""
    path, colon, key = os.fspath(spec).rpartition(".npz:")
    return (Path(path + ".npz"), key) if colon else (Path(spec), None)


def _with_labels(source: Source, ids: np.ndarray, spec: DataSpec) -> Dataset:
    labels, where = _read_labels(spec)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{labels.dtype} array of shape {labels.shape} holds no labels",
            file=where,
            remedy="give one integer a sample",
        )
    if len(labels) != len(source):
        raise DataError(f"{len(labels)} labels for {len(source)} samples", file=where)
    return Dataset(source, ids, labels.astype(np.int64))


def _read_labels(spec: DataSpec) -> tuple[np.ndarray, str]:
    if not isinstance(spec, (str, os.PathLike)):
        return np.asarray(spec), "labels"
    path, key = split_key(spec)
    if not path.is_file():
        raise DataError("no such file", file=path)
    if path.suffix in (".npy", ".npz") or is_idx(path):
        return read_array(path, key)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        labels = [int(line.split()[-1]) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"is no list of labels ({error})", file=path) from None
    return np.array(labels, np.int64), str(path)
