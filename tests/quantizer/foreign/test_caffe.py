"""quantization_param of Ristretto and of Intel's Caffe: scales by hand from its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize
from demitasse.errors import DemitasseError
from demitasse.quantizer.foreign import caffe
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.table import ScaleTable, TensorScale, read_table
from demitasse.quantizer.table_files import save_table
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits"

INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 2, 4, 4] } } }'
)
CONV = """
layer { name: "conv" type: "%s" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "msra" } }
  quantization_param { %s } }"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }'
FC = """
layer { name: "fc" type: "%s" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "msra" } }
  quantization_param { %s } }"""
NORM = 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }'


def read(folder: Path, *layers: str) -> tuple[ScaleTable, Graph]:
    path = folder / "net.prototxt"
    path.write_text("\n".join([INPUT, *layers]))
    graph = optimize(load_caffe(path, random_weights=1))
    return caffe.read(path, graph), graph


def row(scale: float, zero_point: int, low: float, high: float) -> TensorScale:
    return TensorScale(scale, zero_point, low, high, low, high)


RISTRETTO = (
    "bw_layer_in: 8 bw_layer_out: 8 bw_params: 8 fl_layer_in: -1 fl_layer_out: 4 fl_params: 9"
)


def test_ristretto_counts_bits_behind_the_point(tmp_path: Path) -> None:
    fc = "bw_layer_in: 8 bw_layer_out: 8 bw_params: 4 fl_layer_in: 3 fl_layer_out: 5 fl_params: 2"
    table, graph = read(
        tmp_path, CONV % ("ConvolutionRistretto", RISTRETTO), RELU, FC % ("FcRistretto", fc)
    )
    assert (table.precision, table.symmetric, table.method) == ("int8", True, "quantization_param")
    relu = graph.blobs["conv"]
    assert table.tensors == {
        "data": row(2.0, 0, -256.0, 254.0),
        relu: row(0.125, 0, -16.0, 15.875),  # what fc reads, not what conv writes
        "fc": row(2.0**-5, 0, -4.0, 127 / 32),
    }
    assert table.weights == {"conv": (2.0**-9,) * 2, "fc": (0.25,) * 3}
    assert table.weight_bits == {"fc": 4}
    assert table.layers == {}
    integer = quantize(graph, table)
    expected = np.floor(graph.nodes[0].weights["weight"] * 512 + np.float32(0.5))
    conv = next(node for node in integer.nodes if node.name == "conv")
    np.testing.assert_array_equal(conv.weights["weight"], np.clip(expected, -127, 127))


def test_other_widths_keep_their_range(tmp_path: Path) -> None:
    narrow = "bw_layer_in: 6 bw_layer_out: 16 fl_layer_in: 2 fl_layer_out: 8"
    table, graph = read(tmp_path, CONV % ("ConvolutionRistretto", narrow))
    assert table.tensors["data"] == row(2.0**-4, 0, -8.0, 7.75)  # 64 steps of 1/4 as 256 of 1/16
    assert table.tensors["conv"].scale == 1.0  # 65536 steps of 1/256 as 256 of 1
    assert table.layers == {"conv": "int16"}
    assert table.weights == {}
    quantize(graph, table)


def test_sixteen_bits_throughout_are_int16(tmp_path: Path) -> None:
    wide = "bw_layer_in: 16 bw_layer_out: 16 bw_params: 16 fl_layer_in: 8 fl_layer_out: 10"
    table, graph = read(tmp_path, CONV % ("ConvolutionRistretto", wide + " fl_params: 14"))
    assert (table.precision, table.weights, table.layers) == ("int16", {}, {})
    assert table.tensors["data"].scale == 2.0**-8
    assert table.tensors["conv"].scale == 2.0**-10
    quantize(graph, table)


INTEL = """bw_layer_in: 8 bw_layer_out: 8 bw_params: 8 scale_in: 4 scale_out: 8
  scale_params: 64 scale_params: 0 """


def test_intels_factors_are_unsigned_or_not(tmp_path: Path) -> None:
    table, graph = read(tmp_path, CONV % ("Convolution", INTEL), RELU)
    assert not table.symmetric
    assert table.tensors == {
        "data": row(0.25, -128, 0.0, 63.75),
        graph.blobs["conv"]: row(0.125, -128, 0.0, 31.875),
    }
    assert table.weights == {"conv": (1 / 64, 1.0)}
    table, _ = read(tmp_path, CONV % ("Convolution", INTEL + "is_negative_input: true"))
    assert table.symmetric
    assert table.tensors == {
        "data": row(0.25, 0, -32.0, 31.75),
        "conv": row(0.125, 0, -16.0, 15.875),
    }


def test_a_float_output_has_no_scale(tmp_path: Path) -> None:
    last = "bw_layer_in: 8 bw_layer_out: 32 scale_in: 4 scale_out: 1"
    table, _ = read(tmp_path, CONV % ("Convolution", last))
    assert set(table.tensors) == {"data"}


def test_what_is_folded_in_changes_weights_and_output(tmp_path: Path) -> None:
    table, _ = read(tmp_path, CONV % ("ConvolutionRistretto", RISTRETTO), NORM, RELU)
    assert table.tensors == {"data": row(2.0, 0, -256.0, 254.0)}
    assert table.weights == {}


def test_the_widest_of_two_readers_counts(tmp_path: Path) -> None:
    second = (CONV % ("ConvolutionRistretto", RISTRETTO.replace("-1", "2"))).replace(
        '"conv"', '"other"'
    )
    table, _ = read(tmp_path, CONV % ("ConvolutionRistretto", RISTRETTO), second)
    assert table.tensors["data"].scale == 2.0
    assert table.warnings == ("tensor 'data': its readers differ; the widest range counts",)


def test_what_is_no_integer_says_nothing(tmp_path: Path) -> None:
    powers = "precision: INTEGER_POWER_OF_2_WEIGHTS " + RISTRETTO + " exp_min: -8 exp_max: -1"
    table, _ = read(tmp_path, CONV % ("ConvolutionRistretto", powers))
    assert table.tensors["data"].scale == 2.0
    assert table.weights == {}
    fc = FC % ("FcRistretto", "precision: MINIFLOAT mant_bits: 4 exp_bits: 3")
    table, _ = read(tmp_path, CONV % ("ConvolutionRistretto", RISTRETTO), fc)
    assert table.warnings == ("layer 'fc': minifloats are no integers",)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", "net.prototxt: no quantization_param says a scale"),
        ("bw_layer_in: 32 fl_layer_in: 3", "no quantization_param says a scale"),
        ("bw_layer_in: 8 fl_layer_in: 3.5", "layer 'conv': fl_layer_in should be an integer"),
        ("bw_layer_in: 0 fl_layer_in: 3", "layer 'conv': bw_layer_in: 0 is no number of bits"),
        ("bw_layer_in: 8 fl_layer_in: 99", "99 bits behind the point are beyond 64"),
        ("bw_layer_in: 8 scale_in: 0", "layer 'conv': 0.0 is no scale"),
        ("bw_layer_in: 8 scale_in: nan", "nan is no scale"),
        ("precision: 7", "precision should be one of"),
        (RISTRETTO + " scale_params: [1, 2, 3]", "3 scales of weights, expected 1 or 2"),
    ],
)
def test_nonsense_is_named(said: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DemitasseError, match=message) as error:
        read(tmp_path, CONV % ("ConvolutionRistretto", said))
    assert "net.prototxt" in str(error.value)


def test_a_prototxt_is_a_table_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DIGITS / "deploy.prototxt").read_text()
    said = f'name: "conv3" quantization_param {{ {RISTRETTO} }}'
    prototxt, out = tmp_path / "quantized.prototxt", tmp_path / "net.demi"
    prototxt.write_text(text.replace('name: "conv3"', said))
    network = [str(prototxt), str(DIGITS / "digits.caffemodel"), "--strict"]
    command = ["quantize", *network, "--table", str(prototxt), "-o", str(out)]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "Ristretto, Intel's Caffe has no scale for" in error
    assert "give --data to measure it" in error
    assert main([*command, "--data", f"{DIGITS / 'digits.npz'}:calibration"]) == 0
    table = read_table(out.with_suffix(".dtable"))
    assert table.tensors["pool2"].scale == 2.0
    assert table.weights == {}  # a BatchNorm is folded in
    assert table.tensors["conv1"].max > 0  # measured
    assert "the table has none: " in table.warnings[0]
    with pytest.raises(DemitasseError, match="is only read; name a"):
        save_table(table, prototxt)
