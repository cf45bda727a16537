"""A network and its scale table, without data: the model that calibration made, or what a hand
wrote into the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demitasse
from demitasse.converter.graph import Graph
from demitasse.quantizer.measure import fold
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.table import read_table
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
NETWORK = [str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")]
DATA = ["--data", f"{DIGITS / 'digits.npz'}:calibration", "--samples", "40"]


def compile_(folder: Path, *options: str) -> Path:
    path = folder / "net.demi"
    assert main(["compile", *NETWORK, *DATA, "-o", str(path), *options]) == 0
    return path


def quantize_(table: Path) -> Path:
    out = table.parent / "again" / "net.demi"
    out.parent.mkdir(exist_ok=True)
    command = ["quantize", *NETWORK, "--table", str(table), "-o", str(out)]
    assert main(command) == 0
    return out


@pytest.mark.parametrize(
    "options",
    [
        "--int8",
        "--int16",
        "--symmetric",
        "--no-equalize --method kl --weights mse",
        "--method minmax --method-of conv3=percentile --range-of data=0,2",
        "--method auto",
        "--repair bias",
        "--repair rounding,bias --weights kl",
        "--int4-weights conv3",
        "--min-sqnr 70",
    ],
)
def test_the_table_gives_the_same_bytes(options: str, tmp_path: Path) -> None:
    made = compile_(tmp_path, *options.split())
    table = made.with_suffix(".dtable")
    again = quantize_(table)
    assert again.read_bytes() == made.read_bytes()
    assert again.with_suffix(".dtable").read_bytes() == table.read_bytes()


def test_a_budget_leaves_layers_in_the_table(tmp_path: Path) -> None:
    table = read_table(compile_(tmp_path, "--min-sqnr", "70").with_suffix(".dtable"))
    assert set(table.layers.values()) == {"int16"}
    assert table.precision == "int8"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return compile_(tmp_path, "--no-equalize").with_suffix(".dtable")


def edit(table: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """What somebody would do with an editor."""
    root = json.loads(table.read_text())
    change(root)
    table.write_text(json.dumps(root, indent=1))


def integers(table: Path) -> Graph:
    read = read_table(table)
    return quantize(fold(demitasse.load_caffe(*NETWORK), read.equalized), read)


def test_a_scale_and_a_zero_point_count(table: Path) -> None:
    before = quantize_(table).read_bytes()
    edit(table, lambda root: root["tensors"]["conv3"].update(scale=0.25, zero_point=7))
    quant = integers(table).tensors["conv3"].quant
    assert quant is not None
    assert (quant.scale, quant.zero_point) == (0.25, 7)
    model = quantize_(table)
    assert model.read_bytes() != before
    assert json.loads(model.with_suffix(".dtable").read_text()) == json.loads(table.read_text())


def test_the_precision_of_a_layer_counts(table: Path) -> None:
    edit(table, lambda root: root["layers"].update({"conv3": "int16"}))
    graph = integers(table)
    assert graph.tensors["conv3"].dtype == "int16"
    assert graph.tensors["conv1"].dtype == "int8"
    quantize_(table)


def test_weights_and_biases_count(table: Path) -> None:
    def change(root: dict[str, Any]) -> None:
        root["weights"] = {"score": [0.5] * 10}
        root["biases"] = {"score": [0.0] * 9 + [2.0]}

    edit(table, change)
    node = next(node for node in integers(table).nodes if node.name == "score")
    float_node = next(n for n in fold(demitasse.load_caffe(*NETWORK)).nodes if n.name == "score")
    expected = np.floor(float_node.weights["weight"].astype(np.float64) / 0.5 + 0.5)
    np.testing.assert_array_equal(node.weights["weight"], expected)
    assert np.flatnonzero(node.weights["bias"]).tolist() == [9]
    quantize_(table)


def test_a_row_that_nothing_has_is_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(table, lambda root: root["tensors"].update(nix=root["tensors"]["conv3"]))
    capsys.readouterr()
    quantize_(table)
    assert "the table has a scale for 'nix', which the network lacks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root["tensors"].pop("conv3"), "no scale for tensor 'conv3'"),
        (
            lambda root: root["tensors"].update(conv4=root["tensors"].pop("conv3")),
            "no scale for tensor 'conv3'",
        ),
        (lambda root: root["tensors"]["conv3"].update(scale=0), "tensors.conv3.scale"),
        (lambda root: root["tensors"]["conv3"].update(scale="1"), "tensors.conv3.scale"),
        (lambda root: root["tensors"]["conv3"].update(zero_point=200), "tensors.conv3.zero_point"),
        (lambda root: root["tensors"]["conv3"].pop("scale"), "tensors.conv3.scale: missing"),
        (lambda root: root["layers"].update(conv3="int4"), "layers.conv3"),
        (lambda root: root["layers"].update(conv9="int16"), "layer 'conv9' a precision"),
        (lambda root: root["weights"].update(conv9=[1.0]), "layer 'conv9' weight scales"),
        (lambda root: root["weights"].update(score=[1.0, 1.0]), "2 weight scales, expected 10"),
        (lambda root: root.update(biases={"conv9": [1.0]}), "layer 'conv9' biases"),
        (lambda root: root.update(biases={"score": [1.0]}), "1 biases, expected 10"),
        (lambda root: root.update(weight_bits={"score": 5}), "weight_bits.score"),
        (lambda root: root.update(rounding={"score": "?"}), "rounding.score"),
        (lambda root: root.update(precision="int7"), "precision"),
        (lambda root: root.pop("tensors"), "tensors: missing"),
        (
            lambda root: root.update(layer={"conv3": "int16"}),
            "layer: no such key; known are format",
        ),
        (lambda root: root["tensors"]["conv3"].update(zeropoint=1), "tensors.conv3.zeropoint: no"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    table: Path,
    change: Callable[[dict[str, Any]], object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(table, change)
    out = table.parent / "other.demi"
    capsys.readouterr()
    assert main(["quantize", *NETWORK, "--table", str(table), "-o", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not out.exists()
