"""The operators give the same bits from every build: sets of kernels, optimisation, targets."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.runtime.operators import build, kernel_sets

STRICT = (
    *("-pedantic", "-Werror", "-Wshadow", "-Wconversion", "-Wstrict-prototypes", "-Wvla"),
    *("-Wundef", "-Wcast-align=strict", "-D_POSIX_C_SOURCE=200112L"),
)
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ARM = ("-mcpu=cortex-a17", "-mfpu=neon-vfpv4", "-mfloat-abi=hard", "-static")
CALLS = "6000"


def report(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@cache
def expected() -> str:
    """What the portable kernels say, with other optimisation than everywhere else."""
    return report(build("ops_selfcheck", (*STRICT, "-O2")), "generic", CALLS)


@pytest.mark.parametrize("options", [("-O2",), SANITIZED], ids=["O2", "sanitized"])
def test_host(options: tuple[str, ...]) -> None:
    program = build("ops_selfcheck", (*STRICT, *options))
    for name in ("generic", "avx2")[: len(kernel_sets())]:
        assert report(program, name, CALLS) == expected()


def test_armv7() -> None:
    compiler, qemu = shutil.which("arm-linux-gnueabihf-gcc"), shutil.which("qemu-arm")
    if compiler is None or qemu is None:
        pytest.skip("ARM tools are missing (apt install gcc-arm-linux-gnueabihf qemu-user)")
    program = build("ops_selfcheck", (*STRICT, *ARM), compiler)
    for name in ("generic", "neon"):
        assert report(qemu, program, name, CALLS) == expected()


def test_every_call_counts() -> None:
    program = build("ops_selfcheck", (*STRICT, "-O2"))
    fewer = str(int(CALLS) - 1)
    assert report(program, "generic", fewer) != expected().replace(CALLS, fewer)
