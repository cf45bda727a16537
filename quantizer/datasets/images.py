"""Samples in image files: a folder, or a list file with `path [label]` lines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from demitasse.errors import DataError
from demitasse.quantizer.datasets.dataset import Kind

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
GRAY_MODES = frozenset(("1", "L", "LA", "La"))
DEEP_MODES = ("I", "F")
LEAVE_OUT = "mend it or leave it out"


@dataclass(frozen=True)
class ImageSource:
    """Image files, `names` relative to `root`."""

    root: Path
    names: tuple[str, ...]
    kind: Kind = "image"

    @property
    def identity(self) -> str:
        return "\n".join(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> np.ndarray:
        return read_image(self.root / self.names[index])

    def name(self, index: int) -> str:
        return self.names[index]


def is_image(path: Path) -> bool:
    """True for names that end as image files do; hidden files do not count."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def folder_source(folder: Path) -> ImageSource:
    """All images below a folder, sorted by their relative names."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if is_image(p))
    names = tuple(sorted(found))
    if not names:
        raise DataError(
            "holds no images", file=folder, remedy=f"expected {' '.join(sorted(SUFFIXES))}"
        )
    return ImageSource(folder, names)


def list_file_source(path: Path) -> tuple[ImageSource, np.ndarray | None]:
    """The images of a list file, relative to its folder, and the labels if every line has one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            "is neither a list of images nor a known data format",
            file=path,
            remedy="give a folder, a list file, .npy, .npz[:key] or IDX",
        ) from None
    names: list[str] = []
    labels: list[int | None] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, label = _split(line.strip(), path.parent)
        if not (path.parent / name).is_file():
            raise DataError(f"no such image '{name}'", file=path, line=number)
        if labels and (label is None) != (labels[0] is None):
            raise DataError("some lines have a label and some have none", file=path, line=number)
        names.append(name)
        labels.append(label)
    if not names:
        raise DataError("lists no images", file=path)
    known = [label for label in labels if label is not None]
    return ImageSource(path.parent, tuple(names)), np.array(known) if known else None


def _split(line: str, root: Path) -> tuple[str, int | None]:
    """Name and label of a line; names may hold blanks, and even end in a number."""
    name, _, last = line.rpartition(" ")
    if name and last.removeprefix("-").isdecimal() and not (root / line).is_file():
        return name.rstrip(), int(last)
    return line, None


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 (H, W, 3) RGB or (H, W, 1) gray, upright as its EXIF says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.mode.startswith(DEEP_MODES):
                    raise DataError(
                        f"has more than 8 bits a pixel (mode {opened.mode})",
                        file=path,
                        remedy="convert it to 8 bits",
                    )
                image = ImageOps.exif_transpose(opened)
                image = image.convert("L" if image.mode in GRAY_MODES else "RGB")
    except FileNotFoundError:
        raise DataError("no such image", file=path) from None
    except UnidentifiedImageError:
        raise DataError("is not an image that can be read", file=path, remedy=LEAVE_OUT) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be decoded ({error})", file=path, remedy=LEAVE_OUT) from error
    pixels = np.asarray(image, np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels
