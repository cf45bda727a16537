"""Prototxt as people write it: one field a line, two spaces a level, numbers that read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from google.protobuf import text_encoding


class Symbol(str):
    """A word without quotes: an enum's value."""


Value = bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
Fields = Mapping[str, Value]


def prototxt(fields: Fields) -> str:
    """The text of a message. A sequence is a repeated field, a mapping a message of its own."""
    return "".join(f"{line}\n" for line in _lines(fields, ""))


def _lines(fields: Fields, indent: str) -> Iterator[str]:
    for name, value in fields.items():
        repeated = isinstance(value, Sequence) and not isinstance(value, str)
        for item in value if repeated else [value]:  # type: ignore[union-attr]
            if isinstance(item, Mapping) and len(item) == 1:
                yield f"{indent}{name} {{ {' '.join(_lines(item, ''))} }}"
            elif isinstance(item, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {_scalar(item)}"


def _scalar(value: object) -> str:
    if isinstance(value, Symbol):
        return str(value)
    if isinstance(value, str):
        escaped = text_encoding.CEscape(value, as_utf8=True)  # type: ignore[arg-type]  # str too
        return f'"{escaped}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return number(float(value))
    return str(value)


def number(value: float) -> str:
    """The shortest decimal that reads back as the same float32, which is all that Caffe keeps."""
    with np.errstate(over="ignore"):
        return str(np.float32(value)).removesuffix(".0")
