"""Ranges and methods that a user gives for single blobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from demitasse.errors import DataError
from demitasse.quantizer.repair.equalize import EQUALIZED
from demitasse.quantizer.table import Override


def by_tensor(
    given: Mapping[str, Override],
    tensors: Collection[str],
    blobs: Mapping[str, str] | None = None,
) -> dict[str, Override]:
    """The same by the names of tensors of a folded network; `blobs`, where known, leads to them.

    Raises DataError for a name that is none, or whose blob was folded away.
    """
    return {_tensor(name, tensors, blobs or {}): how for name, how in given.items()}


def _tensor(name: str, tensors: Collection[str], blobs: Mapping[str, str]) -> str:
    for each in (name, blobs.get(name, name), name + EQUALIZED):
        if each in tensors:
            return each
    near = get_close_matches(name, tensors, 3) or sorted(tensors)[:3]
    raise DataError(
        f"there is no blob '{name}' to give a range or a method for; it may have been folded",
        remedy=f"such as {', '.join(near)}",
    )
