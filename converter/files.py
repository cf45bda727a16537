"""Whole files or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from demitasse.errors import DataError


def write_whole(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write beside `path`, then rename: nobody ever sees half a file, nor does a failure leave one.

    Raises DataError naming the file where it cannot be written.
    """
    try:
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(chunks)
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise DataError(f"cannot write: {error.strerror or error}", file=path) from error
