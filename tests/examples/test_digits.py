"""The digits example: its data, its network, and the demo as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import demitasse


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "examples" / "digits"


def test_held_out_digits(folder: Path) -> None:
    graph = demitasse.load_caffe(folder / "deploy.prototxt", folder / "digits.caffemodel")
    with np.load(folder / "digits.npz") as data:
        images, labels = data["images"], data["labels"]
    x = images.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.00390625)
    answers = demitasse.evaluate(graph, {"data": x})["prob"].argmax(1)
    assert int((answers == labels).sum()) == 593  # of 600, as real Caffe


def test_no_digit_is_on_both_sides(folder: Path) -> None:
    with np.load(folder / "digits.npz") as data:
        held_out = {image.tobytes() for image in data["images"]}
        calibration = [image.tobytes() for image in data["calibration"]]
    assert len(calibration) == 200
    assert held_out.isdisjoint(calibration)


def test_files_are_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.glob("d*.*")) < 300_000


def test_demo(root: Path, folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(folder / "demo.py")],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "", "PYTHONUTF8": "1"},  # no tools: no ARM here
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rights = {
        line.split()[0]: int(line.split()[1])
        for line in run.stdout.splitlines()
        if " of 600 " in line and line.split()[1].isdigit()
    }
    assert rights.keys() == {"float", "INT16", "INT8"}
    assert rights["float"] == 593
    assert abs(rights["INT16"] - 593) <= 1
    assert rights["INT8"] >= 590
    assert "not tried" in run.stdout
