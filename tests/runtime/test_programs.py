"""The programs dmt_run and dmt_bench, on the host and for the board."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ArmTools, HostTools
from tests.runtime import builder as b

X = (np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2) - 6) / 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """net.demi (int8, scale 0.25, zero point 3) and its input x."""
    (tmp_path / "net.demi").write_bytes(b.chain("int8", 0.25, 3).build())
    (tmp_path / "x").write_bytes(X.astype("<f4").tobytes())
    return tmp_path


def call(program: list[Path | str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def check_run(program: list[Path | str], folder: Path) -> None:
    """Float and stored results, dense in Caffe's order."""
    for flags in ([], ["--threads", "3"], ["--kernels", "generic"]):
        done = call([*program, "net.demi", "x", "y", *flags], folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (folder / "y").read_bytes() == (folder / "x").read_bytes()
    assert call([*program, "net.demi", "x", "q", "--quantized"], folder).returncode == 0
    stored = np.frombuffer((folder / "q").read_bytes(), np.int8)
    np.testing.assert_array_equal(stored, (X.ravel() * 4 + 3).astype(np.int8))
    assert sorted(path.name for path in folder.iterdir()) == ["net.demi", "q", "x", "y"]


def test_run_on_the_host(host_tools: HostTools, folder: Path) -> None:
    check_run([host_tools.run], folder)


@pytest.mark.arm
def test_run_on_the_board(arm_tools: ArmTools, folder: Path) -> None:
    check_run([arm_tools.qemu, arm_tools.run], folder)


def test_inputs_and_outputs_in_the_models_order(host_tools: HostTools, tmp_path: Path) -> None:
    file = b.File(
        tensors=[b.Tensor((1, 3), 0), b.Tensor((2,), 64)],
        inputs=[(0, "a"), (1, "b")],
        outputs=[(1, "b"), (0, "a")],
    )
    (tmp_path / "net.demi").write_bytes(file.build())
    (tmp_path / "x").write_bytes(np.arange(5, dtype="<f4").tobytes())
    assert call([host_tools.run, "net.demi", "x", "y"], tmp_path).returncode == 0
    assert np.fromfile(tmp_path / "y", "<f4").tolist() == [3, 4, 0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.demi", "x"], "usage: dmt_run MODEL.demi IN OUT"),
        (["net.demi", "x", "y", "z"], "what is 'z'"),
        (["net.demi", "x", "y", "--fast"], "what is '--fast'"),
        (["net.demi", "x", "y", "--threads"], "--threads wants a number"),
        (["net.demi", "x", "y", "--threads", "0"], "--threads wants a number"),
        (["net.demi", "x", "y", "--kernels", "vax"], "no kernels 'vax'"),
        (["no.demi", "x", "y"], "no.demi: No such file or directory"),
        ([".", "x", "y"], "."),
        (["x", "x", "y"], "x: not a model.demi"),
        (["net.demi", "net.demi", "y"], "net.demi: "),
        (["net.demi", "x", "none/y"], "none/y: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    host_tools: HostTools, folder: Path, arguments: list[str], message: str
) -> None:
    done = call([host_tools.run, *arguments], folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"dmt_run: {message}")
    assert "usage" in message or done.stderr.count("\n") == 1
    assert not (folder / "y").exists()


def check_bench(program: list[Path | str], folder: Path) -> None:
    done = call([*program, "net.demi", "--loops", "3", "--threads", "2", "--profile"], folder)
    assert done.returncode == 0, done.stderr
    first, _, *rows = done.stdout.splitlines()
    assert " ms per inference " in first
    assert f"{(5 + 2**33) / 1e6:.3f} MMAC" in first
    mean, least, median = map(
        float, re.findall(r"^[\d.]+|(?<=least )[\d.]+|(?<=median )[\d.]+", first)
    )
    assert 0 < least <= min(mean, median)
    assert "arena 192 bytes, persistent " in first
    assert [(row.split()[1], row.split()[-1]) for row in rows] == [
        ("COPY", "first"),
        ("COPY", "second"),
    ]


def test_bench_prints_a_row_of_the_speed_table(host_tools: HostTools, folder: Path) -> None:
    done = call([host_tools.bench, "net.demi", "--loops", "3", "--table"], folder)
    _, _, clock, _, head, rule, row = done.stdout.splitlines()
    assert re.fullmatch(r"clock \d+ of \d+ MHz \(0: unknown\), governor \S+, threads 1", clock)
    assert head.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| net.demi | int8 | 8589.9 | ")


def test_bench_on_the_host(host_tools: HostTools, folder: Path) -> None:
    check_bench([host_tools.bench], folder)
    done = call([host_tools.bench, "x"], folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dmt_bench: x: not a model.demi")


@pytest.mark.arm
def test_bench_on_the_board(arm_tools: ArmTools, folder: Path) -> None:
    check_bench([arm_tools.qemu, arm_tools.bench], folder)
