"""Reading whole files, and archives with the same bytes for the same content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.errors import DataError

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can tell


def read_file(path: Path) -> bytes:
    """A file's content; DataError naming it where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", file=path) from error


def check_folder(path: Path) -> None:
    """Refuse early to write where nothing can be written."""
    if not path.parent.is_dir():
        raise DataError("no such folder to write to", file=path.parent, remedy="make it first")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz`, uncompressed: equal arrays give equal bytes."""
    write_whole(path, [npz_bytes(arrays)])


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of an `.npz` with these arrays, in their order, without dates."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", LONG_AGO), member.getvalue())
    return buffer.getvalue()
