"""The layer-by-layer comparison, on engines whose errors are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.flat import parse_model, serialise
from demitasse.converter.flat.read import ModelFile
from demitasse.converter.graph import Graph, Node, Quantization, Tensor
from demitasse.converter.ops import Pool2d, Softmax
from demitasse.errors import DataError
from demitasse.quantizer.comparison import compare
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.scoring import class_axes, class_output

X = np.array([[[[1.0, 2.0], [3.0, 100.0]]]], np.float32)


class Recorded:
    """Answers what it was told."""

    def __init__(self, **blobs: np.ndarray) -> None:
        self.blobs = blobs

    def run(self, inputs: Mapping[str, np.ndarray], all_blobs: bool = False) -> dict:
        return self.blobs


def model_file() -> ModelFile:
    """data -> pool -> pooled, int8 with scale 0.5: -64 to 63.5."""
    quant = Quantization(0.5)
    names = ("data", "pooled", "last")
    tensors = {name: Tensor(name, (1, 1, 2, 2), "int8", quant) for name in names}
    pool = Pool2d("max", (1, 1))
    nodes = (Node("pool", pool, ("data",), ("pooled",)), Node("end", pool, ("pooled",), ("last",)))
    graph = Graph(nodes, tensors, ("data",), ("last",), {name: name for name in names})
    return parse_model(serialise(graph)[0])


def run(found: dict[str, np.ndarray], limit: float | None = None):
    expected = {"data": X, "pooled": X, "last": X, "only_float": X}
    dataset = open_dataset(X)
    feed = feed_for({"data": (1, 1, 2, 2)}, Preprocess())
    return compare(Recorded(**found), Recorded(**expected), model_file(), dataset, feed, limit)


def test_rows_stand_in_the_order_of_execution() -> None:
    result = run({"last": X, "data": X, "pooled": X})
    assert [(row.layer, row.blob) for row in result.rows] == [
        ("(input)", "data"),
        ("pool", "pooled"),
        ("end", "last"),
    ]
    assert result.first_bad is None
    assert result.images == 1
    assert {row.sqnr for row in result.rows} == {math.inf}


def test_the_first_bad_layer() -> None:
    result = run({"data": X, "pooled": X * 0, "last": X * 0})
    assert result.first_bad is not None
    assert (result.first_bad.layer, result.first_bad.sqnr) == ("pool", 0.0)
    assert result.limit == 10.0


def test_a_layer_of_nan_is_bad() -> None:
    result = run({"data": X, "pooled": X * np.float32(np.nan), "last": X})
    assert result.first_bad is not None
    assert result.first_bad.blob == "pooled"


def test_clipped_values_are_those_out_of_range() -> None:
    result = run({"data": X, "pooled": X, "last": X})
    assert [row.clipped for row in result.rows] == [0.25] * 3  # 100 is above 63.5


def test_the_limit_decides() -> None:
    near = X + np.float32(0.1)
    power = 10 * math.log10(float((X**2).sum()) / 0.04)
    result = run({"data": near, "pooled": near, "last": near}, limit=power + 1)
    assert result.rows[0].sqnr == pytest.approx(power, abs=0.01)
    assert result.first_bad is not None
    assert run({"data": near, "pooled": near, "last": near}, limit=power - 1).first_bad is None


def test_nothing_in_common() -> None:
    with pytest.raises(DataError, match="no blob in common"):
        run({"data": X[..., :1], "pooled": X[..., :1], "last": X[..., :1]})


def test_the_output_of_the_classes() -> None:
    tensors = {name: Tensor(name, (1, 4)) for name in ("data", "a", "b")}
    nodes = (
        Node("soft", Softmax(1), ("data",), ("a",)),
        Node("soft2", Softmax(0), ("a",), ("b",)),
    )
    graph = Graph(nodes, tensors, ("data",), ("a", "b"), {})
    file = parse_model(serialise(graph)[0])
    assert class_axes(file) == {"a": 1, "b": 0}
    assert class_output(file, "b") == "b"
    with pytest.raises(DataError, match=r"a, b.*--output"):
        class_output(file)
    with pytest.raises(DataError, match="no output 'c'"):
        class_output(file, "c")
    assert class_output(replace(file, outputs={"a": file.outputs["a"]})) == "a"


def test_reading_a_transform_param(tmp_path: Path) -> None:
    from demitasse.quantizer.transform import read_transform

    path = tmp_path / "train.prototxt"
    path.write_text("""
layer { name: "t" type: "Data" top: "data" include { phase: TRAIN } transform_param { scale: 1 } }
layer { name: "d" type: "Data" top: "data" exclude { phase: TRAIN }
  transform_param { scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 crop_size: 7 mirror: true }
}
layer { name: "c" type: "Convolution" bottom: "data" top: "c" }
""")
    found = read_transform(path)
    assert found is not None
    assert found.fields == {"scale": 0.5, "mean_value": [1.0, 2.0, 3.0], "crop_size": 7}
    assert found.line == 4
    assert read_transform(path, "TRAIN").fields == {"scale": 1.0}
    path.write_text('layer { name: "c" type: "Convolution" }')
    assert read_transform(path) is None
