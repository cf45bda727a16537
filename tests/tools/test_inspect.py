"""`demitasse inspect`: tables, drawings, and what is said of nets that cannot be read whole."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import demitasse
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
NETWORK = [str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")]
FORK = """
name: "fork"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "odd1" type: "OddLayer" bottom: "conv" top: "odd1" odd_param { x: 1 } }
layer { name: "bad" type: "Pooling" bottom: "conv" top: "bad" pooling_param { kernel_size: 99 } }
layer { name: "odd2" type: "OtherLayer" bottom: "conv" top: "odd2" }
layer { name: "sum" type: "Eltwise" bottom: "odd1" bottom: "odd2" top: "sum" }
"""


class Inspect:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def __call__(self, *arguments: object, status: int = 0) -> str:
        assert main(["inspect", *map(str, arguments)]) == status, self.capture.readouterr().err
        out, self.err = self.capture.readouterr()
        return out

    def json(self, *arguments: object, status: int = 0) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self(*arguments, "--json", status=status))
        return data


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    return Inspect(capsys)


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    path = tmp_path / "fork.prototxt"
    path.write_text(FORK)
    return path


def line(out: str, name: str) -> list[str]:
    """The words of a row, or behind a label."""
    return next(words for row in out.splitlines() if (words := row.split())[:1] == [name])


def test_a_network_by_layers(inspect: Inspect) -> None:
    out = inspect(*NETWORK)
    # 16 channels from 1, kernel 3x3, on 8x8: 9,216 multiply-accumulates, 144 weights, 4 KB
    conv = ["conv1", "Convolution", "3x3", "1×16×8×8", "9.22", "k", "144", "4.00", "KB"]
    assert line(out, "conv1") == conv
    assert line(out, "output")[1:] == ["prob", "1×10"]
    assert line(out, "network")[-2:] == ["20", "layers"]
    data = inspect.json(*NETWORK)
    row = data["network"]["rows"][0]
    assert row["outputs"][0]["shape"] == [1, 16, 8, 8]
    assert (row["kind"], row["macs"], row["memory"]) == ("Convolution", 9216, 4096)
    assert data["memory"]["parameters"] == 4 * data["network"]["parameters"]
    assert data["memory"]["blobs"] == sum(row["memory"] for row in data["network"]["rows"])
    assert data["problems"] == []


def test_a_text_alone_counts_the_same(inspect: Inspect) -> None:
    with_weights, alone = inspect.json(*NETWORK), inspect.json(NETWORK[0])
    assert alone["network"] == with_weights["network"]


def test_a_fork_net_is_shown_with_all_that_is_unsupported(inspect: Inspect, fork: Path) -> None:
    out = inspect(fork, status=1)
    assert inspect.err == ""
    assert line(out, "conv")[:4] == ["conv", "Convolution", "3x3", "1×4×6×6"]
    assert line(out, "odd1") == ["odd1", "OddLayer", "?", "unsupported"]
    assert line(out, "odd2") == ["odd2", "OtherLayer", "?", "unsupported"]
    assert line(out, "bad")[:2] == ["bad", "Pooling"]
    assert line(out, "sum") == ["sum", "Eltwise", "?"]
    assert line(out, "unsupported")[1:] == ["OddLayer:", "odd1"]
    assert "OtherLayer: odd2" in out
    assert line(out, "work")[1:3] == ["at", "least"]
    assert "7: unknown layer type 'OddLayer' (layer odd1); read it with --plugin" in out
    assert "layer 'bad':" in out
    data = inspect.json(fork, status=1)
    assert data["unsupported"] == {"OddLayer": ["odd1"], "OtherLayer": ["odd2"]}
    assert {problem["line"] for problem in data["problems"]} == {7, 8, 9}
    assert data["network"]["macs"] == 4 * 3 * 9 * 36


def test_files_that_are_no_network_stay_errors(inspect: Inspect, fork: Path) -> None:
    assert inspect(fork.with_name("none"), status=2) == ""
    assert "no such file" in inspect.err
    fork.write_text("layer { name")
    assert inspect(fork, status=2) == ""
    assert len(inspect.err.splitlines()) == 1


@pytest.mark.parametrize("precision", ["int8", "int16", "fp32"])
def test_where_an_integer_model_runs_in_float32(
    inspect: Inspect, tmp_path: Path, precision: str
) -> None:
    path = tmp_path / "net.demi"
    graph = demitasse.load_caffe(*NETWORK)
    with np.load(DIGITS / "digits.npz") as arrays:
        pixels = arrays["calibration"].transpose(0, 3, 1, 2)
    data = None if precision == "fp32" else np.float32(pixels) / 256
    demitasse.compile(graph, path, precision=precision, data=data)
    out = inspect(path)
    floats = inspect.json(path)["float32"]
    if precision == "fp32":
        assert floats == []
        assert "in float32" not in out
        assert "float32" not in out.split("model ")[0]
    else:
        assert floats == ["prob"]  # a softmax
        assert line(out, "in") == ["in", "float32", "prob", "(1", "operator)"]
        assert line(out, "conv1")[:5] == ["conv1", "conv", "3x3", "1×16×8×8", precision]
        assert line(out, "prob")[2] == "1×10"


@pytest.mark.parametrize("what", ["network", "fork", "model"])
def test_drawings(inspect: Inspect, fork: Path, tmp_path: Path, what: str) -> None:
    arguments, status = NETWORK, 0
    if what == "fork":
        arguments, status = [str(fork)], 1
    elif what == "model":
        arguments = [str(tmp_path / "net.demi")]
        demitasse.compile(demitasse.load_caffe(*NETWORK), arguments[0], precision="fp32")
    picture, text = tmp_path / "net.svg", tmp_path / "net.dot"
    inspect(*arguments, "--svg", picture, "--dot", text, status=status)
    root = ElementTree.parse(picture).getroot()
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "Output" in words
    assert ("OddLayer" in words) == (what == "fork")
    assert text.read_text().startswith("digraph")
    before = picture.read_bytes(), text.read_bytes()
    inspect(*arguments, "--svg", picture, "--dot", text, status=status)
    assert (picture.read_bytes(), text.read_bytes()) == before


def test_a_drawing_that_cannot_be_written(inspect: Inspect, tmp_path: Path) -> None:
    assert inspect(*NETWORK, "--svg", tmp_path / "no" / "net.svg", status=2) == ""
    assert "cannot write" in inspect.err
