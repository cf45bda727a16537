"""TensorRT's cache and Tengine's scale file: the exact text, and what comes back from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops import Relu, Softmax
from demitasse.errors import DataError
from demitasse.quantizer.foreign import FORMATS, tengine, tensorrt
from demitasse.quantizer.table import ScaleTable, TensorScale


def network() -> Graph:
    """data -> relu in place -> prob; the first value of `data` has no name that others know."""
    tensors = {n: Tensor(n, (1, 3)) for n in ("data", "data@relu", "prob: a")}
    nodes = (
        Node("relu", Relu(), ("data",), ("data@relu",)),
        Node("prob", Softmax(), ("data@relu",), ("prob: a",)),
    )
    blobs = {"data": "data@relu", "data@relu": "data@relu", "prob: a": "prob: a"}
    return Graph(nodes, tensors, ("data",), ("prob: a",), blobs)


def row(scale: float, zero_point: int = 0) -> TensorScale:
    low, high = (float(np.float32((code - zero_point) * scale)) for code in (-128, 127))
    return TensorScale(float(np.float32(scale)), zero_point, low, high, low, high)


SYMMETRIC = ScaleTable(
    "int8",
    True,
    "mse",
    "",
    {"data": row(1.0), "data@relu": row(0.00784518), "prob: a": row(1 / 127)},
)
ASYMMETRIC = ScaleTable(
    "int8",
    False,
    "mse",
    "",
    {"data": row(1.0), "data@relu": row(0.25, -128), "prob: a": row(0.5, 3)},
)


def test_tensorrt_as_its_samples_have_it(tmp_path: Path) -> None:
    # 3c008912 stands for 0.00784518 in a published cache
    tensorrt.write(SYMMETRIC, network(), tmp_path / "net.cache")
    lines = (tmp_path / "net.cache").read_text().splitlines()
    assert lines == [tensorrt.HEADER, "data: 3c008912", "prob: a: 3c010204"]


def test_tengine_shifts_zero_points_of_uint8(tmp_path: Path) -> None:
    graph = network()
    tables = {tensor.replace(":", ""): ASYMMETRIC.tensors[tensor] for tensor in graph.tensors}
    blobs = {key.replace(": ", ""): name for key, name in graph.blobs.items()}
    graph = Graph(graph.nodes, graph.tensors, graph.inputs, graph.outputs, blobs)
    tengine.write(ASYMMETRIC, graph, tmp_path / "net.scale")
    assert (tmp_path / "net.scale").read_text() == "data 0.250000 0\nproba 0.500000 131\n"
    again = tengine.read(tmp_path / "net.scale", graph)
    assert not again.symmetric
    assert again.tensors["data@relu"] == tables["data@relu"]
    assert again.tensors["prob: a"].zero_point == 3


@pytest.mark.parametrize("ending", [".cache", ".scale"])
def test_symmetric_tables_come_back(ending: str, tmp_path: Path) -> None:
    graph = network()
    blobs = {key.replace(": ", ""): name for key, name in graph.blobs.items()}
    graph = Graph(graph.nodes, graph.tensors, graph.inputs, graph.outputs, blobs)
    path = tmp_path / f"net{ending}"
    FORMATS[ending].write(SYMMETRIC, graph, path)
    again = FORMATS[ending].read(path, graph)
    assert again.symmetric
    assert set(again.tensors) == {"data@relu", "prob: a"}
    for name, found in again.tensors.items():
        assert found.zero_point == 0
        assert found.scale == pytest.approx(SYMMETRIC.tensors[name].scale, abs=5e-7)


def test_what_other_tools_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="symmetric INT8 scales only"):
        tensorrt.write(ASYMMETRIC, network(), tmp_path / "x.cache")
    with pytest.raises(DataError, match=r"cannot read the name 'prob: a'"):
        tengine.write(SYMMETRIC, network(), tmp_path / "x.scale")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ending", "text", "message"),
    [
        (".cache", "", "its first line names no TRT"),
        (".cache", "TRT-7000-Entropy\ndata 3c008912\n", r"x.cache:2: 'data 3c008912' is no tensor"),
        (".cache", "TRT-7000-Entropy\ndata: 3c0089\n", "x.cache:2"),
        (".cache", "TRT-7000-Entropy\ndata: bc008912\n", "x.cache:2"),
        (".cache", "TRT-7000-Entropy\nother: 3c008912\n", "knows no blob of this network"),
        (".scale", "data 0.1\n", "x.scale:1: 'data 0.1' is no tensor"),
        (".scale", "data -0.1 0\n", "x.scale:1"),
        (".scale", "data nan 0\n", "x.scale:1"),
        (".scale", "data 0.1 999\n", "x.scale:1"),
        (".scale", "nix 0.1 0\n", "knows no blob of this network"),
    ],
)
def test_bad_files_are_named(ending: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{ending}"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        FORMATS[ending].read(path, network())
