"""Models and compilers that the tests of this folder share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.quantizer.preprocess import Preprocess

SCALE = 0.00390625

# Appended to tests/data/ssd_head.prototxt: boxes.
DETECTOR = """
layer { name: "p1" type: "PriorBox" bottom: "c1" bottom: "data" top: "p1"
  prior_box_param { min_size: 3 max_size: 5 variance: 0.1 } }
layer { name: "p2" type: "PriorBox" bottom: "c2" bottom: "data" top: "p2"
  prior_box_param { min_size: 4 max_size: 6 variance: 0.1 } }
layer { name: "prior" type: "Concat" bottom: "p1" bottom: "p2" top: "prior"
  concat_param { axis: 2 } }
layer { name: "found" type: "DetectionOutput"
  bottom: "mbox_loc" bottom: "conf_flatten" bottom: "prior" top: "found"
  detection_output_param { num_classes: 3 confidence_threshold: 0.3 keep_top_k: 20
    nms_param { nms_threshold: 0.3 top_k: 30 } code_type: CENTER_SIZE } }
"""


@dataclass(frozen=True)
class Digits:
    """The digits network in its precisions, and a picture that is a known digit."""

    int8: Path
    int16: Path
    fp32: Path
    picture: np.ndarray  # uint8 (8, 8)
    digit: int


@pytest.fixture(scope="session")
def digits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Digits:
    example, folder = root / "examples" / "digits", tmp_path_factory.mktemp("digits")
    graph = demitasse.load_caffe(example / "deploy.prototxt", example / "digits.caffemodel")
    with np.load(example / "digits.npz") as data:
        calibration, images, labels = data["calibration"][:64], data["images"], data["labels"]
    for precision in ("int8", "int16", "fp32"):
        demitasse.compile(
            graph,
            folder / f"{precision}.demi",
            precision=precision,
            data=None if precision == "fp32" else calibration,
            preprocess=Preprocess(scale=(SCALE,)),
        )
    files = [folder / f"{precision}.demi" for precision in ("int8", "int16", "fp32")]
    return Digits(*files, picture=images[0].reshape(8, 8), digit=int(labels[0]))


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """Skips by the name of the first program that is missing."""

    def check(*programs: str) -> None:
        for program in programs:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is missing (as root .ci/arm-tools installs it)")

    return check


def call(*command: str | Path, cwd: Path | None = None, input: bytes | None = None) -> str:
    """Standard output and error of a command that must succeed."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, f"{command}:\n{text}"
    return text
