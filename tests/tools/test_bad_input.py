"""Bad input is one line that names file, layer and remedy; status 2; nothing is written."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.caffe.weights import read_weights
from demitasse.converter.caffe.writer import write_caffemodel
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
COMPILE = "compile deploy.prototxt digits.caffemodel --data digits.npz:calibration -o net.demi"


@dataclass(frozen=True)
class Case:
    """A command line (run in a folder with the digits example and model.demi) and its error."""

    name: str
    command: str
    says: tuple[str, ...]
    break_it: Callable[[Path], None] = field(default=lambda folder: None)


def edit(old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "deploy.prototxt"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return apply


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return apply


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return apply


def without_layer(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "digits.caffemodel"
        write_caffemodel(path, [layer for layer in read_weights(path) if layer.name != name])

    return apply


def flip(at: float) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        data = bytearray((folder / "model.demi").read_bytes())
        data[int(len(data) * at)] ^= 0x10
        (folder / "model.demi").write_bytes(data)

    return apply


def other_major(folder: Path) -> None:
    data = bytearray((folder / "model.demi").read_bytes())
    struct.pack_into("<H", data, 12, 7)
    struct.pack_into("<I", data, 28, zlib.crc32(data[32:], zlib.crc32(data[:28])))
    (folder / "model.demi").write_bytes(data)


def two_unknown(folder: Path) -> None:
    edit('type: "Softmax"', 'type: "Sofmax"')(folder)
    edit('name: "pool3"\n  type: "Pooling"', 'name: "pool3"\n  type: "FancyPool"')(folder)


def save(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


NETWORK = [
    Case(
        "swapped files",
        "compile digits.caffemodel deploy.prototxt --data digits.npz:calibration -o net.demi",
        ("digits.caffemodel", "expected a prototxt", "swapped"),
    ),
    Case("no prototxt", "inspect nothing.prototxt", ("nothing.prototxt", "no such file")),
    Case(
        "no caffemodel",
        COMPILE.replace("digits.caffemodel", "none.caffemodel"),
        ("none.caffemodel", "no such file"),
    ),
    Case(
        "truncated caffemodel",
        COMPILE,
        ("digits.caffemodel", "truncated"),
        cut("digits.caffemodel", 0.6),
    ),
    Case("missing weights", COMPILE, ("conv3", "digits.caffemodel"), without_layer("conv3")),
    Case(
        "no weights at all",
        "compile deploy.prototxt --data digits.npz:calibration -o net.demi",
        ("conv1", "score", "caffemodel"),
    ),
    Case(
        "shape mismatch",
        COMPILE,
        ("digits.caffemodel", "layer 'score'", "10", "12"),
        edit("num_output: 10", "num_output: 12"),
    ),
    Case(
        "missing input shape",
        COMPILE,
        ("deploy.prototxt", "data", "--input-shape"),
        edit("input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } }", ""),
    ),
    Case(
        "all unknown layer types",
        COMPILE,
        ("deploy.prototxt:", "Sofmax", "FancyPool", "prob", "pool3", "--plugin"),
        two_unknown,
    ),
    Case(
        "broken text",
        COMPILE,
        ("deploy.prototxt:", "expected"),
        edit('name: "conv1"', "name ="),
    ),
    Case(
        "wrong shape for a convolution",
        "compile deploy.prototxt digits.caffemodel --fp32 --input-shape data=1,3,8,8 -o net.demi",
        ("layer 'conv1'",),
    ),
    Case(
        "unknown output",
        "compile deploy.prototxt digits.caffemodel --fp32 --outputs nosuch -o net.demi",
        ("nosuch",),
    ),
]

DATA = [
    Case(
        "int8 without data",
        "compile deploy.prototxt digits.caffemodel -o net.demi",
        ("int8 needs calibration data", "--data", "--fp32"),
    ),
    Case(
        "int16 without data",
        "compile deploy.prototxt digits.caffemodel --int16 -o net.demi",
        ("int16 needs calibration data", "--data", "--fp32"),
    ),
    Case(
        "unreadable image",
        COMPILE.replace("digits.npz:calibration", "pictures"),
        ("pictures/broken.png", "decoded", "leave it out"),
        write("pictures/broken.png", b"\x89PNG\r\n\x1a\nnot really"),
    ),
    Case(
        "empty folder",
        COMPILE.replace("digits.npz:calibration", "pictures"),
        ("pictures", "no images"),
        write("pictures/.keep", b""),
    ),
    Case(
        "no such data",
        COMPILE.replace("digits.npz:calibration", "nowhere"),
        ("nowhere", "no such file or folder"),
    ),
    Case(
        "no key",
        COMPILE.replace("digits.npz:calibration", "digits.npz"),
        ("digits.npz", "calibration", "images", "labels"),
    ),
    Case(
        "wrong key",
        COMPILE.replace("digits.npz:calibration", "digits.npz:pixels"),
        ("digits.npz", "pixels", "calibration"),
    ),
    Case(
        "blobs of another shape",
        COMPILE.replace("digits.npz:calibration", "x.npy"),
        ("x.npy", "(1, 9, 9)", "(1, 8, 8)"),
        save("x.npy", np.zeros((4, 1, 9, 9), np.float32)),
    ),
    Case(
        "labels that do not fit",
        "eval model.demi --data digits.npz:images --labels l.npy",
        ("l.npy", "3 labels", "600"),
        save("l.npy", np.zeros(3, np.int64)),
    ),
    Case(
        "label out of range",
        "eval model.demi --data digits.npz:images --labels l.npy",
        ("label 10", "10 classes"),
        save("l.npy", np.full(600, 10)),
    ),
    Case(
        "a budget without images",
        "compile deploy.prototxt digits.caffemodel --fp32 -o net.demi --min-sqnr 30",
        ("--min-sqnr", "--data", "--eval"),
    ),
    Case("two ways to fit", f"{COMPILE} --crop --letterbox", ("--letterbox", "--crop")),
    Case(
        "missing mean file",
        COMPILE,
        ("deploy.prototxt:7", "mean.binaryproto", "--mean-file"),
        edit("scale: 0.00390625", 'mean_file: "mean.binaryproto"'),
    ),
    Case(
        "table that is no table",
        "quantize deploy.prototxt digits.caffemodel --table t.dtable -o net.demi",
        ("t.dtable",),
        write("t.dtable", b"{ half a tab"),
    ),
    Case(
        "ncnn's table alone",
        "quantize deploy.prototxt digits.caffemodel --table t.table -o net.demi",
        ("no scale", "prob", "--data"),
        write("t.table", b"conv1 127.0 \n"),
    ),
    Case(
        "statistics that are none",
        "threshold s.dstat -o t.dtable",
        ("s.dstat", "calibrate"),
        write("s.dstat", b"PK\x03\x04 nothing"),
    ),
]

MODEL = [
    Case(f"{how}: {command.split()[0]}", command, ("model.demi", *says), break_it)
    for command in (
        "inspect model.demi",
        "run model.demi --input data=x.npy -o out.npz",
        "eval model.demi --data digits.npz:images --labels digits.npz:labels",
        "compare model.demi deploy.prototxt digits.caffemodel --data digits.npz:images",
        "bench model.demi",
    )
    for how, says, break_it in (
        ("truncated", ("truncated",), cut("model.demi", 0.7)),
        ("cut to its header", (), cut("model.demi", 0.001)),
        ("bit flipped", ("damaged",), flip(0.5)),
        ("another major version", ("version 7", "compile"), other_major),
        (
            "no model",
            ("not a model.demi", "compile"),
            write("model.demi", b"layer { name: 1 }" * 9),
        ),
    )
]

USAGE = [
    Case("no such command", "complie x", ("complie", "--help")),
    Case("missing argument", "compile", ("prototxt", "compile --help")),
    Case(
        "bad shape",
        "inspect deploy.prototxt --input-shape 1,a,2",
        ("1,a,2", "data=1,3,224,224"),
    ),
    Case("no such method", COMPILE + " --method best", ("best", "mse")),
    Case(
        "unknown input",
        "run model.demi --input pixels=x.npy -o out.npz",
        ("pixels", "data"),
        save("x.npy", np.zeros((1, 1, 8, 8), np.float32)),
    ),
    Case(
        "input of another shape",
        "run model.demi --input data=x.npy -o out.npz",
        ("(1, 3, 8, 8)", "8"),
        save("x.npy", np.zeros((1, 3, 8, 8), np.float32)),
    ),
    Case(
        "no folder for the output",
        COMPILE.replace("net.demi", "no/where/net.demi"),
        ("no/where", "folder"),
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits, compiled."""
    path = tmp_path_factory.mktemp("model") / "model.demi"
    command = ["compile", str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")]
    data = f"{DIGITS / 'digits.npz'}:calibration"
    assert main([*command, "--data", data, "-o", str(path), "--quiet"]) == 0
    return path


@pytest.fixture
def folder(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work and to break things in."""
    for name in ("deploy.prototxt", "digits.caffemodel", "digits.npz"):
        shutil.copy(DIGITS / name, tmp_path)
    shutil.copy(model, tmp_path / "model.demi")
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", [*NETWORK, *DATA, *MODEL, *USAGE], ids=lambda case: case.name)
def test_bad_input_is_one_line(
    case: Case, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.break_it(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(case.command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("demitasse: error: ")
    assert [word for word in case.says if word not in lines[0]] == []
    assert "Error(" not in lines[0]
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p for p in folder.iterdir() if p.is_dir() and p.name != "pictures"] == []
