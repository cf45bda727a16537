"""demitasse convert --to caffe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import oracle
import pytest

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.ops import BatchNorm
from demitasse.tools.main import main

CASE = oracle.case("conv_bn_scale_relu")
NETWORK = [str(CASE.prototxt), str(CASE.caffemodel)]


def convert(out: Path, *more: str) -> int:
    return main(["convert", *NETWORK, "--to", "caffe", "-o", str(out), *more])


@pytest.mark.parametrize(
    ("out", "made"),
    [
        ("folder", ["folder/deploy.prototxt", "folder/net.caffemodel"]),
        ("a/b", ["a/b/deploy.prototxt", "a/b/net.caffemodel"]),
        ("net.prototxt", ["net.caffemodel", "net.prototxt"]),
        ("net.caffemodel", ["net.caffemodel", "net.prototxt"]),
        ("net.caffemodel.h5", ["net.caffemodel.h5", "net.prototxt"]),
        ("v1.2.h5", ["v1.2.h5", "v1.2.prototxt"]),
    ],
)
def test_names_of_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, made: list[str]
) -> None:
    assert convert(tmp_path / out) == 0
    found = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(found) == made
    said = capsys.readouterr().out
    assert all(str(tmp_path / name) in said for name in made)
    assert "the largest error is 0 of an output's range" in said
    text, weights = sorted(
        (tmp_path / name for name in made), key=lambda p: p.suffix != ".prototxt"
    )
    graph = load_caffe(text, weights)
    assert not [node for node in graph.nodes if isinstance(node.op, BatchNorm)]


def test_every_layer_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path, "--no-fold", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["prototxt"] == str(tmp_path / "deploy.prototxt")
    assert told["bytes"] == [
        (tmp_path / name).stat().st_size for name in ("deploy.prototxt", "net.caffemodel")
    ]
    assert told["error"] == 0
    assert 'type: "BatchNorm"' in (tmp_path / "deploy.prototxt").read_text()


def test_nothing_is_written_where_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("demitasse.converter.caffe.emit.check.reread_error", lambda *_: 0.5)
    assert convert(tmp_path / "net.prototxt") == 1
    assert "are not written: read again, the largest error is 0.5" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_sources_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shutil.copy(CASE.prototxt, tmp_path / "deploy.prototxt")
    before = text.read_bytes()
    arguments = ["convert", str(text), NETWORK[1], "--to", "caffe", "-o", str(tmp_path)]
    assert main(arguments) == 2
    assert "deploy.prototxt would be written over; give another name" in capsys.readouterr().err
    assert text.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "more", "message"),
    [
        ("net.onnx", [], "no name for a Caffe network"),
        ("missing/net.prototxt", [], "there is no folder "),
        ("net.prototxt", ["--scale", "0.1"], "--scale has no place in the format caffe"),
    ],
)
def test_bad_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, more: list[str], message: str
) -> None:
    assert convert(tmp_path / out, *more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
