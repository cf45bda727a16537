"""The caffe2onnx command: the command lines of two PyPI packages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import oracle
import pytest

from demitasse.converter.onnx.check import Verdict
from demitasse.tools.caffe2onnx import main

CASE = oracle.case("conv_bn_scale_relu")


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the working one, with net.prototxt and net.caffemodel."""
    assert CASE.caffemodel is not None
    shutil.copy(CASE.prototxt, tmp_path / "net.prototxt")
    shutil.copy(CASE.caffemodel, tmp_path / "net.caffemodel")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inputs(path: Path) -> list[str]:
    return [info.name for info in onnx.load(path).graph.input]


def kinds(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_by_name_with_defaults(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--prototxt", "net.prototxt"]) == 0
    assert "net.onnx: " in capsys.readouterr().out
    assert inputs(net / "net.onnx") == ["data"]
    assert "BatchNormalization" not in kinds(net / "net.onnx")
    assert onnx.load(net / "net.onnx").opset_import[0].version == 13


def test_by_name_in_full(net: Path) -> None:
    shutil.move(net / "net.caffemodel", net / "w")
    arguments = ["--prototxt", "net.prototxt", "--caffemodel", "w", "--onnx", "o.onnx"]
    assert main([*arguments, "--frozen", "True", "--opset", "12"]) == 0
    assert onnx.load(net / "o.onnx").opset_import[0].version == 12


def test_by_place(net: Path) -> None:
    assert main(["net.prototxt", "net.caffemodel", "name", "a/b"]) == 0
    assert inputs(net / "a" / "b" / "name.onnx") == ["data"]
    assert main(["net.prototxt", "net.caffemodel"]) == 0
    assert inputs(net / "onnxmodel" / "test.onnx") == ["data"]


def test_by_place_with_every_default(net: Path) -> None:
    folder = net / "caffemodel" / "test"
    folder.mkdir(parents=True)
    for kind in ("prototxt", "caffemodel"):
        shutil.copy(net / f"net.{kind}", folder / f"test.{kind}")
    assert main([]) == 0
    assert inputs(net / "onnxmodel" / "test.onnx") == ["data"]


def test_compat_by_name(net: Path) -> None:
    assert main(["--compat", "--prototxt", "net.prototxt"]) == 0
    model = onnx.load(net / "net.onnx")
    assert [info.name for info in model.graph.input] == [
        "data_input",
        *(tensor.name for tensor in model.graph.initializer),
    ]
    assert {"conv1_W", "conv1/bn_mean", "conv1/scale_scale"} <= set(inputs(net / "net.onnx"))
    assert [info.name for info in model.graph.output] == ["up/bn"]
    assert model.graph.name == "net.onnx"
    assert model.opset_import[0].version == 11


def test_compat_by_place(net: Path) -> None:
    assert main(["net.prototxt", "net.caffemodel", "name", "d", "--compat", "--opset", "14"]) == 0
    model = onnx.load(net / "d" / "name.onnx")
    assert model.graph.input[0].name == "data"
    assert model.graph.name == "name"
    assert model.opset_import[0].version == 14


@pytest.mark.parametrize(
    ("more", "frozen"),
    [
        ([], True),
        (["--frozen", "False"], False),
        (["--frozen", "no"], False),
        (["--frozen", "1"], True),
        (["--frozen"], True),
        (["--compat"], False),
        (["--compat", "--frozen", "True"], True),
        (["--compat", "--frozen", "False"], False),
    ],
)
def test_frozen_is_what_it_says(net: Path, more: list[str], frozen: bool) -> None:
    assert main(["--prototxt", "net.prototxt", *more]) == 0
    model = onnx.load(net / "net.onnx")
    constants = {tensor.name for tensor in model.graph.initializer}
    assert constants.isdisjoint(inputs(net / "net.onnx")) == frozen
    assert constants


@pytest.mark.parametrize("more", [[], ["--compat"]])
def test_no_success_before_the_check(
    net: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
) -> None:
    verdict = Verdict(0.5, "an engine", "output 'y' is off")
    monkeypatch.setattr("demitasse.converter.onnx.check.check", lambda *_: verdict)
    monkeypatch.setattr("demitasse.converter.onnx.compat.Caffe2Onnx.check", lambda *_: verdict)
    assert main(["--prototxt", "net.prototxt", *more]) == 1
    assert "net.onnx is not written: output 'y' is off" in capsys.readouterr().out
    assert not (net / "net.onnx").exists()


def test_json(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--prototxt", "net.prototxt", "--json", "--compat"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "net.onnx"
    assert told["opset"] == 11
    assert told["error"] <= 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "caffemodel/test/test.prototxt: there is no such file"),
        (["net.prototxt"], "caffemodel/test/test.caffemodel: there is no such file"),
        (["--prototxt", "no.prototxt"], "no.prototxt: there is no such file"),
        (["net.prototxt", "--prototxt", "net.prototxt"], "by name and by place; choose one form"),
        (["--onnx", "x.onnx"], "--caffemodel and --onnx need --prototxt"),
        (["--prototxt", "net.prototxt", "--frozen", "maybe"], "'maybe' is neither True nor False"),
        (["--prototxt", "net.prototxt", "--opset", "7"], "opset 7 is not one of 11 to "),
        (["--prototxt", "net.prototxt", "--onnx", "no/x.onnx"], "cannot write"),
        (["--no-such"], "unrecognized arguments: --no-such; see caffe2onnx --help"),
    ],
)
def test_bad_input_is_one_line(
    net: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("caffe2onnx: error: ")
    assert (said.err.count("\n"), said.out) == (1, "")
    assert sorted(path.name for path in net.iterdir()) == ["net.caffemodel", "net.prototxt"]


def test_unsupported_layers_are_named(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (net / "net.prototxt").write_text(
        'input: "x" input_shape { dim: 1 } layer { name: "odd" type: "Odd" bottom: "x" top: "y" }'
    )
    assert main(["--prototxt", "net.prototxt", "--compat"]) == 2
    assert "unknown layer type 'Odd' (layer odd)" in capsys.readouterr().err
    assert not (net / "net.onnx").exists()


def test_as_a_module(net: Path) -> None:
    command = [sys.executable, "-m", "demitasse.tools.caffe2onnx", "--prototxt", "net.prototxt"]
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(root)}
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert (net / "net.onnx").exists()
