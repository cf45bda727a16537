"""RKNN's quantization.cfg, as its toolkit writes it: what is read, and what is filled in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops import Conv2d, Relu, Softmax
from demitasse.errors import DataError
from demitasse.quantizer.foreign import rknn
from demitasse.quantizer.table import ScaleTable, TensorScale, read_table
from demitasse.tools.main import main

yaml = pytest.importorskip("yaml")

# The form and the layout of a file of RKNN Toolkit 1.7: numbers in lists, three blanks after "-".
TEXT = """\
# notes by hand
customized_quantize_layers:
    prob_9: dynamic_fixed_point-i16
quantize_parameters:
    '@data_0:out0':
        dtype: asymmetric_affine
        method: layer
        max_value:
        -   127.0
        min_value:
        -   -128.0
        zero_point:
        -   128
        scale:
        -   1.0
        qtype: u8
    '@conv1_1_3:out0':
        dtype: asymmetric_affine
        method: layer
        max_value:
        -   5.0
        min_value:
        -   -5.0
        zero_point:
        -   128
        scale:
        -   0.04
        qtype: u8
    '@conv1_1_3:weight':
        dtype: asymmetric_affine
        method: layer
        max_value:
        -   0.13
        min_value:
        -   -0.17
        zero_point:
        -   142
        scale:
        -   0.5
        qtype: u8
    '@conv1_1_3:bias':
        dtype: asymmetric_affine
        method: layer
        max_value:
        min_value:
        zero_point:
        -   0
        scale:
        -   0.5
        qtype: i32
    '@relu1_4:out0':
        dtype: asymmetric_affine
        method: layer
        max_value:
        -   63.75
        min_value:
        -   0.0
        zero_point:
        -   0
        scale:
        -   0.25
        qtype: u8
    '@prob_9:out0':
        dtype: asymmetric_affine
        method: layer
        max_value:
        -   1.0
        min_value:
        -   0.0
        zero_point:
        -   0
        scale:
        -   0.00390625
        qtype: u8
    '@extra_10:out0':
        qtype: u8
"""


def network() -> Graph:
    """data -> conv1_1 with relu1 folded in -> prob."""
    tensors = {n: Tensor(n, (1, 2, 1, 1)) for n in ("data", "relu1", "prob")}
    conv = Conv2d(channels=2, kernel=(1, 1), activation=Relu())
    weights = {"weight": np.ones((2, 2, 1, 1), np.float32)}
    nodes = (
        Node("conv1_1", conv, ("data",), ("relu1",), weights, ("conv1_1", "relu1")),
        Node("prob", Softmax(), ("relu1",), ("prob",), origin=("prob",)),
    )
    blobs = {"data": "data", "relu1": "relu1", "prob": "prob"}
    return Graph(nodes, tensors, ("data",), ("prob",), blobs)


def read(text: str, folder: Path) -> ScaleTable:
    path = folder / "net.quantization.cfg"
    path.write_text(text)
    return rknn.read(path, network())


def test_scales_and_zero_points_are_read(tmp_path: Path) -> None:
    table = read(TEXT, tmp_path)
    assert (table.precision, table.symmetric, table.method) == ("int8", False, "rknn")
    assert table.tensors == {
        "data": TensorScale(1.0, 0, -128.0, 127.0, -128.0, 127.0),
        "relu1": TensorScale(0.25, -128, 0.0, 63.75, 0.0, 63.75),  # not conv1_1's
        "prob": TensorScale(0.00390625, -128, 0.0, 0.99609375, 0.0, 0.99609375),
    }
    assert table.layers == {"prob": "int16"}
    assert table.weights == {}
    assert table.warnings == ()


FIXED = """\
quantize_parameters:
    '@data_0:out0': {{qtype: {0}, fl: [2], max_value: [30.0], min_value: [-20.0]}}
    '@relu1_4:out0': {{qtype: i16, fl: 9, max_value: 51.0, min_value: 0.0}}
"""


def test_dynamic_fixed_point_is_a_power_of_two(tmp_path: Path) -> None:
    table = read(FIXED.format("i16"), tmp_path)
    assert table.precision == "int16"
    assert {name: row.scale for name, row in table.tensors.items()} == {
        "data": 0.25,
        "relu1": 1 / 512,
    }
    table = read(FIXED.format("i8"), tmp_path)
    assert table.precision == "int8"
    assert table.tensors["data"] == TensorScale(0.25, 0, -20.0, 30.0, -20.0, 30.0)
    relu = table.tensors["relu1"]  # eight bits for 0 .. 51
    assert (relu.scale, relu.zero_point) == (pytest.approx(0.2), -128)


def test_what_float_layers_and_strange_names_become(tmp_path: Path) -> None:
    text = TEXT.replace("prob_9: dynamic_fixed_point-i16", "{prob_9: float32, x_1: float32}")
    table = read(text.replace("layers:\n    {", "layers: {"), tmp_path)
    assert table.layers == {"prob": "int16"}
    assert table.warnings == (
        "layer 'prob' is float32 in RKNN, INT16 here",
        "customized_quantize_layers: the network has no layer 'x_1'",
    )


OURS = ScaleTable(
    "int8",
    False,
    "mse",
    "",
    {
        "data": TensorScale(2.0, -128, 0.0, 510.0, 0.0, 255.0),
        "relu1": TensorScale(0.125, -128, 0.0, 31.875, 0.0, 33.0),
        "prob": TensorScale(0.5, 3, -65.5, 62.0, -65.5, 62.0),
    },
    layers={"conv1_1": "int16"},
)


def test_the_toolkits_file_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "net.quantization.cfg"
    path.write_text(TEXT)
    rknn.write(OURS, network(), path)
    root, before = yaml.safe_load(path.read_text()), yaml.safe_load(TEXT)
    assert root["customized_quantize_layers"] == {
        "conv1_1_3": "dynamic_fixed_point-i16",
        "relu1_4": "dynamic_fixed_point-i16",
    }
    found, old = root["quantize_parameters"], before["quantize_parameters"]
    assert list(found) == list(old)
    relu = {"max_value": [31.875], "min_value": [0.0], "zero_point": [0], "scale": [0.125]}
    assert found["@relu1_4:out0"] == old["@relu1_4:out0"] | relu
    assert found["@conv1_1_3:out0"] == old["@conv1_1_3:out0"] | relu  # as the toolkit has it
    assert found["@prob_9:out0"]["zero_point"] == [131]
    assert found["@prob_9:out0"]["min_value"] == [-65.5]
    assert found["@conv1_1_3:bias"]["scale"] == [2.0 * 0.5]
    for same in ("@conv1_1_3:weight", "@extra_10:out0"):
        assert found[same] == old[same]
    again = rknn.read(path, network())
    for name, row in OURS.tensors.items():
        assert (again.tensors[name].scale, again.tensors[name].zero_point) == (
            row.scale,
            row.zero_point,
        )
    assert again.layers == OURS.layers


def test_what_cannot_be_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "net.quantization.cfg"
    with pytest.raises(DataError, match=r"there is none; let hybrid_quantization_step1"):
        rknn.write(OURS, network(), path)
    assert not path.exists()
    path.write_text(TEXT.replace("qtype: u8", "qtype: i8"))
    with pytest.raises(DataError, match=r"@data_0:out0 is not of u8"):
        rknn.write(OURS, network(), path)
    with pytest.raises(DataError, match="starts from INT8"):
        rknn.write(ScaleTable("int16", True, "", "", {}), network(), path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"net.quantization.cfg:1: is no quantization.cfg of RKNN \(not YAML\)"),
        ("[" * 5000, "not YAML"),
        ("- 1", "has no quantize_parameters"),
        ("quantize_parameters: {}", "knows no layer of this network"),
        ("quantize_parameters: {1: 2}", "layers have names"),
        (TEXT.replace("-   0.25", "-   0.0"), "@relu1_4:out0: 0 and 0 are no scale"),
        (TEXT.replace("-   0.25", "-   .nan"), "scale is no float32"),
        (TEXT.replace("-   0.25", "-   x"), "scale is no number"),
        (TEXT.replace("-   128", "-   256"), "no scale and zero point"),
        (TEXT.replace("qtype: u8", "qtype: f8"), "neither u8, i8 nor i16"),
        (FIXED.format("i16").replace("fl: 9", "fl: 300"), "fl is 300"),
        (TEXT.replace("point-i16", "point-i4"), "'prob_9' is dynamic_fixed_point-i4, none of"),
        (TEXT.replace(": dynamic_fixed_point-i16", ": [1]"), r"'prob_9' is \[1\], none of"),
    ],
)
def test_bad_files_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(text, tmp_path)
    assert "net.quantization.cfg" in str(error.value)


def test_without_pyyaml_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DataError, match=r"needs PyYAML; pip install demitasse\[rknn\]"):
        read(TEXT, tmp_path)


def test_the_commands_fill_it_in_and_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = Path(__file__).resolve().parents[3] / "examples" / "digits"
    network = [str(digits / "deploy.prototxt"), str(digits / "digits.caffemodel")]
    data = ["--data", f"{digits / 'digits.npz'}:calibration"]
    path, ours, out = (tmp_path / n for n in ("net.quantization.cfg", "net.dtable", "net.demi"))
    assert main(["calibrate", *network, *data, "-o", str(path)]) == 2
    assert "let hybrid_quantization_step1 of its toolkit write it" in capsys.readouterr().err
    row = "{qtype: u8, scale: [1.0], zero_point: [0], max_value: [255.0], min_value: [0.0]}"
    names = ("data_0", "conv3_17", "score_20")
    lines = [f"    '@{name}:out0': {row}\n" for name in names]
    path.write_text("quantize_parameters:\n" + "".join(lines))
    assert main(["calibrate", *network, *data, "-o", str(path)]) == 0
    assert main(["calibrate", *network, *data, "--no-equalize", "-o", str(ours)]) == 0
    assert main(["quantize", *network, *data, "--table", str(path), "-o", str(out)]) == 0
    found, expected = read_table(out.with_suffix(".dtable")), read_table(ours)
    for name in ("data", "conv3", "score"):
        given, wanted = found.tensors[name], expected.tensors[name]
        assert (given.scale, given.zero_point) == (wanted.scale, wanted.zero_point)
