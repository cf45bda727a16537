"""Operators that stand in shared libraries of their own, beside those of the runtime."""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path

from demitasse.errors import DemitasseError
from demitasse.runtime import library

_added: dict[Path, tuple[c.CDLL, list[int]]] = {}


def add_operators(path: str | os.PathLike[str]) -> None:
    """Let every model that is opened from now on use the operators of a library.

    The library has one `DMT_OPERATOR_LIBRARY` (runtime_c/src/dmt_op.h). Its operators are asked
    before those of the runtime. Raises DemitasseError where it cannot be loaded, or was compiled
    for another version of the runtime.
    """
    resolved = Path(path).resolve()
    if resolved in _added:
        return
    try:
        loaded = c.CDLL(str(resolved))
        abi = c.c_uint32.in_dll(loaded, "dmt_library_abi").value
        table = c.addressof(c.c_void_p.in_dll(loaded, "dmt_library"))
    except OSError as error:
        why = str(error) if resolved.exists() else "no such file"
        raise DemitasseError(f"cannot load the operators: {why}", file=path) from None
    except ValueError:
        raise DemitasseError(
            "the library offers no operators",
            file=path,
            remedy="write DMT_OPERATOR_LIBRARY(&your_operator); once in it",
        ) from None
    if abi != c.c_uint32.in_dll(library.load(), "dmt_abi").value:
        raise DemitasseError(
            "the operators were compiled for another version of the runtime",
            file=path,
            remedy="compile them again",
        )
    _added[resolved] = (loaded, _pointers(table))


def added_operators() -> tuple[Path, ...]:
    """The libraries, for `add_operators` in another process."""
    return tuple(_added)


def with_added(table: int) -> c.Array[c.c_void_p]:
    """A table (null-terminated) of the added operators and, after them, those at `table`."""
    pointers = [pointer for _, found in _added.values() for pointer in found] + _pointers(table)
    return (c.c_void_p * (len(pointers) + 1))(*pointers)


def _pointers(table: int) -> list[int]:
    """The entries of a null-terminated table."""
    found: list[int] = []
    while pointer := c.c_void_p.from_address(table + len(found) * c.sizeof(c.c_void_p)).value:
        found.append(pointer)
    return found
