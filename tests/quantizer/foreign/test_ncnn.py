"""ncnn's `.table`: the exact text, and what comes back from it."""

from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops.activation import Relu
from demitasse.converter.ops.conv import Conv2d, InnerProduct
from demitasse.errors import DataError
from demitasse.quantizer.foreign.ncnn import from_ncnn, read, to_ncnn, write
from demitasse.quantizer.table import ScaleTable, TensorScale


def conv(name: str, x: str, y: str, weight: np.ndarray, groups: int = 1) -> Node:
    op = Conv2d(channels=len(weight), kernel=(1, 1), groups=groups)
    return Node(name, op, (x,), (y,), {"weight": weight.reshape(*weight.shape, 1, 1)}, (name,))


def network() -> Graph:
    """data -> conv1 (2) -> relu -> dw (depthwise) and grouped (2 groups of 2) -> ip."""
    nodes = (
        conv("conv1", "data", "conv1", np.float32([[0.5, -1.0, 0.25], [0, 0, 0]])),
        Node("relu1", Relu(), ("conv1",), ("relu1",)),
        conv("dw", "relu1", "dw", np.float32([[2.0], [-0.5]]), groups=2),
        conv("grouped", "relu1", "grouped", np.float32([[1], [-4], [0.5], [0.1]]), groups=2),
        Node("ip", InnerProduct(2), ("grouped",), ("ip",), {"weight": np.eye(2, 4)}),
    )
    names = ["data", "conv1", "relu1", "dw", "grouped", "ip"]
    tensors = {n: Tensor(n, (1, 2, 1, 1)) for n in names}
    return Graph(nodes, tensors, ("data",), ("dw", "ip"))


def table(scale: float = 0.5, zero_point: int = 0, **weights: tuple[float, ...]) -> ScaleTable:
    tensors = {
        name: TensorScale(s, zero_point, -127 * s, 127 * s, -127 * s, 127 * s)
        for name, s in (("data", scale), ("relu1", 0.0625), ("grouped", 4.0))
    }
    return ScaleTable("int8", True, "mse", "", tensors, weights)


TEXT = (
    "conv1_param_0 127.000000 1.000000 \n"
    "dw_param_0 63.500000 254.000000 \n"
    "grouped_param_0 31.750000 254.000000 \n"
    "ip_param_0 127.000000 127.000000 \n"
    "conv1 2.000000 \n"
    "dw 16.000000 \n"
    "grouped 16.000000 \n"
    "ip 0.250000 \n"
)


def test_the_exact_text() -> None:
    assert to_ncnn(table(), network()) == TEXT


def test_weight_scales_of_the_table_win_over_the_weights() -> None:
    text = to_ncnn(table(conv1=(0.25, 0.5), grouped=(1.0, 2.0, 3.0, 4.0)), network())
    assert text.startswith("conv1_param_0 4.000000 2.000000 \n")
    assert "\ngrouped_param_0 0.500000 0.250000 \n" in text


def test_round_trip(tmp_path: Path) -> None:
    write(table(), network(), tmp_path / "x.table")
    again = read(tmp_path / "x.table", network())
    assert again.tensors == table().tensors
    assert again.weights["conv1"] == (float(np.float32(1 / 127)), 1.0)
    assert len(again.weights["grouped"]) == 4
    assert (again.precision, again.symmetric, again.warnings) == ("int8", True, ())
    assert to_ncnn(again, network()) == TEXT


def test_reading_follows_ncnn() -> None:
    # An empty line ends the table; a # before a layer's name leaves it out.
    found = from_ncnn("conv1 2.0\n#ip 0.25\n\ndw 16.0\n", network())
    assert set(found.tensors) == {"data"}
    assert found.warnings == ("line 2: layer 'ip' is left out",)
    # The weights of a pruned channel may have multiplier 0.
    assert from_ncnn("conv1 2\nconv1_param_0 4 0\n", network()).weights == {"conv1": (0.25, 1.0)}


def test_readers_of_one_tensor_that_differ_take_the_widest_range() -> None:
    found = from_ncnn("dw 16.0\ngrouped 8.0\n", network())
    assert found.tensors["relu1"].scale == 0.125
    assert found.warnings == ("tensor 'relu1': its readers differ; the widest range counts",)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (table(zero_point=-128), "symmetric INT8 scales only; calibrate with --symmetric"),
        (ScaleTable("int16", True, "minmax", "", {}), "symmetric INT8 scales only"),
        (table(scale=1e8), "layer 'conv1': a scale vanishes in the six decimals"),
        (ScaleTable("int8", True, "mse", "", {}), "no scale for tensor 'data'"),
    ],
)
def test_what_ncnn_cannot_hold(changed: ScaleTable, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_ncnn(changed, network())


def test_names_that_ncnn_cannot_read() -> None:
    nodes = (conv("a b", "data", "y", np.ones((2, 3), np.float32)),)
    graph = Graph(nodes, network().tensors, ("data",), ("y",))
    with pytest.raises(DataError, match="ncnn cannot read the key 'a b_param_0'"):
        to_ncnn(table(), graph)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no layer's input scale"),
        ("conv1_param_0 1 1 \n", "holds no layer's input scale"),
        ("relu1 2\n", ":1: layer 'relu1': the network has no such layer with weights; use"),
        ("conv1 2\nnix_param_0 2\n", ":2: layer 'nix': the network has no such layer"),
        ("conv1 2 3\n", ":1: layer 'conv1': 1 numbers expected, 2 found"),
        ("conv1\n", ":1: layer 'conv1': 1 numbers expected, 0 found"),
        ("conv1_param_0 2\n", ":1: layer 'conv1': 2 numbers expected, 1 found"),
        ("grouped_param_0 1 2 3 4\n", "2 numbers expected, 4 found"),
        ("conv1 two\n", ":1: layer 'conv1': could not convert"),
        ("conv1 inf\n", "inf is no scale"),
        ("conv1 -1\n", "-1 is no scale"),
        ("conv1 0\n", "the scale of the input is 0"),
    ],
)
def test_bad_tables_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.table"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path, network())
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_binary_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.table").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not text"):
        read(tmp_path / "x.table", network())
