"""Everything that is wrong with a network, collected and raised together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demitasse.errors import DemitasseError, DemitasseWarning, ParseError


class Problems:
    """Errors and remarks about one prototxt.

    Errors are kept until `raise_all`, so that the user sees all of them at once. Remarks are
    warnings; with `strict` they are errors.
    """

    def __init__(self, file: Path, strict: bool = False) -> None:
        self.file = file
        self.strict = strict
        self.errors: list[DemitasseError] = []
        self._remarks: dict[tuple[str, str], list[DemitasseError]] = {}

    @contextmanager
    def collect(self, layer: str | None = None, line: int | None = None) -> Iterator[None]:
        """Keep an error that is raised inside, completed with its place."""
        try:
            yield
        except DemitasseError as error:
            self.add(error, layer, line)

    def add(self, error: DemitasseError, layer: str | None = None, line: int | None = None) -> None:
        if error.file is None:
            error.file = str(self.file)
            error.line = line if error.line is None else error.line
        if error.layer is None:
            error.layer = layer
        self.errors.append(error)

    def blames(self, layer: str) -> bool:
        """Whether something is wrong with the layer already."""
        return any(error.layer == layer for error in self.errors)

    def remark(
        self, message: str, *, line: int, layer: str | None = None, kind: str = "", note: str = ""
    ) -> None:
        """Something odd that does not stop us. Said once for each (message, kind)."""
        remark = ParseError(message, file=self.file, line=line, layer=layer, remedy=note or None)
        self._remarks.setdefault((message, kind), []).append(remark)

    def raise_all(self) -> None:
        """Raise what was collected, as one error; else give the remarks as warnings."""
        errors = self.everything()
        if errors:
            raise _joined(errors, self.file)
        self.warn()

    def everything(self) -> list[DemitasseError]:
        """The errors, and with `strict` the remarks too."""
        return [*self.errors, *(self._grouped() if self.strict else [])]

    def warn(self) -> None:
        """Give the remarks as warnings."""
        for remark in self._grouped():
            warnings.warn(str(remark), DemitasseWarning, stacklevel=4)
        self._remarks.clear()

    def _grouped(self) -> list[DemitasseError]:
        return [_grouped(group) for group in self._remarks.values()]


def _grouped(group: list[DemitasseError]) -> DemitasseError:
    first = group[0]
    if len(group) == 1:
        return first
    return ParseError(
        f"{first.message} (and {len(group) - 1} more)",
        file=first.file,
        line=first.line,
        layer=first.layer,
        remedy=first.remedy,
    )


def _joined(errors: list[DemitasseError], file: Path) -> DemitasseError:
    if len(errors) == 1:
        return errors[0]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else DemitasseError
    prefix = f"{file}:"
    last = {error.remedy: error for error in errors}  # a remedy for several is said once
    for error in errors:
        if last[error.remedy] is not error:
            error.remedy = None
    lines = [f"\n  {str(error).removeprefix(prefix).strip()}" for error in errors]
    return kind(f"{len(errors)} problems:" + "".join(lines), file=file)
