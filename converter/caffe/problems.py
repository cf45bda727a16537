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
        self._errors: list[DemitasseError] = []
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
        self._errors.append(error)

    def remark(
        self, message: str, *, line: int, layer: str | None = None, kind: str = "", note: str = ""
    ) -> None:
        """Something odd that does not stop us. Said once for each (message, kind)."""
        remark = ParseError(message, file=self.file, line=line, layer=layer, remedy=note or None)
        self._remarks.setdefault((message, kind), []).append(remark)

    def raise_all(self) -> None:
        """Raise what was collected, as one error; else give the remarks as warnings."""
        remarks = [_grouped(group) for group in self._remarks.values()]
        errors = [*self._errors, *(remarks if self.strict else [])]
        if errors:
            raise _joined(errors, self.file)
        for remark in remarks:
            warnings.warn(str(remark), DemitasseWarning, stacklevel=3)
        self._remarks.clear()


def _grouped(group: list[DemitasseError]) -> DemitasseError:
    if len(group) > 1:
        group[0].message += f" (and {len(group) - 1} more)"
    return group[0]


def _joined(errors: list[DemitasseError], file: Path) -> DemitasseError:
    if len(errors) == 1:
        return errors[0]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else DemitasseError
    prefix = f"{file}:"
    lines = [f"\n  {str(error).removeprefix(prefix).strip()}" for error in errors]
    return kind(f"{len(errors)} problems:" + "".join(lines), file=file)
