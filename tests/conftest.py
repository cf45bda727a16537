"""Fixtures that several folders share, and one line at the end for every group that was skipped."""

import fcntl
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARM_PACKAGES = "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user"


@dataclass(frozen=True)
class ArmTools:
    """The programs of `make rk3288`, up to date, and what runs them here."""

    qemu: Path
    run: Path
    bench: Path


@dataclass(frozen=True)
class HostTools:
    """The programs of `make host`, up to date."""

    run: Path
    bench: Path


def _make(target: str) -> Path:
    """Bring `build/<target>` up to date; test workers take turns."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Not as a part of a make that may be running us: its job slots are not ours.
        env = {
            key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")
        }
        made = subprocess.run(
            ["make", target], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, f"make {target} failed:\n{made.stderr}"
    return build / target


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The shared models, recorded blobs and data: DEMITASSE_MODELS, or ../shared/models."""
    models = Path(os.environ.get("DEMITASSE_MODELS") or ROOT.parent / "shared" / "models")
    if not models.is_dir():
        pytest.skip("shared models are missing (../shared/models or DEMITASSE_MODELS)")
    return models


@pytest.fixture(scope="session")
def arm_tools() -> ArmTools:
    """The cross-compiled programs and qemu-arm."""
    qemu = shutil.which("qemu-arm")
    if qemu is None or shutil.which("arm-linux-gnueabihf-gcc") is None:
        pytest.skip(f"ARM tools are missing (apt install {ARM_PACKAGES})")
    folder = _make("rk3288")
    return ArmTools(qemu=Path(qemu), run=folder / "dmt_run", bench=folder / "dmt_bench")


@pytest.fixture(scope="session")
def host_tools() -> HostTools:
    """The programs for this machine."""
    folder = _make("host")
    return HostTools(run=folder / "dmt_run", bench=folder / "dmt_bench")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line for each reason how many tests did not run."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"NOT RUN: {count} tests: {reason}", yellow=True)
