"""Weights in HDF5, written here as Caffe writes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from demitasse.converter.caffe.weights import read_weights
from demitasse.errors import ParseError


def test_layers_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel.h5"
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    with h5py.File(path, "w") as file:
        file["data/fc/0"] = weight
        for index in range(11):  # 10 sorts before 2 as a word
            file[f"data/conv2_1/dw/{index}"] = np.float64([index])
        file.create_group("data/relu")
        file["diff/fc/0"] = weight + 1
    layers = {layer.name: layer.arrays for layer in read_weights(path)}
    assert set(layers) == {"fc", "conv2_1/dw"}
    np.testing.assert_array_equal(layers["fc"][0], weight)
    assert [float(a[0]) for a in layers["conv2_1/dw"]] == list(range(11))
    assert layers["conv2_1/dw"][0].dtype == np.float32


def test_other_hdf5_files(tmp_path: Path) -> None:
    path = tmp_path / "keras.h5"
    with h5py.File(path, "w") as file:
        file["model_weights/x"] = [1.0]
    with pytest.raises(ParseError, match="without a group 'data'"):
        read_weights(path)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file["data/fc/0"] = np.zeros(1000, np.float32)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ParseError, match="damaged HDF5 file"):
        read_weights(path)
