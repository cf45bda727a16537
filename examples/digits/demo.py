"""Compile the digits network to INT16 and INT8 and see what that costs and saves.

    make demo                          sets everything up first
    python examples/digits/demo.py     with demitasse installed

The network (deploy.prototxt, digits.caffemodel; train.py made it) reads handwritten digits of 8x8
pixels. digits.npz holds 200 images to calibrate with and 600 that the network has never seen.
With the ARM cross compiler and qemu-arm at hand, the same files then run as an ARMv7 program.
Exit status 1 where ARM's answers differ by a single bit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import demitasse
from demitasse.quantizer.preprocess import Preprocess

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = HERE / "out"
SCALE = 0.00390625  # as transform_param in deploy.prototxt
PRECISIONS = {"fp32": "float", "int16": "INT16", "int8": "INT8"}
DRAWN = 8
ON_ARM = 20  # digits that run under qemu for each precision
ARM_PACKAGES = "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user"

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """A line of the table: bytes of file and working memory, seconds for one digit."""

    path: Path
    model: demitasse.Model
    answers: Array
    size: int
    memory: int
    seconds: float


def main() -> int:
    data = np.load(HERE / "digits.npz")
    images, labels = data["images"], data["labels"]
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) * np.float32(SCALE)
    graph = demitasse.load_caffe(HERE / "deploy.prototxt", HERE / "digits.caffemodel")
    OUT.mkdir(exist_ok=True)
    print(f"\nHandwritten digits: {len(images)} that the network has never seen\n")
    rows = {name: make(graph, name, data["calibration"], x) for name in PRECISIONS}
    print(table(rows, labels))

    reference = demitasse.evaluate(graph, {"data": x})["prob"]
    same = (rows["fp32"].answers.argmax(1) == reference.argmax(1)).sum()
    print(f"\nThe NumPy reference gives the float answer on {same} of {len(images)} digits.")

    answers = rows["int8"].answers
    mistakes = np.flatnonzero(answers.argmax(1) != labels)
    picks = [*range(DRAWN - 1), *mistakes[:1]]
    print("\nWhat INT8 says, the last time wrongly (what it should be):\n")
    print(draw(images[picks], labels[picks], answers[picks]))
    print()
    return check_on_arm(rows, x)


def make(graph: object, precision: str, calibration: Pixels, x: Array) -> Row:
    """Compile, then run every held-out digit on this machine."""
    path = OUT / f"digits_{precision}.demi"
    info = demitasse.compile(
        graph,
        path,
        precision=precision,
        data=None if precision == "fp32" else calibration,
        preprocess=Preprocess(scale=(SCALE,)),
    )
    model = demitasse.Model.open(path)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        answers = model.run({"data": x})["prob"]
        seconds.append((time.perf_counter() - started) / len(x))
    return Row(path, model, answers, info.file_size, info.arena + info.persistent, min(seconds))


def table(rows: dict[str, Row], labels: npt.NDArray[np.uint8]) -> str:
    lines = [f"{'':10}{'right':>14}{'accuracy':>11}{'file':>11}{'memory':>11}{'a digit':>11}"]
    for name, row in rows.items():
        right = int((row.answers.argmax(1) == labels).sum())
        lines.append(
            f"  {PRECISIONS[name]:8}{f'{right} of {len(labels)}':>14}{right / len(labels):>11.2%}"
            f"{row.size / 1024:>8.1f} KB{row.memory / 1024:>8.1f} KB{row.seconds * 1e6:>8.0f} µs"
        )
    return "\n".join(lines)


def draw(images: Pixels, labels: npt.NDArray[np.uint8], answers: Array) -> str:
    """Half blocks, two pixels a character; below, the answer with its probability."""
    dark = images[..., 0] > 100
    blocks = np.array([" ", "▄", "▀", "█"])[2 * dark[:, ::2] + dark[:, 1::2]]
    lines = ["  ".join("".join(line) for line in row) for row in blocks.transpose(1, 0, 2)]
    found = answers.argmax(1)
    captions = [
        f"{digit} {share:.0%}" + ("" if digit == label else f" ({label})")
        for digit, share, label in zip(found, answers.max(1), labels, strict=True)
    ]
    lines.append("  ".join(f"{caption:^8}" for caption in captions))
    return "\n".join(f"  {line}" for line in lines)


def check_on_arm(rows: dict[str, Row], x: Array) -> int:
    """Run the same files under qemu-arm, where that is possible; 1 if a byte differs."""
    print("The same files on ARMv7 (make rk3288, qemu-arm):", flush=True)
    qemu, program = shutil.which("qemu-arm"), arm_program()
    if qemu is None or program is None:
        print(f"  not tried, the tools are missing (apt install {ARM_PACKAGES})")
        return 0
    status = 0
    for precision in ("int16", "int8"):
        row = rows[precision]
        expected = [row.model.run({"data": digit[None]})["prob"].tobytes() for digit in x[:ON_ARM]]
        found = [run_on_arm(qemu, program, row.path, digit) for digit in x[:ON_ARM]]
        same = sum(a == b for a, b in zip(expected, found, strict=True))
        verdict = "same bytes" if same == ON_ARM else "DIFFERENT BYTES"
        print(f"  {PRECISIONS[precision]:8}{verdict} as here on {same} of {ON_ARM} digits")
        status |= same != ON_ARM
    return status


def arm_program() -> Path | None:
    """`dmt_run` for ARMv7: brought up to date where the cross compiler is, or as it stands."""
    program = ROOT / "build" / "rk3288" / "dmt_run"
    compiler = os.environ.get("ARM_CC", "arm-linux-gnueabihf-gcc")
    if shutil.which(compiler) and shutil.which("make"):
        # Not as a part of the make that runs us: its job slots are not ours.
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
        command = ["make", "--silent", "-C", str(ROOT), "rk3288"]
        made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if made.returncode:
            sys.exit(f"make rk3288 failed:\n{made.stderr}")
    return program if program.exists() else None


def run_on_arm(qemu: str, program: Path, model: Path, digit: Array) -> bytes:
    """The raw float32 answers of the ARMv7 program for one digit, (1, 8, 8)."""
    with tempfile.TemporaryDirectory(prefix="demitasse-") as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(digit.astype("<f4").tobytes())
        command = [qemu, str(program), str(model), str(source), str(target)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            sys.exit(f"dmt_run failed on ARMv7 ({ran.returncode}): {ran.stderr}")
        return target.read_bytes()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except demitasse.DemitasseError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
