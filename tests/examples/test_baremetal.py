"""The bare-metal example as a user runs it: one CRC on this machine and on two without a system."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.tools.firmware.conftest import call


def test_the_same_crc_everywhere(root: Path, tmp_path: Path) -> None:
    for program in ("make", "cc", "arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing (as root .ci/arm-tools installs it)")
    folder = tmp_path / "examples" / "baremetal"
    for name in ("baremetal", "digits"):
        ignored = shutil.ignore_patterns("out")
        shutil.copytree(root / "examples" / name, tmp_path / "examples" / name, ignore=ignored)
    command = f"DEMITASSE=env PYTHONPATH={root} {sys.executable} -m demitasse"
    text = call("make", "-C", folder, command)
    found = re.findall(r"^(\w+): status 00000000, output CRC (\w+), as expected$", text, re.M)
    assert len(found) == 6  # two models on three machines
    assert len(set(found)) == 2
