"""One program of models and of the kernels that they use: sources, build files, a self-test."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.errors import DataError, DemitasseError
from demitasse.tools.firmware.embed import Loaded, assembly, embed, identifier
from demitasse.tools.firmware.kernels import kernel_files, kernel_order, shared_files
from demitasse.tools.firmware.sample import Sample, make_sample
from demitasse.tools.firmware.target import RUNTIME, Target

CORE = (
    *("dmt_check", "dmt_core", "dmt_crc", "dmt_image", "dmt_query", "dmt_resize", "dmt_strerror"),
    "dmt_transfer",
)
ROOTS = ("dmt_init", "dmt_run", "dmt_input", "dmt_output", "dmt_packed_operators")
RUNNERS = {
    "cortex-m": "qemu-system-arm -M mps2-an385",
    "cortex-a": "qemu-system-arm -M virt -cpu cortex-a15 -nic none",
}
EMULATORS = {"arm": "qemu-arm", "aarch64": "qemu-aarch64", "riscv64": "qemu-riscv64"}
SEMIHOSTING = "-display none -serial null -monitor null -semihosting-config enable=on,target=native"


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written; `kernels` are in the generated table."""

    name: str
    folder: Path
    models: tuple[Loaded, ...]
    samples: tuple[Sample, ...]
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Of the runtime, to compile: into the library, into the program, and its main()."""

    library: tuple[str, ...]
    program: tuple[str, ...]
    main: str


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a program grows by: machine code and constants (the compiler's helpers among
    them), models, and memory for all models in turn, one arena for all."""

    text: int
    rodata: int
    models: int
    ram: int


def pack(
    models: Sequence[Loaded],
    folder: Path,
    target: Target,
    name: str | None = None,
    samples: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Packed:
    """Write the project.

    models: loaded for one set of kernels. samples: inputs of the self-test in real units, by model.

    Raises DataError where two models have one name, or the folder holds something else.
    """
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise DataError(f"several models are called {', '.join(sorted(names))}")
    if folder.exists() and any(folder.iterdir()) and not (folder / "models").is_dir():
        raise DataError("the folder is not empty, and no packed program", file=folder)
    title = identifier(name) if name is not None else names[0]
    used = {kernel for model in models for kernel in model.needs.kernels}
    kernels = tuple(kernel for kernel in kernel_order(models[0].needs.kernel_set) if kernel in used)
    tests = tuple(make_sample(model, (samples or {}).get(model.name)) for model in models)
    for model, test in zip(models, tests, strict=True):
        embed(model, folder / "models", "asm", target)
        _write(folder / "models" / f"{model.name}.sample", test.stored + test.answer)
        text = assembly(f"{model.name}_sample", f"{model.name}.sample", ".rodata.samples")
        _write(folder / "models" / f"{model.name}_sample.S", text)
    packed = Packed(title, folder, tuple(models), tests, kernels)
    sources = _copy_runtime(packed, target)
    _write(folder / "operators.c", _operators(kernels))
    _write(folder / "models.c", _models(models, tests))
    _build_files(packed, target, sources)
    return packed


def _write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [data.encode() if isinstance(data, str) else data])


def _copy_runtime(packed: Packed, target: Target) -> Sources:
    """The runtime's files that this program needs."""
    where = kernel_files()
    kernels = sorted({where[name].relative_to(RUNTIME) for name in packed.kernels})
    kernels += shared_files(kernels)
    core = [Path("src") / f"{name}.c" for name in CORE]
    threads = [Path("src/dmt_pool.c")] if target.bare is None else []
    library = [*core, *kernels]
    main = "packed/main.c" if target.bare is None else "packed/bare_main.c"
    own = ["packed/dmt_packed.c"]
    headers = [
        path.relative_to(RUNTIME)
        for pattern in ("include/*.h", "src/*.h", "kernels/generic/*.h", "kernels/neon/*.h")
        for path in sorted(RUNTIME.glob(pattern))
    ]
    others = [Path("packed/dmt_packed.h"), Path("programs/dmt_file.h")]
    if target.bare is not None:
        bare = Path("bare")
        parts = ("memory", "semihost", "stack", f"start_{target.bare}")
        own += [f"bare/{name}.c" for name in parts]
        others = [others[0], bare / "bare.h", bare / "include/string.h", bare / f"{target.bare}.ld"]
    for path in [*library, *threads, Path(main), *map(Path, own), *headers, *others]:
        _write(packed.folder / "runtime" / path, (RUNTIME / path).read_bytes())
    program = [*map(str, threads), *own]
    return Sources(tuple(map(str, library)), tuple(program), main)


def _operators(kernels: Iterable[str]) -> str:
    known = list(kernels)
    declared = "\n".join(f"extern const dmt_operator {name};" for name in known)
    listed = "\n".join(f"    &{name}," for name in known)
    return f"""\
/* The kernels that the models use, and no other: the linker leaves out the rest. */
#include "dmt_packed.h"

{declared}

const dmt_operator *const dmt_packed_operators[] = {{
{listed}
    NULL,
}};
"""


def _models(models: Sequence[Loaded], samples: Sequence[Sample]) -> str:
    included = "\n".join(f'#include "{model.name}.h"' for model in models)
    declared = "\n".join(f"extern const uint8_t {model.name}_sample[];" for model in models)
    rows = []
    for model, sample in zip(models, samples, strict=True):
        macro = model.name.upper()
        answer = f"{model.name}_sample + {len(sample.stored)}" if sample.answer else "NULL"
        rows.append(
            f'    {{"{model.name}", {macro}_MODEL, {macro}_MODEL_BYTES, {macro}_PERSISTENT_BYTES, '
            f"{macro}_ARENA_BYTES,\n     {macro}_THREADS, {model.name}_sample, "
            f"0x{sample.crc:08x}u, {answer}}},"
        )
    most = {
        kind: max((getattr(model.needs, kind) for model in models), default=0)
        for kind in ("persistent", "arena")
    }
    newline = "\n"
    return f"""\
/* The models, and memory for one of them at a time. */
#include "dmt_packed.h"
{included}

{declared}

const dmt_packed dmt_packed_models[] = {{
{newline.join(rows)}
}};
const uint32_t dmt_packed_count = {len(models)};

uint8_t dmt_packed_persistent[{max(most["persistent"], 1)}] __attribute__((aligned(DMT_ALIGN)));
uint8_t dmt_packed_arena[{max(most["arena"], 1)}] __attribute__((aligned(DMT_ALIGN)));
"""


def _build_files(packed: Packed, target: Target, sources: Sources) -> None:
    prefix = re.sub(r"(gcc|clang|cc)(-\d+)?$", "", target.compiler)
    runner, arguments = "", "--self-test"
    if target.bare is not None:
        runner, arguments = f"{RUNNERS[target.bare]} {SEMIHOSTING} -kernel", ""
    elif target.toolchain is not None:
        runner = EMULATORS.get(prefix.split("-")[0], "")
    common = [flag for flag in (RUNTIME / "cflags.txt").read_text().split() if flag[:2] != "-O"]
    linking = list(target.linking)
    if target.bare is not None:
        linking += ["-T", f"runtime/bare/{target.bare}.ld"]
    pictures = any(model.model.preprocess for model in packed.models)
    values = {
        "name": packed.name,
        "target": target.name,
        "compiler": target.compiler,
        "prefix": prefix,
        "flags": " ".join([*common, *target.flags]),
        "optimize": target.optimize,
        "linking": " ".join(linking),
        "system": "-lgcc" if target.bare is not None else "-pthread -lm",
        "bare": "-isystem runtime/bare/include -Iruntime/bare" if target.bare is not None else "",
        "suffix": ".elf" if target.bare is not None else "",
        "threads": "" if target.bare is not None else "Threads::Threads m",
        "find_threads": "" if target.bare is not None else _FIND_THREADS,
        "library": _lines(f"runtime/{path}" for path in sources.library),
        "program": _lines(f"runtime/{path}" for path in sources.program),
        "main": f"runtime/{sources.main}",
        "models": _lines(f"models/{model.name}_model.S" for model in packed.models),
        "samples": _lines(f"models/{model.name}_sample.S" for model in packed.models),
        "roots": " ".join([*ROOTS, *(["dmt_image"] if pictures else [])]),
        "runner": runner,
        "arguments": arguments,
        "toolchain": "" if target.toolchain is None else " -DCMAKE_TOOLCHAIN_FILE=toolchain.cmake",
    }
    for file in ("Makefile", "CMakeLists.txt", "README.md"):
        text = _fill((RUNTIME / "packed" / f"{file}.in").read_text(), values, file == "Makefile")
        _write(packed.folder / file, text)
    if target.toolchain is not None:
        text = target.toolchain.read_text().replace(" -Werror", "")
        _write(packed.folder / "toolchain.cmake", text)


_FIND_THREADS = "set(THREADS_PREFER_PTHREAD_FLAG ON)\nfind_package(Threads REQUIRED)\n"


class _Places(Template):
    """@name@-like places: make and CMake have their own use for the dollar."""

    delimiter = "@"


def _fill(text: str, values: Mapping[str, str], continued: bool) -> str:
    if continued:
        values = {key: value.replace("\n", " \\\n") for key, value in values.items()}
    return _Places(text).substitute(values)


def _lines(paths: Iterable[str]) -> str:
    return "\n    ".join(paths)


def build(packed: Packed, target: Target) -> Footprint:
    """Compile with make and measure. Raises DemitasseError where a tool is missing or fails."""
    target.find_compiler()
    if shutil.which("make") is None:
        raise DemitasseError("there is no make here", remedy="install it, or use --no-build")
    done = subprocess.run(
        ["make", "-s", "-C", str(packed.folder), "all", "sizes"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = (last or done.stderr.splitlines() or ["no message"])[0]
        raise DemitasseError(f"make failed: {reason}", file=packed.folder)
    return _footprint(packed, done.stdout)


def _footprint(packed: Packed, listing: str) -> Footprint:
    """From `size -A` of everything that is linked into a program because of the models."""
    sizes = {"text": 0, "rodata": 0}
    written = 0
    for section, count in re.findall(r"^(\.\S+)\s+(\d+)\s+\d+$", listing, re.MULTILINE):
        if section.startswith((".text", ".rodata")):
            sizes[section.split(".")[1]] += int(count)
        elif section.startswith(".data.rel.ro"):
            sizes["rodata"] += int(count)
        elif section.startswith((".data", ".bss")):
            written += int(count)
    needs = [model.needs for model in packed.models]
    ram = sum(need.persistent for need in needs) + max(need.arena for need in needs) + written
    models = sum(len(model.data) for model in packed.models)
    return Footprint(**sizes, models=models, ram=ram)
