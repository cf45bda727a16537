"""What the C sources promise: warnings, no library but memcpy, no writable data, small code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from demitasse.runtime.model import OPCODES

STRICT = (
    *("-std=c99", "-pedantic", "-ffp-contract=off", "-Werror", "-Wall", "-Wextra", "-Wshadow"),
    *("-Wconversion", "-Wstrict-prototypes", "-Wvla", "-Wundef", "-Wcast-align=strict"),
)
CORE = (
    *("dmt_check", "dmt_core", "dmt_crc", "dmt_image", "dmt_kernels", "dmt_query", "dmt_resize"),
    *("dmt_strerror", "dmt_transfer"),
)
ARM = ["-mcpu=cortex-a17", "-mfpu=neon-vfpv4", "-mfloat-abi=hard", "-mthumb", "-Os"]


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("gcc")
    if found is None:
        pytest.skip("gcc is missing (apt install gcc libc6-dev)")
    return found


@pytest.fixture(scope="module")
def arm_compiler() -> str:
    found = shutil.which("arm-linux-gnueabihf-gcc")
    if found is None:
        pytest.skip("ARM tools are missing (apt install gcc-arm-linux-gnueabihf)")
    return found


def compile_core(root: Path, out: Path, compiler: str, flags: list[str]) -> dict[str, Path]:
    runtime = root / "runtime_c"
    objects = {}
    for name in CORE:
        objects[name] = out / f"{name}.o"
        subprocess.run(
            [
                *(compiler, *STRICT, *flags, f"-I{runtime / 'include'}", f"-I{runtime / 'src'}"),
                *("-c", runtime / "src" / f"{name}.c", "-o", objects[name]),
            ],
            check=True,
        )
    return objects


def test_the_core_compiles_without_a_warning_and_stands_alone(
    root: Path, tmp_path: Path, compiler: str
) -> None:
    objects = compile_core(root, tmp_path, compiler, ["-O2", "-fno-pie"])
    symbols = subprocess.run(
        ["nm", "-g", *objects.values()], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in symbols.splitlines() if len(line.split()) >= 2]
    defined = {row[-1] for row in rows if len(row) == 3}
    wanted = {row[-1] for row in rows if row[0] == "U"}
    kernels = {"dmt_generic", "dmt_avx2", "dmt_neon"}
    assert wanted - defined - kernels <= {"memcpy", "memset", "__cpu_model", "__cpu_indicator_init"}
    assert all(name.startswith("dmt_") for name in defined)
    assert not [row for row in rows if row[-2] in "BbDdCc"], "writable data"


def test_the_core_is_small_on_the_board(root: Path, tmp_path: Path, arm_compiler: str) -> None:
    """Thumb-2 text: all checks, sizes, init and run in 4 KB; frames in 3 KB."""
    objects = compile_core(root, tmp_path, arm_compiler, ARM)

    def text(*names: str) -> int:
        sizes = subprocess.run(
            ["arm-linux-gnueabihf-size", *(objects[name] for name in names)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return sum(int(line.split()[0]) for line in sizes.splitlines()[1:])

    assert text("dmt_check", "dmt_core", "dmt_crc") <= 4096
    assert text("dmt_image", "dmt_transfer") <= 3072


@pytest.mark.parametrize("language", ["c99", "c++98"])
def test_the_header_compiles_alone(
    root: Path, tmp_path: Path, compiler: str, language: str
) -> None:
    kind = "c++" if "+" in language else "c"
    tool = shutil.which("g++") if kind == "c++" else compiler
    if tool is None:
        pytest.skip("g++ is missing (apt install g++)")
    for header in ("include/demitasse.h", "src/dmt_pool.h"):
        source = tmp_path / "alone"
        source.write_text(f'#include "{root / "runtime_c" / header}"\n')
        flags = [f"-std={language}", "-pedantic", "-Wall", "-Wextra", "-Werror", "-x", kind]
        include = f"-I{root / 'runtime_c/include'}"
        subprocess.run([tool, *flags, include, "-c", source, "-o", tmp_path / "o"], check=True)


def test_names_of_operators_are_the_formats(root: Path) -> None:
    """FORMAT.md's headings number the operators that profiles and records name."""
    text = (root / "runtime_c" / "FORMAT.md").read_text()
    named = {
        int(number): name
        for heading in re.findall(r"^### (\d.*)$", text, re.MULTILINE)
        for number, name in re.findall(r"(\d+) ([A-Z_]+)", heading)
    }
    assert sorted(named) == list(range(1, len(named) + 1))
    names = ["?", *(named[i] for i in sorted(named))]
    bench = (root / "runtime_c" / "programs" / "dmt_bench.c").read_text()
    table = re.search(r"name\[\] = \{(.*?)\};", bench, re.DOTALL)
    assert table is not None
    assert re.findall(r'"(.*?)"', table[1]) == names
    assert list(OPCODES) == names
    assert {f"DMT_OP_{name}" for name in names[1:]} == set(
        re.findall(r"\bDMT_OP_\w+", (root / "runtime_c" / "src" / "dmt_op.h").read_text())
    ) - {"DMT_OP_H", "DMT_OP_CUSTOM"}
