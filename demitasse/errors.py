"""What can go wrong, in one family.

::

    DemitasseError            the input is bad; the message says where, why and what to do
    |- ParseError             a text or binary file is not what its format says
    |- UnsupportedError       well-formed, but a layer type, field or value that we do not handle
    |- ShapeError             shapes that do not fit together (expected and found)
    |- WeightsError           weights missing, of another shape, or of another network
    |- DataError              images, arrays, labels or tables that cannot be used
    `- ModelFileError         a model.demi that is truncated, damaged or of another version

    DemitasseWarning          the work goes on, but the result may not be what was wanted

Commands print ``str(error)`` on one line and exit with status 2. Mistakes of our own (a broken
invariant) are not in this family: they stay ordinary Python exceptions and show a traceback.
"""

import warnings
from collections.abc import Iterable
from os import PathLike, fspath


class DemitasseError(Exception):
    """Bad input, told in one line: ``file:line: layer 'name': message; remedy``.

    Args:
        message: what is wrong, with the offending value; no full stop at the end.
        file: the file that is to blame.
        line: its line, counted from 1 (0 in a binary file); only with ``file``.
        layer: the Caffe layer (or the operator) concerned.
        remedy: what the user can do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        layer: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = None if file is None else fspath(file)
        self.line = line
        self.layer = layer
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.message
        if self.layer is not None:
            text = f"layer '{self.layer}': {text}"
        if self.file is not None:
            place = self.file if not self.line else f"{self.file}:{self.line}"
            text = f"{place}: {text}"
        return text if self.remedy is None else f"{text}; {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling forgets keyword arguments; worker processes send errors home.
        return (type(self), (self.message,), self.__dict__)


class ParseError(DemitasseError):
    """A text or binary file is not what its format says."""


class UnsupportedError(DemitasseError):
    """Well-formed input that asks for something we do not handle."""


class ShapeError(DemitasseError):
    """Shapes that do not fit together; the message has the expected and the found one."""


class WeightsError(DemitasseError):
    """Weights that are missing, of another shape, or of another network."""


class DataError(DemitasseError):
    """Images, arrays, labels or tables that cannot be used."""


class ModelFileError(DemitasseError):
    """A ``model.demi`` that is truncated, damaged or of another version."""


class DemitasseWarning(UserWarning):
    """The work goes on, but the result may not be what was wanted."""


def warn(texts: Iterable[str]) -> None:
    """Each as a DemitasseWarning."""
    for text in texts:
        warnings.warn(text, DemitasseWarning, stacklevel=3)
