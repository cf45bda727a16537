"""What is tracked is what is shipped: wheel and source distribution against `git ls-files`."""

import ctypes
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

LIBRARY = "demitasse/runtime/libdemitasse_host.so"
FOLDERS = {
    "demitasse": "demitasse",
    "converter": "demitasse/converter",
    "protos": "demitasse/protos",
    "quantizer": "demitasse/quantizer",
    "runtime_c/python": "demitasse/runtime",
    "runtime_c": "demitasse/runtime_c",
    "tools": "demitasse/tools",
}
NOT_SHIPPED = ("runtime_c/tests/", "runtime_c/fuzz/", "runtime_c/bench/")


def tracked_files(root: Path) -> list[str]:
    """Tracked files, links left out."""
    listing = subprocess.run(
        ["git", "ls-files", "-s"], cwd=root, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    rows = (line.split(maxsplit=3) for line in listing.stdout.splitlines())
    return [path for mode, _, _, path in rows if mode != "120000"]


def installed_name(path: str) -> str | None:
    """Where the wheel puts a tracked file; None for what stays at home."""
    if path.startswith(NOT_SHIPPED):
        return None
    for folder, target in FOLDERS.items():
        inside = PurePosixPath(path).is_relative_to(folder)
        if inside and not (folder == "runtime_c" and path.startswith("runtime_c/python/")):
            return f"{target}/{PurePosixPath(path).relative_to(folder)}"
    return None


def build(root: Path, out: Path, kind: str, **environment: str) -> Path:
    """Build a `wheel` or `sdist` of a copy of the tracked files; the path of the archive."""
    copy = out / "tree"
    for path in tracked_files(root):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((root / path).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "-n", f"--{kind}", "-o", out / "dist", copy],
        check=True,
        capture_output=True,
        env={**os.environ, **environment},
    )
    (archive,) = (out / "dist").iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(root, tmp_path_factory.mktemp("wheel"), "wheel")


def test_wheel_holds_every_tracked_file_of_the_package(root: Path, wheel: Path) -> None:
    expected = {name for path in tracked_files(root) if (name := installed_name(path))}
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert sorted(expected - shipped) == []
    assert sorted(shipped - expected) == [LIBRARY]


def test_wheel_is_for_every_python_of_the_platform(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name


def test_library_of_the_wheel_exports_the_c_interface(wheel: Path, tmp_path: Path) -> None:
    library = ctypes.CDLL(zipfile.ZipFile(wheel).extract(LIBRARY, tmp_path))
    for name in ("dmt_check", "dmt_sizes", "dmt_init", "dmt_run", "dmt_strerror"):
        assert hasattr(library, name), name


def test_sdist_holds_every_tracked_file(root: Path, tmp_path: Path) -> None:
    archive = build(root, tmp_path, "sdist")
    with tarfile.open(archive) as tar:
        shipped = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    assert sorted(set(tracked_files(root)) - shipped - {".gitignore"}) == []


def test_without_a_compiler_the_wheel_builds_and_lacks_only_the_library(
    root: Path, wheel: Path, tmp_path: Path
) -> None:
    poor = build(root, tmp_path, "wheel", CC="no-such-compiler")
    missing = set(zipfile.ZipFile(wheel).namelist()) - set(zipfile.ZipFile(poor).namelist())
    assert missing == {LIBRARY}


def test_a_broken_c_file_fails_the_build(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        build(root, tmp_path / "build", "wheel", CC=str(broken))


@pytest.mark.slow
def test_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    run = tmp_path / "env" / "bin"
    subprocess.run([run / "pip", "install", "-q", wheel], check=True)
    subprocess.run([run / "demitasse", "--help"], check=True, cwd=tmp_path)
    code = "import demitasse; print([getattr(demitasse, name) for name in demitasse.__all__])"
    subprocess.run([run / "python", "-c", code], check=True, cwd=tmp_path)
