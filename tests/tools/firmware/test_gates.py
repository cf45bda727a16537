"""What the C sources promise, on several compilers: warnings, stack, size, symbols, threads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demitasse.tools.firmware.kernels import kernel_files
from tests.tools.firmware.conftest import Digits, call

STRICT = (
    *("-std=c99", "-ffp-contract=off", "-Werror", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"),
    *("-Wstrict-prototypes", "-Wvla", "-Wundef"),
)
CORTEX_M = ("-mcpu=cortex-m3", "-mthumb", "-mno-unaligned-access", "-ffreestanding", "-Os")
CORTEX_A = ("-mcpu=cortex-a17", "-mfpu=neon-vfpv4", "-mfloat-abi=hard", "-mthumb", "-Os")
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-fno-pie")
LARGEST_FRAME = 2048  # bytes of stack of one function
MEMORY = {"memcpy", "memmove", "memset"}
CORE = {
    "core": ("dmt_sizes", "dmt_init", "dmt_run"),
    "frames": ("dmt_image",),
    "queries": ("dmt_input", "dmt_output", "dmt_read_f32", "dmt_write_f32"),
}
# Packed networks, by their kernels: LeNet, MTCNN, MobileNet in INT8.
NETS = {
    "lenet": ("dmt_op_conv_s8", "dmt_op_pool_max_s8", "dmt_op_dequantize_s8", "dmt_op_softmax_f32"),
    "mtcnn": (
        *("dmt_op_conv_s8", "dmt_op_pool_max_s8", "dmt_op_rescale_s8", "dmt_op_dequantize_s8"),
        "dmt_op_softmax_f32",
    ),
    "mobilenet": (
        *("dmt_op_conv_s8", "dmt_op_depthwise_s8", "dmt_op_pool_average_s8"),
        *("dmt_op_dequantize_s8", "dmt_op_softmax_f32"),
    ),
}


def sources(root: Path) -> list[Path]:
    """The device's: core and kernels, those for NEON too."""
    runtime = root / "runtime_c"
    kernels = [
        path for folder in ("generic", "neon") for path in runtime.glob(f"kernels/{folder}/*.c")
    ]
    found = [*runtime.glob("src/*.c"), *kernels]
    return sorted(path for path in found if path.name not in ("dmt_pool.c", "dmt_kernels.c"))


def object_of(path: Path, folder: Path) -> Path:
    return folder / f"{path.parent.name}_{path.stem}.o"


def includes(root: Path) -> list[str]:
    folders = ("include", "src", "programs", "packed", "bare")
    return [f"-I{root / 'runtime_c' / folder}" for folder in folders]


def on_all(work: Callable[[Path], object], paths: list[Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, paths):
            pass


@pytest.fixture(scope="module")
def cortex_m(
    root: Path, tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]
) -> Path:
    """Objects and stack usage of the device's sources for a Cortex-M3."""
    need("arm-none-eabi-gcc")
    folder = tmp_path_factory.mktemp("m")
    flags = [*STRICT, *CORTEX_M, "-fstack-usage", "-isystem", root / "runtime_c/bare/include"]

    def compile_one(path: Path) -> None:
        out = object_of(path, folder)
        call("arm-none-eabi-gcc", *flags, *includes(root), "-c", path, "-o", out)

    on_all(compile_one, sources(root))
    return folder


@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-linux-gnueabihf-gcc"])
def test_no_warnings(compiler: str, root: Path, need: Callable[..., None]) -> None:
    need(compiler)
    runtime = root / "runtime_c"
    more = [runtime / "src/dmt_pool.c", runtime / "src/dmt_kernels.c", runtime / "packed/main.c"]
    more += [runtime / "packed/dmt_packed.c", *runtime.glob("programs/*.c")]
    arm = CORTEX_A if compiler.startswith("arm") else ()
    paths = [*sources(root), *more, *([] if arm else [runtime / "kernels/x86/avx2.c"])]
    flags = [*STRICT, "-fsyntax-only", *arm, *includes(root)]
    on_all(lambda path: call(compiler, *flags, path), paths)


def test_the_stack_is_small_and_known(cortex_m: Path) -> None:
    """No arrays of variable length, no function with a large frame, no recursion to speak of."""
    rows = [
        line.split("\t") for path in cortex_m.glob("*.su") for line in path.read_text().splitlines()
    ]
    assert len(rows) > 200
    assert {row[2] for row in rows} == {"static"}
    most = max(rows, key=lambda row: int(row[1]))
    assert int(most[1]) <= LARGEST_FRAME, most


def test_cortex_m_wants_nothing_but_memory_and_the_compilers_helpers(cortex_m: Path) -> None:
    text = call("arm-none-eabi-nm", "-u", *sorted(cortex_m.glob("*.o")))
    wanted = {line.split()[-1] for line in text.splitlines() if " U " in line}
    others = {name for name in wanted if not name.startswith(("dmt_", "__aeabi_"))}
    assert others <= MEMORY
    text = call("arm-none-eabi-nm", *sorted(cortex_m.glob("*.o")))
    assert not re.findall(r" [BbCDd] (?!\$)\w+", text), "writable data"


def test_sizes_are_those_of_the_table(
    root: Path, tmp_path: Path, need: Callable[..., None]
) -> None:
    """Thumb-2 text and constants at -Os, core, every operator and a few networks, within 5 %.

    DEMITASSE_UPDATE=1 writes the table anew.
    """
    need("arm-linux-gnueabihf-gcc")
    table = root / "tests" / "tools" / "firmware" / "sizes.txt"
    version = call("arm-linux-gnueabihf-gcc", "-dumpversion").strip().split(".")[0]
    flags = [*STRICT, *CORTEX_A, *SECTIONS, *includes(root)]

    def compile_one(path: Path) -> None:
        call("arm-linux-gnueabihf-gcc", *flags, "-c", path, "-o", object_of(path, tmp_path))

    on_all(compile_one, sources(root))
    objects = sorted(path for path in tmp_path.glob("*.o") if not path.stem.endswith("_table"))
    call("arm-linux-gnueabihf-ar", "rcs", tmp_path / "lib.a", *objects)

    def measure(roots: tuple[str, ...]) -> int:
        out = tmp_path / f"{roots[0]}.linked"
        wanted = [f"-Wl,-u,{name}" for name in roots]
        link = ["-r", "-nostdlib", "-Wl,--gc-sections", *wanted, "-o", out, tmp_path / "lib.a"]
        call("arm-linux-gnueabihf-gcc", *link)
        return int(call("arm-linux-gnueabihf-size", out).splitlines()[1].split()[0])

    core = CORE["core"]
    found = {name: measure(roots) for name, roots in CORE.items()}
    found |= {name: measure((name,)) for name in sorted(kernel_files())}
    found |= {f"{name} with its core": measure((*core, *roots)) for name, roots in NETS.items()}
    if os.environ.get("DEMITASSE_UPDATE"):
        lines = [f"{size:6} {name}" for name, size in found.items()]
        head = f"# gcc {version} {' '.join(CORTEX_A)}: bytes of text and constants"
        table.write_text("\n".join([head, *lines, ""]))
    head, *lines = table.read_text().splitlines()
    if head.split()[2] != version:
        pytest.skip(f"the table of sizes is of gcc {head.split()[2]}, here is {version}")
    recorded = {line[7:]: int(line[:6]) for line in lines}
    assert recorded.keys() == found.keys()
    grown = {k: (recorded[k], n) for k, n in found.items() if n > 1.05 * recorded[k] + 16}
    assert grown == {}
    assert found["core"] <= 4096
    assert found["frames"] <= 3072
    assert found["mobilenet with its core"] - found["core"] <= 12 * 1024


def test_threads(root: Path, digits: Digits, tmp_path: Path, need: Callable[..., None]) -> None:
    need("gcc")
    runtime, program = root / "runtime_c", tmp_path / "threads"
    flags = ["-std=c99", "-O1", "-g", "-ffp-contract=off", "-fsanitize=thread", "-pthread"]
    paths = [*runtime.glob("src/*.c"), *runtime.glob("kernels/*/*.c")]
    objects = []

    def compile_one(path: Path) -> None:
        out = object_of(path, tmp_path)
        objects.append(out)
        call("gcc", *flags, *includes(root), "-c", path, "-o", out)

    on_all(compile_one, [runtime / "tests/threads.c", *paths])
    try:
        call("gcc", *flags, *objects, "-o", program)
    except AssertionError as error:
        if "libtsan" in str(error):
            pytest.skip("ThreadSanitizer's library is missing (apt install gcc)")
        raise
    for model in (digits.int8, digits.int16):
        text = call(program, model)
        assert text == "same results\n"
