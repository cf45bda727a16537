"""Operators of one's own in the runtime, with opcodes that no version of the format will take.

A plug-in registers the class of its operator here; the kernel stands in a library of its own
(examples/plugins).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.format import FIRST_CUSTOM, LAST_CUSTOM
from demitasse.converter.graph import Arrays
from demitasse.converter.ops.base import Operator
from demitasse.errors import DemitasseError

# (operator, its weights, the sections for its arrays) -> the parameter record
Encode = Callable[[Any, Arrays, Sections], bytes]


@dataclass(frozen=True, slots=True)
class Custom:
    """How the runtime is told of an operator; `image` says that its inputs are read as images."""

    opcode: int
    encode: Encode
    image: bool


_CUSTOM: WeakKeyDictionary[type, Custom] = WeakKeyDictionary()


def register_operator(
    kind: type[Operator], opcode: int, encode: Encode, *, image: bool = False
) -> None:
    """Let the runtime compute an operator class of a plug-in, in float32.

    Args:
        kind: the class; its `reference` must give the kernel's bits where an integer network is
            checked.
        opcode: 0x8000 to 0xFFFF, the kernel's.
        encode: gives the parameter record, little-endian words; arrays go to the sections.
        image: the kernel takes inputs as FORMAT.md's images, channels contiguous.

    Raises DemitasseError for an opcode that is out of range or taken by another class.
    """
    if not FIRST_CUSTOM <= opcode <= LAST_CUSTOM:
        raise DemitasseError(
            f"opcode {opcode:#x} of {kind.__name__} is not for operators of one's own",
            remedy=f"take one from {FIRST_CUSTOM:#x} to {LAST_CUSTOM:#x}",
        )
    for other, custom in _CUSTOM.items():
        if custom.opcode == opcode and other.__qualname__ != kind.__qualname__:
            raise DemitasseError(
                f"{other.__name__} has opcode {opcode:#x} already", remedy="take another"
            )
    _CUSTOM[kind] = Custom(opcode, encode, image)


def custom_operator(op: object) -> Custom | None:
    """What is registered for the operator's class."""
    return _CUSTOM.get(type(op))
