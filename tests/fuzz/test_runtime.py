"""libFuzzer on the C runtime, from networks with every operator; `make fuzz` alone runs it.

The mutations of tests/runtime/test_mutations.py, which need gcc alone, are in `make test`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.runtime.test_mutations import (
    by_hand,
    converted,
    convolutions,
    detections,
    gathered,
    others,
    recurrent,
    upsampled,
)

SECONDS = int(float(os.environ.get("FUZZ_SECONDS", "0")))
NETS = (convolutions, detections, gathered, others, recurrent, upsampled)
FRAME = bytes([8, 0, 9, 0, 24, 0, 0, 0, 1, 0, 3, 7, 0, 9, 0, 0])  # 8 x 9, rgb, stride by width


@pytest.fixture(scope="module")
def fuzzers(root: Path) -> Path:
    """The built targets and their seeds, in build/fuzz."""
    if not SECONDS:
        pytest.skip("long: make fuzz runs libFuzzer on the C runtime")
    if shutil.which("clang") is None:
        pytest.skip("clang is missing (as root .ci/arm-tools installs it)")
    built = subprocess.run(
        ["make", "-C", root / "runtime_c/fuzz", "all"], capture_output=True, text=True, check=False
    )
    if "libclang_rt.fuzzer" in built.stderr:
        pytest.skip("libFuzzer is missing (apt install libclang-rt-dev)")
    assert built.returncode == 0, built.stderr
    seeds = root / "build" / "fuzz" / "seeds"
    models = by_hand() + [model for net in NETS for model in converted(net())]
    for target, prefix in (("fuzz_model", b""), ("fuzz_frame", FRAME)):
        (seeds / target).mkdir(parents=True, exist_ok=True)
        for number, model in enumerate(models):
            (seeds / target / str(number)).write_bytes(prefix + model)
    return root / "runtime_c" / "fuzz"


@pytest.mark.parametrize("target", ["fuzz_model", "fuzz_frame"])
def test_nothing_is_found(target: str, fuzzers: Path) -> None:
    done = subprocess.run(
        ["make", "-C", fuzzers, f"run-{target}", f"SECONDS={max(SECONDS // 2, 5)}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert "stat::number_of_executed_units" in done.stdout
