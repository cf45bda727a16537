"""Models as sources and objects, and the header of what a caller provides."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demitasse.errors import DemitasseError
from demitasse.tools.firmware.embed import FORMS, LINE, ROW, _c_source, embed, identifier, load
from demitasse.tools.firmware.target import find_target, target_names
from demitasse.tools.main import main
from tests.conftest import HostTools
from tests.runtime import builder as b
from tests.tools.firmware.conftest import Digits, call

HOST = find_target("host")

# Prints the CRC of the model's bytes, whether they are aligned, and what dmt_init says to the
# header's memory and to 64 bytes less of either.
PROGRAM = """\
#include <stdio.h>
#include "dmt_internal.h"
#include "net.h"
static uint8_t persistent[NET_PERSISTENT_BYTES] __attribute__((aligned(NET_ALIGN)));
static uint8_t arena[NET_ARENA_BYTES] __attribute__((aligned(NET_ALIGN)));
static const uint32_t dims[NET_INPUT0_RANK] = NET_INPUT0_DIMS;
int main(void) {
  const dmt_config config = {dmt_generic, NET_THREADS, NULL, NULL, NULL};
  const uint8_t *model = NET_MODEL;
  dmt_context *context;
  dmt_view in, out;
  printf("%08x %d", (unsigned)dmt_crc32(0, model, NET_MODEL_BYTES), dmt_aligned(model));
  printf(" %d", dmt_init(&config, model, NET_MODEL_BYTES, persistent, sizeof persistent - 64, arena,
                         sizeof arena, &context));
  printf(" %d", dmt_init(&config, model, NET_MODEL_BYTES, persistent, sizeof persistent, arena,
                         sizeof arena - 64, &context));
  printf(" %d", dmt_init(&config, model, NET_MODEL_BYTES, persistent, sizeof persistent, arena,
                         sizeof arena, &context));
  dmt_input(context, 0, &in);
  dmt_output(context, 0, &out);
  printf(" %d", in.scale == NET_INPUT0_SCALE && in.zero_point == NET_INPUT0_ZERO_POINT &&
                    in.dtype == NET_INPUT0_DTYPE && in.dim[2] == dims[2] &&
                    in.dim[3] == NET_INPUT0_DIM3 && out.scale == NET_OUTPUT0_SCALE &&
                    out.dim[1] == NET_OUTPUT0_DIM1 && out.rank == NET_OUTPUT0_RANK);
  printf(" %s %s\\n", NET_INPUT0_NAME, NET_OUTPUT0_NAME);
  return 0;
}
"""


@pytest.mark.parametrize("form", FORMS)
def test_a_c_program_with_nothing_but_the_header(
    form: str, digits: Digits, root: Path, tmp_path: Path, host_tools: HostTools
) -> None:
    assert host_tools.run.exists()  # the runtime's objects are up to date
    loaded = load(digits.int8, "net", 1)
    embed(loaded, tmp_path, form, HOST)
    (tmp_path / "program.c").write_text(PROGRAM)
    (body,) = tmp_path.glob("net_model.*")
    runtime = root / "runtime_c"
    include = [f"-I{runtime / 'include'}", f"-I{runtime / 'src'}", f"-Wa,-I,{tmp_path}"]
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    objects = sorted((root / "build/host/obj").glob("src/*.o"))
    objects += sorted((root / "build/host/obj").glob("kernels/*/*.o"))
    program = tmp_path / "program"
    call("cc", *strict, *include, tmp_path / "program.c", body, *objects, "-pthread", "-o", program)
    crc = zlib.crc32(digits.int8.read_bytes())
    assert call(program).split() == [f"{crc:08x}", "1", "13", "13", "0", "1", "data", "prob"]


def test_the_header_is_c_and_cpp_and_has_the_preprocessing(
    digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("gcc", "g++")
    embed(load(digits.int8, "net", 4), tmp_path, "c", HOST)
    for compiler, language in (("gcc", "c99"), ("g++", "c++98")):
        flags = [f"-std={language}", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        kind = "c++" if compiler == "g++" else "c"
        call(compiler, *flags, "-x", kind, tmp_path / "net.h")
    text = (tmp_path / "net.h").read_text()
    macros = dict(re.findall(r"#define (\w+) (.*)", text))
    assert macros["NET_THREADS"] == "4u"
    assert macros["NET_INPUT0_ORDER"] == "0 /* GRAY */"
    assert macros["NET_INPUT0_SCALES"] == "{ 3.90625e-3f }"
    assert macros["NET_INPUT0_MEANS"] == "{ 0.0e+0f }"
    assert macros["NET_INPUT0_DIMS"] == "{ 1u, 1u, 8u, 8u }"
    assert macros["NET_OUTPUT0_BYTES"] == "40u"


@pytest.mark.parametrize("target", ["host", "rk3288", "bare"])
def test_objects_are_for_the_target_aligned_and_in_their_section(
    target: str, digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    machine = find_target(target)
    need(machine.compiler, "readelf")
    embed(load(digits.int8, "net", 1), tmp_path, "object", machine, ".flash.nets")
    listing = call("readelf", "-hSW", tmp_path / "net_model.o")
    assert (" ARM" in listing) == (target != "host")
    row = re.search(r"\.flash\.nets\s+PROGBITS\s+\w+ \w+ (\w+) \w+\s+A\s.*\s(\d+)$", listing, re.M)
    assert row is not None
    assert (int(row[1], 16), row[2]) == (digits.int8.stat().st_size, "64")


def test_the_same_model_is_the_same_text(digits: Digits, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        for form in ("asm", "c"):
            embed(load(digits.int8, "net", 1), tmp_path / folder, form, HOST)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["net.demi", "net.h", "net_model.S", "net_model.c"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a" / "net_model.S").read_text()


@pytest.mark.parametrize("size", [1, LINE, ROW - 1, ROW, ROW + 1, 600_000])
def test_c_text_holds_every_byte(size: int) -> None:
    data = bytes(np.random.default_rng(size).integers(0, 256, size, np.uint8))
    text = b"".join(_c_source("net", data, ".rodata")).decode()
    rows = re.findall(r'((?:"(?:\\\d{3})+" \n)*"(?:\\\d{3})+",\n)', text)
    found = [bytes(int(code, 8) for code in re.findall(r"\\(\d{3})", row)) for row in rows]
    assert {len(row) for row in found} == {ROW}
    assert b"".join(found) == data.ljust(len(found) * ROW, b"\0")


def test_100_mb_take_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    size = sum(len(chunk) for chunk in _c_source("net", bytes(100_000_000), ".rodata"))
    assert size > 400_000_000
    assert time.process_time() - start < 20


def test_numbers_of_rows_are_told(tmp_path: Path) -> None:
    file = b.File(
        tensors=[b.Tensor((1, 1, 4, 7), 64, count=4)], inputs=[], outputs=[(0, 'odd "name"\\')]
    )
    (tmp_path / "net.demi").write_bytes(file.build())
    embed(load(tmp_path / "net.demi", None, 1), tmp_path / "out", "asm", HOST)
    text = (tmp_path / "out" / "net.h").read_text()
    assert "#define NET_OUTPUT0_COUNTED 1" in text
    assert r'#define NET_OUTPUT0_NAME "odd \042name\042\134"' in text


@pytest.mark.parametrize(
    ("text", "name"), [("net-1.2", "net_1_2"), ("12Net", "net_12net"), ("ä b", "b")]
)
def test_names(text: str, name: str) -> None:
    assert identifier(text) == name


def test_bad_input_is_one_line(
    digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk.demi").write_bytes(b"junk")
    (tmp_path / "empty.cmake").write_text("set(CMAKE_SYSTEM_NAME Linux)\n")
    bare = tmp_path / "bare.cmake"
    bare.write_text("set(CMAKE_C_COMPILER x-gcc)\nset(CMAKE_SYSTEM_NAME Generic)\n")
    good = str(digits.int8)
    for arguments, message in (
        ([str(tmp_path / "junk.demi")], "not a model.demi"),
        ([str(tmp_path / "none.demi")], "No such file"),
        ([good, "--target", "vax"], "no target 'vax'; one of host, bare"),
        ([good, "--target", str(tmp_path / "no.cmake")], "No such file"),
        ([good, "--target", str(tmp_path / "empty.cmake")], "no set(CMAKE_C_COMPILER program)"),
        ([good, "--target", str(bare)], "no set(DMT_BARE"),
        ([good, "--section", "a b"], "no name of a section"),
        ([good, "--name", "!"], "makes no name in C"),
    ):
        assert main(["embed", *arguments, "-o", str(tmp_path / "out")]) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1


def test_a_missing_assembler_is_named(digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "t.cmake").write_text("set(CMAKE_C_COMPILER no-such-gcc)\n")
    machine = find_target(str(tmp_path / "t.cmake"))
    with pytest.raises(DemitasseError, match="there is no no-such-gcc here"):
        embed(load(digits.int8, "net", 1), tmp_path, "object", machine)


def test_every_toolchain_file_is_a_target() -> None:
    for name in target_names():
        machine = find_target(name)
        assert machine.threads >= 1
        assert (machine.bare is not None) == name.startswith("bare")


def test_the_command(digits: Digits, tmp_path: Path) -> None:
    assert main(["embed", str(digits.int16), "-o", str(tmp_path), "--name", "Digits 16"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "digits_16.demi",
        "digits_16.h",
        "digits_16_model.S",
    ]
