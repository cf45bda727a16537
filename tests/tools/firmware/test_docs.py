"""docs/firmware.md as a stranger follows it: its commands and its program, in a clean folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def test_from_a_caffemodel_to_a_bare_metal_image(
    root: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("make", "gcc", "arm-none-eabi-gcc", "qemu-system-arm")
    text = (root / "docs" / "firmware.md").read_text()
    commands = blocks(text, "sh")[0].splitlines()
    assert len(commands) <= 10
    assert commands[0].startswith("apt install ")
    assert "pip install ." in commands[1]
    # What installing gives: the command.
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "demitasse"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m demitasse "$@@"\n'.replace(
            "@@", "@"
        )
    )
    command.chmod(0o755)
    shutil.copytree(
        root / "examples/digits", tmp_path / "examples/digits", ignore=shutil.ignore_patterns("out")
    )
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "PYTHONPATH")}
    env["PATH"] = f"{tmp_path / 'bin'}:{env['PATH']}"

    def run(script: str, folder: Path) -> str:
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    printed = run("\n".join(commands[2:]), tmp_path)
    assert re.search(r"^digits: status 00000000, output CRC \w{8}, as expected$", printed, re.M)

    # The program in the text, with a digit in place of the camera's frame.
    (program,) = blocks(text, "c")
    with np.load(root / "examples/digits/digits.npz") as data:
        pixels, digit = data["images"][0].ravel().tolist(), int(data["labels"][0])
    frame = "static const uint8_t pixels[8 * 8] = {" + ", ".join(map(str, pixels)) + "};"
    program, count = re.subn(r"static uint8_t pixels\[8 \* 8\];", frame, program)
    assert count == 1
    (tmp_path / "try/firmware/main.c").write_text(program)
    printed = run(
        "make -s -C firmware MAIN=main.c && make -s -C firmware MAIN=main.c test", tmp_path / "try"
    )
    assert str(digit) in printed.splitlines()
