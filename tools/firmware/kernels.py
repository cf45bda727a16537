"""Which kernels a model uses, and the memory it needs with them: asked of the runtime itself."""

from __future__ import annotations

import ctypes as c
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demitasse.converter.flat import ModelFile
from demitasse.converter.flat.format import opcode_name
from demitasse.errors import ModelFileError, UnsupportedError
from demitasse.runtime import library as lib
from demitasse.tools.firmware.target import RUNTIME

KERNELS = RUNTIME / "kernels"
TABLES = (KERNELS / "neon/dmt_operators_neon.h", KERNELS / "generic/dmt_operators.h")
_MODEL_BYTES = 256  # dmt_model fits into DMT_CONTEXT_SIZE


@dataclass(frozen=True, slots=True)
class Needs:
    """Kernels (names of their descriptors, in the order of the table) and bytes of memory, for so
    many threads and a set of kernels."""

    threads: int
    kernel_set: str
    kernels: tuple[str, ...]
    persistent: int
    arena: int


def needs_of(
    data: bytes, model: ModelFile, path: Path, threads: int, kernel_set: str = "fast"
) -> Needs:
    """What a model takes with a set of kernels.

    kernel_set: "neon"; "fast", the portable ones; or "short", those with the ones in front that
    take every case in little code. Any machine may ask about any. Raises UnsupportedError naming
    the layer that none of them computes, ModelFileError for a model that is not sound.
    """
    runtime = lib.load()
    size = len(data)
    held = np.zeros(size + lib.ALIGN, np.uint8)
    start = -held.ctypes.data % lib.ALIGN
    held[start : start + size] = np.frombuffer(data, np.uint8)
    at = held.ctypes.data + start
    order = kernel_order("neon")
    known = (c.c_void_p * len(order)).in_dll(runtime, "dmt_neon")
    pointers = dict(zip(order, known, strict=True))
    order = kernel_order(kernel_set)
    table = (c.c_void_p * (len(order) + 1))(*(pointers[name] for name in order), None)
    config, where = lib.Config(c.addressof(table), threads, None, None, None), lib.Where()
    opened = (c.c_uint64 * (_MODEL_BYTES // 8))()
    chosen = (c.c_uint16 * max(len(model.operators), 1))()
    arena = c.c_uint64()
    status = runtime.dmt_open(c.c_void_p(at), c.c_size_t(size), opened, c.byref(where))
    if status == lib.OK:
        status = runtime.dmt_select(c.byref(config), opened, chosen, c.byref(arena), c.byref(where))
    if status == lib.E_UNSUPPORTED:
        raise _unsupported(model, where.index, path)
    sizes = lib.Sizes()
    if status == lib.OK:
        status = runtime.dmt_sizes(config, at, size, c.byref(sizes))
    if status != lib.OK:
        reason = runtime.dmt_strerror(status).decode()
        raise ModelFileError(reason, file=path, remedy="compile the model again")
    used = sorted({chosen[i] for i in range(len(model.operators))})
    names = tuple(order[i] for i in used)
    return Needs(threads, kernel_set, names, sizes.persistent, sizes.arena)


def _unsupported(model: ModelFile, index: int, path: Path) -> UnsupportedError:
    operator = model.operators[index]
    return UnsupportedError(
        f"the device has no kernel for {opcode_name(operator.opcode)} in {operator.dtype}",
        file=path,
        layer=operator.name or str(index),
        remedy="compile the model again with this version, or end it before that layer (--outputs)",
    )


def kernel_order(kernel_set: str = "fast") -> list[str]:
    """The descriptors of a set in the order of a table; of "neon" that is `dmt_neon`."""
    texts = [path.read_text() for path in TABLES[0 if kernel_set == "neon" else 1 :]]
    names = [name for text in texts for name in re.findall(r"\bX\((dmt_op_\w+)\)", text)]
    return sorted(names, key=lambda name: "_any_" not in name) if kernel_set == "short" else names


def kernel_files() -> dict[str, Path]:
    """The source file of every descriptor."""
    found = {}
    names = kernel_order("neon")
    for path in sorted(path for table in TABLES for path in table.parent.glob("*.c")):
        text = path.read_text()
        made = re.findall(
            r"const dmt_operator (?:DMT_KERNEL\()?(dmt_op_\w+)(##type)?(?:##(\w+))?", text
        )
        for stem, pasted, last in made:
            ends = ("f32", "s8", "s16") if pasted else ("",)
            found.update({name: path for end in ends if (name := stem + end + last) in names})
    return found


def shared_files(kernels: Iterable[Path]) -> list[Path]:
    """Sources without a descriptor that those call, in their folders and among the portable
    kernels, relative to the runtime; the linker drops what none of them does."""
    own = set(kernel_files().values())
    folders = {TABLES[-1].parent, *(RUNTIME / path.parent for path in kernels)}
    found = (path for folder in folders for path in folder.glob("*.c") if path not in own)
    return sorted(path.relative_to(RUNTIME) for path in found if path.name != "table.c")
