"""The corpus of bad files, runtime_c/tests/bad: each with the status that every machine must give.

DEMITASSE_UPDATE=1 writes the files anew. They are the good file of `builder.chain` with one thing
wrong, by the ways in which readers of models have failed before.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demitasse.runtime import library as lib
from tests.conftest import ArmTools, HostTools
from tests.runtime import builder as b
from tests.runtime.test_check import (
    CRC,
    ENTRIES,
    FEATURE,
    MAGIC,
    OPERATOR,
    SECTION,
    TENSOR,
    TRUNCATED,
    UNSUPPORTED,
    VERSION,
    check,
)

ALL = 0xFFFFFFFF


def corpus() -> Iterator[tuple[str, bytes, int]]:
    """Name, bytes and status."""
    good = b.chain("int8", 0.5, 3).build()
    tensor = b.section_offset(good, "TENS") + 80
    operator = b.section_offset(good, "OPER") + 40
    index, port = b.section_offset(good, "INDX"), b.section_offset(good, "INPT")
    for name, at, layout, value, status in (
        ("newlines-changed", 4, "B", 10, MAGIC),
        ("later-major", 12, "H", 2, VERSION),
        ("unknown-feature", 32, "I", 0x80000000, FEATURE),
        ("header-size-wraps", 16, "I", 0xFFFFFFFC, SECTION),
        ("sections-without-number", 20, "I", ALL, SECTION),
        ("section-count-times-24-wraps", 20, "I", 0x0AAAAAAB, SECTION),
        ("section-offset-plus-size-wraps", ENTRIES["TENS"] + 4, "I", 0xFFFFFFC0, SECTION),
        ("section-larger-than-the-file", ENTRIES["TENS"] + 8, "I", ALL, SECTION),
        ("record-count-times-stride-wraps", ENTRIES["TENS"] + 16, "I", 0x33333336, SECTION),
        ("stride-0", ENTRIES["TENS"] + 12, "I", 0, SECTION),
        ("sections-overlap", ENTRIES["OPER"] + 4, "I", 256, SECTION),
        ("section-twice", ENTRIES["OPER"], "4s", b"TENS", SECTION),
        ("section-misaligned", ENTRIES["INDX"] + 4, "I", 1, SECTION),
        ("arena-over-2-gb", 36, "I", 0x80000000, SECTION),
        ("arena-too-small", 36, "I", 128, TENSOR),
        ("dtype-unknown", tensor, "B", 9, TENSOR),
        ("rank-beyond-the-record", tensor + 1, "B", 255, TENSOR),
        ("tensor-behind-the-arena", tensor + 4, "I", ALL, TENSOR),
        ("dimension-0", tensor + 16, "I", 0, TENSOR),
        ("dimension-without-end", tensor + 24, "I", ALL, TENSOR),
        ("dimension-minus-2-31", tensor + 24, "I", 0x80000000, TENSOR),
        ("stride-without-end", tensor + 48, "I", 0x80000000, TENSOR),
        ("scale-not-a-number", tensor + 8, "f", float("nan"), TENSOR),
        ("scale-0", tensor + 8, "f", 0.0, TENSOR),
        ("zero-point-outside", tensor + 12, "i", 128, TENSOR),
        ("name-outside", tensor + 68, "I", 0x7FFFFFFF, TENSOR),
        ("opcode-unknown", operator, "H", 999, UNSUPPORTED),
        ("opcode-of-a-plugin", operator, "H", 0x8000, UNSUPPORTED),
        ("inputs-beyond-the-array", operator + 4, "H", 9, OPERATOR),
        ("no-input", operator + 4, "H", 0, OPERATOR),
        ("indices-outside", operator + 8, "I", ALL, OPERATOR),
        ("parameters-outside", operator + 16, "I", ALL, OPERATOR),
        ("parameters-misaligned", operator + 12, "I", 2, OPERATOR),
        ("scratch-outside", operator + 36, "I", ALL, OPERATOR),
        ("index-minus-1", index, "I", ALL, OPERATOR),
        ("index-one-too-large", index, "I", 3, OPERATOR),
        ("input-minus-1", port, "I", ALL, SECTION),
    ):
        yield name, b.patched(good, at, layout, value), status
    room = b.patched(good, operator + 36, "I", 64)
    for name, at in (("scratch-over-the-input", 64), ("scratch-over-the-output", 128)):
        yield name, b.patched(room, operator + 32, "I", at), OPERATOR
    yield "empty", b"", TRUNCATED
    yield "first-half", good[: len(good) // 2], TRUNCATED
    yield "one-byte-short", good[:-1], TRUNCATED
    yield "one-bit-flipped", good[:-1] + bytes([good[-1] ^ 64]), CRC
    many = b.Tensor((0xFFFF,) * 6, dtype="int8", strides=(0,) * 6)
    yield "dimensions-product-wraps", b.File(tensors=[many], arena=192).build(), TENSOR


CASES = {name: (data, status) for name, data, status in corpus()}


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """The corpus, as it is committed."""
    found = root / "runtime_c" / "tests" / "bad"
    if os.environ.get("DEMITASSE_UPDATE"):
        found.mkdir(exist_ok=True)
        for name, (data, _) in CASES.items():
            (found / f"{name}.demi").write_bytes(data)
        lines = [f"{status:2} {name}.demi\n" for name, (_, status) in sorted(CASES.items())]
        (found / "expected.txt").write_text("".join(lines))
    return found


def expected(folder: Path) -> dict[str, int]:
    lines = (folder / "expected.txt").read_text().splitlines()
    return {line[3:]: int(line[:2]) for line in lines}


def test_the_corpus_is_as_described(folder: Path) -> None:
    assert expected(folder) == {f"{name}.demi": status for name, (_, status) in CASES.items()}
    assert {path.name for path in folder.glob("*.demi")} == set(expected(folder))
    for name, (data, _) in CASES.items():
        assert (folder / f"{name}.demi").read_bytes() == data


def test_statuses_in_the_library(folder: Path) -> None:
    for name, status in expected(folder).items():
        data = (folder / name).read_bytes()
        assert (name, check(data)[0]) == (name, status)


def refuses(program: list[str | Path], folder: Path, out: Path) -> None:
    """The program's one line has the status's text."""
    for name, status in expected(folder).items():
        done = subprocess.run(
            [*program, folder / name, os.devnull, out / "y"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, name
        reason = lib.load().dmt_strerror(status).decode()
        assert f"{name}: {reason} (" in done.stderr, (name, done.stderr)


def test_statuses_of_the_program(host_tools: HostTools, folder: Path, tmp_path: Path) -> None:
    refuses([host_tools.run], folder, tmp_path)


@pytest.mark.arm
def test_statuses_where_sizes_have_32_bits(
    arm_tools: ArmTools, folder: Path, tmp_path: Path
) -> None:
    refuses([arm_tools.qemu, arm_tools.run], folder, tmp_path)
