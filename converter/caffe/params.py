"""A `*_param` message read by name, Caffe's default beside each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from demitasse.converter.caffe.text import Field, Message
from demitasse.errors import ParseError

T = TypeVar("T")

FILLER = ("type", "value", "min", "max", "mean", "std", "sparse", "variance_norm")


class Params:
    """The fields of one message. It remembers which names were asked for, so that what nobody
    asked for can be reported. Conversions raise ParseError with the field's line."""

    def __init__(self, name: str, message: Message | None) -> None:
        self.name = name
        self.message = message or Message()
        self._asked: set[str] = set()
        self._single: set[str] = set()
        self._parts: list[Params] = []

    def __contains__(self, name: str) -> bool:
        self._asked.add(name)
        return self.message.last(name) is not None

    def integer(self, name: str, default: int = 0) -> int:
        return self._one(name, default, Field.integer)

    def real(self, name: str, default: float = 0.0) -> float:
        return self._one(name, default, Field.real)

    def boolean(self, name: str, default: bool = False) -> bool:
        return self._one(name, default, Field.boolean)

    def string(self, name: str, default: str = "") -> str:
        return self._one(name, default, Field.string)

    def symbol(self, name: str, values: Mapping[str, int], default: str) -> str:
        """An enum value as its name; texts may give the number."""
        return self._one(name, default, lambda field: field.symbol(values))

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(field.integer() for field in self._all(name))

    def reals(self, name: str) -> tuple[float, ...]:
        return tuple(field.real() for field in self._all(name))

    def part(self, name: str) -> Params:
        """A sub-message; empty where it is absent."""
        self._single.add(name)
        self._asked.add(name)
        part = Params(f"{self.name}.{name}", self.message.merged(name))
        self._parts.append(part)
        return part

    def parts(self, name: str) -> list[Params]:
        """Every sub-message of a repeated field."""
        found = [Params(f"{self.name}.{name}", field.message()) for field in self._all(name)]
        self._parts += found
        return found

    def filler(self, name: str) -> Message | None:
        """A weight filler, if the text has it."""
        if name not in self:
            return None
        part = self.part(name)
        part.ignore(*FILLER)
        return part.message

    def ignore(self, *names: str) -> None:
        """Fields that Caffe knows and that make no difference here."""
        self._asked.update(names)

    def unread(self) -> list[tuple[str, Field]]:
        """(path, field) of everything that nobody asked for."""
        found = [
            (f"{self.name}.{f.name}", f) for f in self.message.fields if f.name not in self._asked
        ]
        return found + [item for part in self._parts for item in part.unread()]

    def repeated(self) -> list[tuple[str, Field]]:
        """(path, last field) of single fields that are given more than once."""
        found = []
        for name in sorted(self._single):
            fields = self.message.all(name)
            if len(fields) > 1:
                found.append((f"{self.name}.{name}", fields[-1]))
        return found + [item for part in self._parts for item in part.repeated()]

    def _one(self, name: str, default: T, convert: Callable[[Field], T]) -> T:
        self._asked.add(name)
        self._single.add(name)
        field = self.message.last(name)
        if field is not None and field.listed:
            raise ParseError(f"{name} is one value, found a list", line=field.line)
        return default if field is None else convert(field)

    def _all(self, name: str) -> list[Field]:
        self._asked.add(name)
        return self.message.all(name)
