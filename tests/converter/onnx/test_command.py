"""demitasse convert --to onnx."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import oracle
import pytest

from demitasse.converter.onnx.check import Verdict
from demitasse.tools.main import main

CASE = oracle.case("conv_bn_scale_relu")
NETWORK = [str(CASE.prototxt), str(CASE.caffemodel)]


def convert(out: Path, *more: str) -> int:
    return main(["convert", *NETWORK, "--to", "onnx", "-o", str(out), *more])


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_it_writes_a_folded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.onnx"
    assert convert(out) == 0
    said = capsys.readouterr().out
    assert "net.onnx: " in said
    assert "opset 13" in said
    assert "largest error" in said
    assert "BatchNormalization" not in kinds(out)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_every_layer_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.onnx"
    assert convert(out, "--no-fold", "--opset", "11", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["opset"] == onnx.load(out).opset_import[0].version == 11
    assert told["bytes"] == out.stat().st_size
    assert told["error"] <= 1e-4
    assert told["differs"] is None
    assert "BatchNormalization" in kinds(out)


def test_nothing_is_written_where_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = Verdict(0.5, "an engine", "layer 'conv' (Conv2d): conv is off by 0.5 of its range")
    monkeypatch.setattr("demitasse.converter.onnx.check.check", lambda *_: verdict)
    assert convert(tmp_path / "net.onnx") == 1
    said = capsys.readouterr().out
    assert "net.onnx is not written: layer 'conv' (Conv2d): conv is off by 0.5" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--opset", "10"], "opset 10 is not one of 11 to "),
        (["--opset", "x"], "'x' is no number from 1 on"),
        (["--mean", "104,117,123"], "--mean has no place in the format onnx"),
    ],
)
def test_bad_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert convert(tmp_path / "net.onnx", *more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
