"""Read a `.caffemodel.h5`: group `data`, one group a layer, datasets named 0, 1, ... in it.

A `/` in a layer's name made nested groups when the file was written, so the groups are walked and
the path between `data` and the index is the name.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.errors import ParseError, WeightsError


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
    except (OSError, RuntimeError) as error:  # h5py's own for damaged files
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise sniff.unreadable(path, error) from None
        raise ParseError(
            f"damaged HDF5 file: {error}", file=path, remedy="fetch it again"
        ) from None
    if not found:
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
    found.setdefault(layer, {})[int(index)] = item[()].astype(np.float32, copy=False)
