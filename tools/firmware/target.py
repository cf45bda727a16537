"""A machine to build for: a CMake toolchain file, read for those who build with make alone."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from demitasse.errors import DataError, DemitasseError

RUNTIME = Path(str(files("demitasse.runtime_c")))
TOOLCHAINS = RUNTIME / "toolchains"
ALIASES = {"bare": "bare-cortex-m"}


@dataclass(frozen=True, slots=True)
class Target:
    """Compiler and flags; `bare` names the start-up code of a machine without operating system."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    linking: tuple[str, ...]
    optimize: str
    prefer: str  # of kernels: "speed" or "size"
    threads: int
    bare: str | None
    toolchain: Path | None  # None: this machine

    def kernel_set(self, prefer: str | None = None) -> str:
        """Of tools.firmware.kernels, for this machine's preference or another."""
        if (prefer or self.prefer) == "size":
            return "short"
        neon = any(flag.startswith("-mfpu=neon") for flag in self.flags)
        return "neon" if neon and "-mfloat-abi=soft" not in self.flags else "fast"

    def find_compiler(self) -> str:
        """Its path. Raises DemitasseError where it is not installed."""
        found = shutil.which(self.compiler)
        if found is None:
            raise DemitasseError(
                f"target {self.name}: there is no {self.compiler} here",
                remedy="install it, or name another in a toolchain file (--target FILE.cmake)",
            )
        return found


def target_names() -> list[str]:
    """Those that need no file of one's own."""
    return ["host", *ALIASES, *sorted(path.stem for path in TOOLCHAINS.glob("*.cmake"))]


def find_target(name: str) -> Target:
    """By name, or by the path of a toolchain file. Raises DataError for what is neither."""
    if name == "host":
        compiler = os.environ.get("CC") or "cc"
        return Target(name, compiler, (), (), "-O3", "speed", 1, None, None)
    path = TOOLCHAINS / f"{ALIASES.get(name, name)}.cmake"
    if not path.exists():
        path = Path(name)
        if path.suffix != ".cmake":
            raise DataError(
                f"no target '{name}'",
                remedy=f"one of {', '.join(target_names())}, or a toolchain file (.cmake)",
            )
    try:
        return _read(path)
    except OSError as error:
        raise DataError(error.strerror or str(error), file=path) from None


def _read(path: Path) -> Target:
    text = re.sub(r"#.*", "", path.read_text())
    said = {
        name: value.strip().strip('"')
        for name, value in re.findall(r"\bset\s*\(\s*(\w+)\s+([^)]*)\)", text)
    }
    compiler = said.get("CMAKE_C_COMPILER", "")
    if not compiler or any("$" in said.get(name, "") for name in _FLAGS):
        raise DataError(
            "no set(CMAKE_C_COMPILER program), or one made of variables",
            file=path,
            remedy="write compiler and CMAKE_C_FLAGS_INIT as plain words, "
            "as runtime_c/toolchains/rk3288.cmake does",
        )
    bare = said.get("DMT_BARE")
    if said.get("CMAKE_SYSTEM_NAME") == "Generic" and bare is None:
        raise DataError(
            "a machine without operating system, and no set(DMT_BARE ...)",
            file=path,
            remedy="cortex-a, cortex-m: the start-up code in runtime_c/bare",
        )
    if bare is not None and not (RUNTIME / "bare" / f"{bare}.ld").exists():
        raise DataError(f"DMT_BARE {bare}: no such start-up code in runtime_c/bare", file=path)
    prefer, threads = said.get("DMT_PREFER", "speed"), said.get("DMT_THREADS", "1")
    if prefer not in ("speed", "size"):
        raise DataError(f"DMT_PREFER {prefer} is neither speed nor size", file=path)
    if not re.fullmatch(r"[1-9]\d{0,3}", threads):
        raise DataError(f"DMT_THREADS {threads} is no number of threads", file=path)
    return Target(
        name=path.stem,
        compiler=compiler,
        # Whose compiler it will be nobody knows: warnings of another version are no errors.
        flags=tuple(f for f in said.get("CMAKE_C_FLAGS_INIT", "").split() if f != "-Werror"),
        linking=tuple(said.get("CMAKE_EXE_LINKER_FLAGS_INIT", "").split()),
        optimize=said.get("DMT_OPTIMIZE", "-O3"),
        prefer=prefer,
        threads=int(threads),
        bare=bare,
        toolchain=path,
    )


_FLAGS = ("CMAKE_C_COMPILER", "CMAKE_C_FLAGS_INIT", "CMAKE_EXE_LINKER_FLAGS_INIT", "DMT_OPTIMIZE")
