"""The plug-ins of examples/plugins: a layer lowered to what there is, and an operator with a kernel
of its own, on this machine and on ARM."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ArmTools, HostTools
from support.bits import check_host, quantized

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.flat import write_model
from demitasse.converter.flat.custom import register_operator
from demitasse.converter.graph import Graph
from demitasse.converter.onnx.check import check
from demitasse.converter.onnx.export import export_onnx
from demitasse.converter.ops import Conv2d, Relu
from demitasse.converter.passes import optimize
from demitasse.errors import DemitasseError, ModelFileError, ParseError, UnsupportedError
from demitasse.runtime import operators
from demitasse.runtime.model import Model
from demitasse.tools.main import main

INPUT = 'input: "data" input_shape { dim: 1 dim: 2 dim: 7 dim: 7 }\n'
SMOOTH = 'layer { name: "s" type: "Smooth" bottom: "data" top: "s" smooth_param { radius: %s } }'


@dataclass(frozen=True)
class Example:
    """A copy of the folder, so that what is built stays out of the repository."""

    folder: Path
    root: Path

    @property
    def plugins(self) -> list[Path]:
        return [self.folder / "smooth.py", self.folder / "quadratic.py"]

    def make(self, target: str) -> None:
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
        command = ["make", "-C", str(self.folder), f"ROOT={self.root}", target]
        made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr

    def graph(self) -> Graph:
        return load_caffe(self.folder / "net.prototxt", plugins=self.plugins, random_weights=1)


@pytest.fixture(scope="module")
def example(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("plugins") / "plugins"
    shutil.copytree(root / "examples" / "plugins", folder, ignore=shutil.ignore_patterns("out"))
    found = Example(folder, root)
    found.make("lib")
    return found


@pytest.fixture
def x() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"data": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)}


def test_a_layer_lowered_to_a_convolution(example: Example, tmp_path: Path) -> None:
    """A single pixel becomes the blur's kernel: (1, 2, 1) / 4 down and across."""
    (tmp_path / "net.prototxt").write_text(INPUT + SMOOTH % 1)
    graph = load_caffe(tmp_path / "net.prototxt", plugins=example.plugins[:1])
    assert isinstance(graph.nodes[0].op, Conv2d)
    x = np.zeros((1, 2, 7, 7), np.float32)
    x[0, 1, 3, 3] = 16
    expected = np.zeros((1, 2, 7, 7))
    expected[0, 1, 2:5, 2:5] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    np.testing.assert_array_equal(evaluate(graph, {"data": x})["s"], expected)


def test_errors_of_a_plug_in_name_the_layer(example: Example, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(INPUT + SMOOTH % 9)
    with pytest.raises(ParseError, match=r"net.prototxt:2: layer 's': radius 9 is outside 1 to 4"):
        load_caffe(tmp_path / "net.prototxt", plugins=example.plugins)


def test_an_operator_of_ones_own(example: Example, x, tmp_path: Path) -> None:
    """y = (a x + b) x + c by a plain loop; then the kernels, bit by bit."""
    graph = example.graph()
    blobs = evaluate(graph, x, all_blobs=True)
    node = next(node for node in graph.nodes if node.name == "quadratic")
    a, b, c = (node.weights[key].astype(np.float64) for key in ("a", "b", "c"))
    for channel in range(8):
        plane = blobs["smooth"][0, channel].astype(np.float64)
        expected = a[channel] * plane**2 + b[channel] * plane + c[channel]
        np.testing.assert_allclose(blobs["quadratic"][0, channel], expected, rtol=1e-4, atol=1e-6)
    optimized = optimize(graph)
    for kernels in ("generic", None):
        write_model(optimized, tmp_path / "net.demi")
        found = Model.open(tmp_path / "net.demi", kernels=kernels, threads=2).run(x)
        np.testing.assert_allclose(found["score"], blobs["score"], rtol=1e-4, atol=1e-5)


def test_its_onnx_form(example: Example) -> None:
    graph = example.graph()
    verdict = check(export_onnx(graph), graph)
    assert verdict.good, verdict.first


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_it_runs_in_float32_between_integers(
    example: Example, x, tmp_path: Path, precision: str
) -> None:
    graph = quantized(optimize(example.graph()), x, precision)
    assert check_host(graph, x, tmp_path / "net.demi")


def test_programs_with_the_operator(
    example: Example, x, tmp_path: Path, host_tools: HostTools
) -> None:
    model, out = _write(example, x, tmp_path)
    example.make("host")
    _run(example.folder / "out" / "host" / "dmt_run", tmp_path)
    assert (tmp_path / "out.bin").read_bytes() == out
    without = subprocess.run(
        [host_tools.run, model, tmp_path / "in.bin", tmp_path / "none.bin"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert without.returncode == 2
    assert "no operator in this build" in without.stderr


@pytest.mark.arm
def test_programs_on_arm(example: Example, x, tmp_path: Path, arm_tools: ArmTools) -> None:
    _, out = _write(example, x, tmp_path)
    example.make("rk3288")
    _run(arm_tools.qemu, tmp_path, example.folder / "out" / "rk3288" / "dmt_run")
    assert (tmp_path / "out.bin").read_bytes() == out


def _write(example: Example, x: dict[str, np.ndarray], folder: Path) -> tuple[Path, bytes]:
    """The model and its input as files, and the generic kernels' answer."""
    write_model(optimize(example.graph()), folder / "net.demi")
    x["data"].tofile(folder / "in.bin")
    found = Model.open(folder / "net.demi", kernels="generic").run(x)
    return folder / "net.demi", found["score"].tobytes()


def _run(*command: Path) -> None:
    program, folder, *rest = command
    files = [folder / name for name in ("net.demi", "in.bin", "out.bin")]
    subprocess.run([program, *rest, *files, "--kernels", "generic"], check=True)


def test_commands(
    example: Example,
    x,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "x.npy", x["data"])
    model, library = tmp_path / "net.demi", example.folder / "out" / "libquadratic.so"
    plugins = [word for plugin in example.plugins for word in ("--plugin", str(plugin))]
    compile_ = ["compile", str(example.folder / "net.prototxt"), "--random-weights", "1"]
    assert main([*compile_, *plugins, "--fp32", "-o", str(model), "--quiet"]) == 0
    run = ["run", str(model), "--input", f"data={tmp_path / 'x.npy'}"]
    monkeypatch.setattr(operators, "_added", {})  # as in a process that knows no plug-in
    capsys.readouterr()
    assert main(run) == 2
    assert "no operator in this build" in (error := capsys.readouterr().err)
    assert "--operators LIB.so" in error
    assert main([*run, "--operators", str(library)]) == 0
    assert main(["inspect", str(model), "--operators", str(library)]) == 0
    assert "0x8001" in capsys.readouterr().out
    assert main(["bench", str(model), "--operators", str(library), "--profile"]) == 0
    assert "0x8001" in capsys.readouterr().out


def test_workers_know_the_library(example: Example, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    np.save(tmp_path / "data.npy", rng.standard_normal((8, 3, 16, 16)).astype(np.float32))
    plugins = [word for plugin in example.plugins for word in ("--plugin", str(plugin))]
    command = ["compile", str(example.folder / "net.prototxt"), "--random-weights", "1", *plugins]
    command += ["--data", str(tmp_path / "data.npy"), "--quiet"]
    for workers in ("1", "2"):
        out = str(tmp_path / f"{workers}.demi")
        assert main([*command, "--workers", workers, "-o", out]) == 0
    assert (tmp_path / "1.demi").read_bytes() == (tmp_path / "2.demi").read_bytes()


def test_a_damaged_record_is_refused(example: Example, tmp_path: Path) -> None:
    """The kernel's check: a model of another number of channels."""
    graph = example.graph()
    node = next(node for node in graph.nodes if node.name == "quadratic")
    node.weights.update({key: value[:-1] for key, value in node.weights.items()})
    write_model(optimize(graph), tmp_path / "net.demi")
    with pytest.raises(ModelFileError, match="operator"):
        Model.open(tmp_path / "net.demi")


def test_libraries_that_are_none(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DemitasseError, match="cannot load the operators: no such file"):
        operators.add_operators(tmp_path / "none.so")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(DemitasseError, match=r"text.so: cannot load the operators: .*"):
        operators.add_operators(tmp_path / "text.so")
    source = tmp_path / "old.c"
    source.write_text("const unsigned dmt_library_abi = 1; const void *const dmt_library[1];")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "old.so", source], check=True)
    with pytest.raises(DemitasseError, match="compiled for another version"):
        operators.add_operators(tmp_path / "old.so")
    source.write_text("int nothing;")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "empty.so", source], check=True)
    with pytest.raises(DemitasseError, match="offers no operators"):
        operators.add_operators(tmp_path / "empty.so")


def test_opcodes_that_are_not_free(example: Example) -> None:
    example.graph()
    with pytest.raises(DemitasseError, match=r"opcode 0x11 of Relu .*; take one from 0x8000"):
        register_operator(Relu, 17, lambda *_: b"")
    with pytest.raises(DemitasseError, match="Quadratic has opcode 0x8001 already"):
        register_operator(Relu, 0x8001, lambda *_: b"")


def test_without_the_plug_in(example: Example) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_caffe(example.folder / "net.prototxt")
    lines = str(caught.value).splitlines()
    assert "unknown layer type 'Smooth' (layer smooth)" in lines[1]
    assert lines[2].endswith("read it with --plugin FILE, see examples/plugins/README.md")
