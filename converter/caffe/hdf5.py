"""`.caffemodel.h5`: group `data`, one group a layer, datasets named 0, 1, ... in it.

A `/` in a layer's name made nested groups when the file was written, so the groups are walked and
the path between `data` and the index is the name.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.converter.files import write_whole
from demitasse.errors import ParseError, WeightsError

# What h5py raises for damaged files, names that are no text included.
DAMAGED = (OSError, RuntimeError, KeyError, TypeError, ValueError)
MAX_RATIO = 1032  # the most that deflate can pack


def read_hdf5(path: Path) -> list[WeightLayer]:
    """Every layer that has blobs, as float32. Raises ParseError where it is no Caffe file."""
    try:
        with h5py.File(path, "r") as file:
            root = file.get("data")
            if not isinstance(root, h5py.Group):
                raise ParseError(
                    "expected Caffe weights, found an HDF5 file without a group 'data'",
                    file=path,
                    remedy="give the file that Caffe saved (Keras writes another format)",
                )
            found: dict[str, dict[int, np.ndarray]] = {}
            root.visititems(lambda name, item: _visit(found, name, item, path))
            empty = not len(root)
    except DAMAGED as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise sniff.unreadable(path, error) from None
        raise ParseError(
            f"damaged HDF5 file: {error}", file=path, remedy="fetch it again"
        ) from None
    if empty:
        raise ParseError("expected a caffemodel, found no layers in it", file=path)
    return [
        WeightLayer(name, "", arrays=tuple(blobs[index] for index in sorted(blobs)))
        for name, blobs in found.items()
    ]


def _visit(found: dict[str, dict[int, np.ndarray]], name: str, item: object, path: Path) -> None:
    if not isinstance(item, h5py.Dataset):
        return
    layer, _, index = name.rpartition("/")
    if not index.isdigit() or item.dtype.kind not in "fiu":
        raise WeightsError(
            f"dataset '{index}' of type {item.dtype} is no blob", file=path, layer=layer
        )
    if item.nbytes > MAX_RATIO * path.stat().st_size:
        raise WeightsError(
            f"blob {index} of shape {item.shape} is larger than the file", file=path, layer=layer
        )
    with np.errstate(over="ignore"):  # of doubles: infinite, as in Caffe
        found.setdefault(layer, {})[int(index)] = item[()].astype(np.float32, copy=False)


def write_hdf5(path: Path, layers: Iterable[WeightLayer]) -> None:
    """Write the layers' blobs as float32. The same layers give the same bytes.

    Every layer has a group, as in Caffe's own files. Raises DataError where `path` cannot be
    written.
    """
    content = BytesIO()
    with h5py.File(content, "w", track_order=False) as file:
        root = file.create_group("data")
        for layer in layers:
            group = root.require_group(layer.name)
            for index, array in enumerate(layer.arrays):
                group.create_dataset(str(index), data=np.asarray(array, np.float32))
    write_whole(path, [content.getbuffer()])
