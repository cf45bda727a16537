"""Packed programs on every target: the same output bytes, and nothing but a compiler needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.bits import quantized, stored_bytes

import demitasse
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.flat import write_model
from demitasse.converter.passes import optimize
from demitasse.errors import DataError, UnsupportedError
from demitasse.quantizer.reference import run_integer
from demitasse.tools.firmware.embed import load
from demitasse.tools.firmware.kernels import KERNELS, kernel_files, kernel_order
from demitasse.tools.firmware.pack import Packed, build, pack
from demitasse.tools.firmware.target import find_target
from demitasse.tools.main import main
from tests.runtime import builder as b
from tests.tools.firmware.conftest import DETECTOR, Digits, call

RUNS_ON = {
    "host": (),
    "rk3288": ("qemu-arm",),
    "rk3288-softfp": ("qemu-arm",),
    "bare-cortex-a": ("qemu-system-arm",),
    "bare-cortex-m": ("qemu-system-arm",),
}
# Where the same bytes are expected, and the kernels there; floats in registers or not (softfp).
WAYS = {
    "host": ("host", "fast"),
    "host, short kernels": ("host", "short"),
    "NEON, hard float": ("rk3288", "neon"),
    "NEON, softfp": ("rk3288-softfp", "neon"),
    "ARM, portable kernels": ("rk3288", "fast"),
    "bare Cortex-A": ("bare-cortex-a", "neon"),
    "bare Cortex-M": ("bare-cortex-m", "short"),
}
# All that the runtime may ask of whoever links it, beside the compiler's own helpers.
MEMORY = {"memcpy", "memmove", "memset"}
HELPERS = re.compile(r"__aeabi_\w+|__\w+[sdt][fi][23]?|_GLOBAL_OFFSET_TABLE_")


def packed(target: str, folder: Path, *models: Path, prefer: str | None = None) -> Packed:
    machine = find_target(target)
    loaded = [load(path, None, machine.threads, machine.kernel_set(prefer)) for path in models]
    return pack(loaded, folder, machine)


@pytest.fixture(scope="module")
def host(
    digits: Digits, tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]
) -> Packed:
    """The three precisions in one program for this machine."""
    need("cc", "make")
    made = packed(
        "host", tmp_path_factory.mktemp("host") / "p", digits.int8, digits.int16, digits.fp32
    )
    build(made, find_target("host"))
    return made


@pytest.fixture(scope="module")
def integers(
    digits: Digits, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, int]:
    """The digits network in integers, and the CRC that the NumPy reference gives for a picture."""
    example, folder = root / "examples/digits", tmp_path_factory.mktemp("integers")
    graph = optimize(load_caffe(example / "deploy.prototxt", example / "digits.caffemodel"))
    x = digits.picture.reshape(1, 1, 8, 8).astype(np.float32) / 16
    found = {}
    for precision in ("int8", "int16"):
        integer = quantized(graph, {"data": x}, precision)
        write_model(integer, folder / f"{precision}.demi")
        outputs = run_integer(integer, {"data": x})
        found[folder / f"{precision}.demi"] = zlib.crc32(stored_bytes(outputs, integer))
    return found


@pytest.mark.parametrize(("target", "kernel_set"), WAYS.values(), ids=WAYS)
def test_the_same_output_bytes_everywhere(
    target: str,
    kernel_set: str,
    integers: dict[Path, int],
    digits: Digits,
    tmp_path: Path,
    need: Callable[..., None],
) -> None:
    """As the NumPy reference: on this machine, on boards, and without an operating system."""
    machine = find_target(target)
    need(machine.compiler, "make", *RUNS_ON[target])
    x = digits.picture.reshape(1, 1, 8, 8).astype(np.float32) / 16
    loaded = [load(path, None, machine.threads, kernel_set) for path in integers]
    made = pack(loaded, tmp_path / "p", machine, samples={m.name: {"data": x} for m in loaded})
    assert any(name.endswith("_neon") for name in made.kernels) == (kernel_set == "neon")
    cost = build(made, machine)
    text = call("make", "-s", "-C", made.folder, "test")
    for path, crc in integers.items():
        assert f"{path.stem}: status 00000000, output CRC {crc:08x}, as expected" in text
    if machine.bare is not None:
        stack = re.search(r"^stack: (\d+) bytes$", text, re.M)
        assert stack is not None
        assert 1000 < int(stack[1]) < 4096
    assert 5_000 < cost.text < 150_000
    assert cost.models == sum(path.stat().st_size for path in integers)
    needs = [model.needs for model in made.models]
    assert cost.ram == sum(n.persistent for n in needs) + max(n.arena for n in needs)
    check_symbols(made, machine.compiler)


def check_symbols(made: Packed, compiler: str) -> None:
    """The library: no writable data, nothing undefined but MEMORY and HELPERS."""
    nm = re.sub(r"(gcc|cc)$", "nm", compiler)
    library = made.folder / f"lib{made.name}.a"
    rows = [line.split() for line in call(nm, library).splitlines()]
    defined = {row[-1] for row in rows if len(row) == 3}
    wanted = {row[-1] for row in rows if len(row) == 2 and row[0] == "U"} - defined
    assert {name for name in wanted if not HELPERS.fullmatch(name)} <= MEMORY
    sections = call(re.sub("nm$", "readelf", nm), "-SW", library)
    sizes = re.findall(r"\] (\.(?:data|bss)\S*)\s+\w+\s+\w+ \w+ (\w+)", sections)
    # Tables of pointers are relocated where code may stand anywhere, and then read only.
    written = [name for name, size in sizes if int(size, 16) and ".rel.ro" not in name]
    assert sizes
    assert written == []


def test_a_sample_that_answers_otherwise_fails(
    digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("cc", "make")
    made = packed("host", tmp_path / "p", digits.int8)
    build(made, find_target("host"))
    sample = made.folder / "models" / "int8.sample"
    sample.write_bytes(bytes(byte ^ 0x55 for byte in sample.read_bytes()))
    done = subprocess.run(
        ["make", "-s", "-C", made.folder, "test"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "WRONG" in done.stdout


def test_short_kernels_give_the_same_bytes_in_less_code(
    digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    machine = find_target("bare-cortex-m")
    need(machine.compiler, "make", "qemu-system-arm")
    cost = {}
    for prefer in ("speed", "size"):
        made = packed("bare-cortex-m", tmp_path / prefer, digits.int8, prefer=prefer)
        cost[prefer] = build(made, machine).text
        assert "as expected" in call("make", "-s", "-C", made.folder, "test")
    assert cost["size"] < 0.85 * cost["speed"]
    assert cost["size"] < 24 * 1024  # the compiler's helpers included


def test_cortex_m_needs_no_fpu_no_neon_no_unaligned_access(
    digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    machine = find_target("bare-cortex-m")
    need(machine.compiler, "make", "arm-none-eabi-readelf")
    made = packed("bare-cortex-m", tmp_path / "p", digits.int8, digits.fp32)
    build(made, machine)
    attributes = call("arm-none-eabi-readelf", "-A", made.folder / f"{made.name}.elf")
    assert "Tag_CPU_arch_profile: Microcontroller" in attributes
    assert "Tag_FP_arch" not in attributes
    assert "Tag_Advanced_SIMD_arch" not in attributes
    # The start-up code lets unaligned accesses fault, so the self-test would tell of one, too.
    objects = call("arm-none-eabi-readelf", "-A", made.folder / f"lib{made.name}.a")
    assert "Tag_CPU_arch_profile: Microcontroller" in objects
    assert "Tag_CPU_unaligned_access" not in objects


@pytest.mark.parametrize("model", ["int8", "int16", "fp32"])
def test_pictures_frames_and_floats(model: str, host: Packed, digits: Digits) -> None:
    program = [host.folder / host.name, "--model", model]
    picture = digits.picture.tobytes()
    x = digits.picture.reshape(1, 1, 8, 8).astype(np.float32) * np.float32(0.00390625)
    engine = demitasse.Model.open(getattr(digits, model), kernels="generic")
    expected = [f"{value:.6g}" for value in engine.run({"data": x})["prob"][0].tolist()]
    assert int(np.argmax([float(text) for text in expected])) == digits.digit
    file = host.folder / "picture.pgm"
    file.write_bytes(b"P5 8 # a comment\n8\n255\n" + picture)
    rgb = b"P6\n8 8\n255\n" + np.repeat(digits.picture[..., None], 3, 2).tobytes()
    for text in (
        call(*program, file),
        call(*program, "-", input=rgb),
        call(*program, "--raw", "gray", "8x8", "-", input=picture),
        call(*program, "--floats", "-", input=x.astype("<f4").tobytes()),
    ):
        name, values = text.rstrip().split(":")
        assert name == "prob 1x10"
        assert values.split() == expected


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        ([], b"", "usage: "),
        (["none.ppm"], b"", "none.ppm: No such file"),
        (["-"], b"GIF89a", "-: neither a binary PPM nor PGM"),
        (["-"], b"P5 8 8 255\n123", "-: broken picture"),
        (["-"], b"P5 99999999 8 255\n", "-: broken picture"),
        (["--raw", "gray", "8x9", "-"], b"123", "-: 3 bytes, such a frame has 72"),
        (["--raw", "vax", "8x9", "-"], b"123", "--raw vax 8x9"),
        (["--floats", "-"], b"123", "-: 3 bytes, the model's inputs take 256"),
        (["--model", "vax", "-"], b"", "no model 'vax'"),
        (["--fast"], b"", "what is '--fast'"),
    ],
)
def test_bad_input_is_status_2(
    arguments: list[str], given: bytes, message: str, host: Packed
) -> None:
    done = subprocess.run(
        [host.folder / host.name, *arguments], input=given, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()


def test_only_what_the_models_use(host: Packed) -> None:
    table = (host.folder / "operators.c").read_text()
    assert re.findall(r"^    &(\w+),$", table, re.M) == list(host.kernels)
    assert set(host.kernels) < set(kernel_order())
    kernels = {path.name for path in (host.folder / "runtime/kernels/generic").glob("*.c")}
    assert "conv_s8.c" in kernels
    assert not kernels & {"lrn.c", "table.c", "yolo.c"}
    symbols = call("nm", host.folder / host.name)
    assert "dmt_op_conv_s8" in symbols
    assert "dmt_op_conv_any_s8" not in symbols


def test_every_kernel_has_a_source_file() -> None:
    """By the names of the headings and by the linker's own order of the table."""
    files = kernel_files()
    assert sorted(files) == sorted(kernel_order("neon"))
    folders = {name: "neon" if name.endswith("_neon") else "generic" for name in files}
    assert {name: path.parent for name, path in files.items()} == {
        name: KERNELS / folder for name, folder in folders.items()
    }


@pytest.mark.parametrize("target", ["host", "bare-cortex-m"])
def test_cmake_builds_it_too(
    target: str, digits: Digits, tmp_path: Path, need: Callable[..., None]
) -> None:
    machine = find_target(target)
    need(machine.compiler, "cmake")
    made = packed(target, tmp_path / "p", digits.int8)
    cmake = ["cmake", "-S", made.folder, "-B", tmp_path / "b"]
    cmake += [] if target == "host" else ["-DCMAKE_TOOLCHAIN_FILE=toolchain.cmake"]
    call(*cmake)
    call("cmake", "--build", tmp_path / "b")
    if target == "host":
        assert "as expected" in call(tmp_path / "b" / "int8", "--self-test")


def test_the_same_models_are_the_same_files(digits: Digits, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "b"]
    for folder in folders:
        packed("rk3288", folder, digits.int8)
    files = [path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file()]
    assert len(files) > 30
    for file in files:
        text = (folders[0] / file).read_bytes()
        assert text == (folders[1] / file).read_bytes()
        assert str(tmp_path).encode() not in text


def test_a_layer_without_a_kernel_is_named(tmp_path: Path) -> None:
    file = b.chain()
    operators = [replace(each, opcode=0x8001) for each in file.operators]
    (tmp_path / "net.demi").write_bytes(replace(file, operators=operators).build())
    with pytest.raises(
        UnsupportedError, match="layer 'first': the device has no kernel for 0x8001"
    ):
        packed("host", tmp_path / "p", tmp_path / "net.demi")
    assert not (tmp_path / "p").exists()


def test_two_models_of_one_name_and_a_folder_of_other_things(
    digits: Digits, tmp_path: Path
) -> None:
    copy = tmp_path / "other" / "int8.demi"
    copy.parent.mkdir()
    shutil.copy(digits.int8, copy)
    with pytest.raises(DataError, match="several models are called int8"):
        packed("host", tmp_path / "p", digits.int8, copy)
    with pytest.raises(DataError, match="not empty"):
        packed("host", copy.parent, digits.int8)


def test_a_sample_of_ones_own(
    digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stored bytes are quantize() of FORMAT.md, by hand: z + floor(v / scale + 0.5)."""
    x = digits.picture.reshape(1, 1, 8, 8).astype(np.float32) * np.float32(0.00390625)
    np.save(tmp_path / "x.npy", x)
    arguments = ["pack", str(digits.int8), "-o", str(tmp_path / "p"), "--no-build", "--quiet"]
    assert main([*arguments, "--sample", str(tmp_path / "x.npy")]) == 0
    stored = np.frombuffer((tmp_path / "p/models/int8.sample").read_bytes(), np.int8)
    tensor = load(digits.int8, None, 1).model.tensors[0]
    steps = np.floor(x.astype(np.float64) / tensor.scale + 0.5) + tensor.zero_point
    np.testing.assert_array_equal(stored, np.clip(steps, -128, 127).ravel())
    arguments.insert(1, str(digits.int16))
    assert main([*arguments, "--sample", str(tmp_path / "x.npy")]) == 2
    assert "--sample is for one model" in capsys.readouterr().err


def test_a_missing_compiler_is_named(
    digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.cmake").write_text("set(CMAKE_C_COMPILER no-such-gcc)\n")
    arguments = ["pack", str(digits.int8), "-o", str(tmp_path / "p")]
    assert main([*arguments, "--target", str(tmp_path / "t.cmake")]) == 2
    assert "there is no no-such-gcc here; install it" in capsys.readouterr().err
    assert (tmp_path / "p" / "Makefile").exists()


@pytest.mark.parametrize("target", ["host", "rk3288", "bare-cortex-m"])
def test_outputs_with_rows(
    target: str, root: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    """A detector: the CRC is of as many rows as are found, which the arena tells."""
    machine = find_target(target)
    need(machine.compiler, "make", *RUNS_ON[target])
    text = (root / "tests/data/ssd_head.prototxt").read_text() + DETECTOR
    (tmp_path / "net.prototxt").write_text(text)
    weights = root / "tests/data/ssd_head.caffemodel"
    graph = demitasse.load_caffe(tmp_path / "net.prototxt", weights, outputs=["found"])
    rng = np.random.default_rng(0)
    for precision in ("fp32", "int8"):
        data = None if precision == "fp32" else rng.standard_normal((64, 3, 8, 6), np.float32)
        demitasse.compile(graph, tmp_path / f"{precision}.demi", precision=precision, data=data)
    x = rng.standard_normal((1, 3, 8, 6), np.float32)
    models = [
        load(tmp_path / f"{precision}.demi", None, machine.threads, machine.kernel_set())
        for precision in ("fp32", "int8")
    ]
    samples = {model.name: {"data": x} for model in models}
    made = pack(models, tmp_path / "p", machine, "boxes", samples)
    build(made, machine)
    printed = call("make", "-s", "-C", made.folder, "test")
    assert printed.count("as expected") == 2
    rows = demitasse.evaluate(graph, {"data": x})["found"].reshape(-1, 7)
    assert 2 < len(rows) < 20
    if target == "host":
        given = x.astype("<f4").tobytes()
        lines = call(
            made.folder / "boxes", "--model", "fp32", "--floats", "-", input=given
        ).splitlines()
        assert lines[0] == f"found 1x1x{len(rows)}x7:"
        found = [[float(word) for word in line.split()] for line in lines[1:]]
        np.testing.assert_allclose(found, rows, rtol=1e-4, atol=1e-5)


def test_a_toolchain_file_of_ones_own(
    digits: Digits, root: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("arm-linux-gnueabihf-gcc", "qemu-arm", "make")
    text = (root / "runtime_c/toolchains/rk3288.cmake").read_text()
    mine = tmp_path / "thumb.cmake"
    mine.write_text(
        text.replace("-mfloat-abi=hard", "-mfloat-abi=hard -mthumb").replace(
            "set(DMT_THREADS 4)", "set(DMT_OPTIMIZE -Os)\nset(DMT_PREFER size)"
        )
    )
    machine = find_target(str(mine))
    assert (machine.name, machine.threads, machine.prefer) == ("thumb", 1, "size")
    made = packed(str(mine), tmp_path / "p", digits.int8)
    cost = build(made, machine)
    assert cost.text < 16 * 1024  # Thumb-2, short kernels
    assert "as expected" in call("make", "-s", "-C", made.folder, "test")
