"""Guess from its first bytes what a file really is, for errors that name the likely mistake."""

from __future__ import annotations

from pathlib import Path

from demitasse.errors import DemitasseError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
SWAPPED = "were the prototxt and the caffemodel swapped?"

_MAGICS = (
    (HDF5_MAGIC, "an HDF5 file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
)


def guess(head: bytes) -> str:
    """One of the names above, `an HTML page`, `text`, `binary data` or `an empty file`."""
    if not head:
        return "an empty file"
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML page"
    control = sum(byte < 32 and byte not in b"\t\n\v\f\r" for byte in head)
    return "binary data" if control else "text"


def explain(kind: str, wanted: str) -> str:
    """The remedy when a file of this kind stands where `wanted` (text or binary) should."""
    if kind == "an HTML page":
        return "download the raw file instead of the page that shows it"
    if kind == "UTF-16 text":
        return "save it as UTF-8"
    if kind.startswith("a Git LFS"):
        return "fetch the real file with `git lfs pull`"
    if kind.endswith("archive"):
        return "unpack it first"
    if kind == "an empty file":
        return "check that it was downloaded completely"
    return SWAPPED if wanted != kind else ""


def read_bytes(path: Path) -> bytes:
    """The file's content. Raises DemitasseError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DemitasseError:
    """The error for a file that the system does not let us read."""
    reason = (error.strerror or str(error)).lower()
    return DemitasseError(f"cannot read: {reason}", file=path)
