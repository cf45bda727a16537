"""Weights of four bits and repairs by the commands: smaller, as good, and all in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.quantizer.measure import fold
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer
from demitasse.quantizer.table import ScaleTable, read_table
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
NETWORK = [str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")]
DATA = ["--data", f"{DIGITS / 'digits.npz'}:calibration"]


def compiled(path: Path, *options: str) -> tuple[bytes, ScaleTable]:
    assert main(["compile", *NETWORK, *DATA, "-o", str(path), *options]) == 0
    return path.read_bytes(), read_table(path.with_suffix(".dtable"))


def test_a_table_gives_the_same_model_without_data(tmp_path: Path) -> None:
    plain, _ = compiled(tmp_path / "plain.demi")
    small, table = compiled(tmp_path / "small.demi", "--int4-weights", "all")
    assert table.weight_bits == {"conv1": 4, "conv2/pw": 4, "conv3": 4, "score": 4}
    assert table.biases
    assert table.rounding
    again = tmp_path / "again.demi"
    command = ["quantize", *NETWORK, "--table", str(tmp_path / "small.dtable"), "-o", str(again)]
    assert main(command) == 0
    assert again.read_bytes() == small
    assert (tmp_path / "again.dtable").read_bytes() == (tmp_path / "small.dtable").read_bytes()
    integer = quantize(fold(demitasse.load_caffe(*NETWORK), table.equalized), table)
    weights = sum(n.weights["weight"].size for n in integer.nodes if "weight_bits" in n.weights)
    assert len(plain) - len(small) > 0.45 * weights


def test_the_runtime_has_the_bits_of_the_reference(tmp_path: Path) -> None:
    _, table = compiled(tmp_path / "x.demi", "--int4-weights", "conv3,score")
    assert set(table.weight_bits) == {"conv3", "score"}
    integer = quantize(fold(demitasse.load_caffe(*NETWORK), table.equalized), table)
    images = np.load(DIGITS / "digits.npz")["images"][:8]
    blobs = images.reshape(8, 1, 8, 8).astype(np.float32) * np.float32(0.00390625)
    (expected,) = run_integer(integer, {"data": blobs}).values()
    for kernels in (None, "generic"):
        model = demitasse.Model.open(tmp_path / "x.demi", kernels=kernels)
        assert np.array_equal(model.run({"data": blobs})["prob"], expected)


@pytest.mark.parametrize(
    ("options", "biases", "rounding"),
    [
        (["--int4-weights", "score", "--repair", "none"], False, False),
        (["--repair", "bias"], True, False),
        (["--repair", "rounding", "--weights", "mse"], False, True),
        (["--repair", "means"], False, False),
        ([], False, False),
    ],
)
def test_what_is_repaired_is_a_choice(
    options: list[str], biases: bool, rounding: bool, tmp_path: Path
) -> None:
    _, table = compiled(tmp_path / "x.demi", *options)
    assert (bool(table.biases), bool(table.rounding)) == (biases, rounding)
    assert bool(table.means) == ("means" in options)
    assert table.weight_method == ("mse" if "mse" in options else "max")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--int4-weights", "nix"], "layer 'nix' weight bits"),
        (["--int4-weights", "conv2/dw"], "layer 'conv2/dw' cannot have four bits"),
        (["--int16", "--int4-weights", "all"], "only INT8 has weights of four bits"),
    ],
)
def test_what_cannot_be_is_said(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", *NETWORK, *DATA, "-o", str(tmp_path / "x.demi"), *options]) == 2
    assert message in capsys.readouterr().err
