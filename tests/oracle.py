"""Small networks and what real Caffe answered to them (`tests/data`, recorded by its record.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

DATA = Path(__file__).resolve().parent / "data"
DIGITS = DATA.parent.parent / "examples" / "digits"

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Case:
    """One network; `caffemodel` is None where it needs no weights.

    inputs: exactly what Caffe's input blobs held. blobs: the value of a top right after its layer,
    for every layer but the inputs, keyed by (layer, top) in Caffe's order.
    """

    name: str
    prototxt: Path
    caffemodel: Path | None
    inputs: dict[str, Array]
    blobs: dict[tuple[str, str], Array]

    def __str__(self) -> str:
        return self.name


def cases() -> Iterator[Case]:
    """Every recorded case, by name."""
    for path in sorted(DATA.glob("*.npz")):
        yield case(path.stem)


def case(name: str) -> Case:
    """One recorded case."""
    prototxt, weights = DATA / f"{name}.prototxt", DATA / f"{name}.caffemodel"
    if name == "digits":  # the example has its own folder
        prototxt, weights = DIGITS / "deploy.prototxt", DIGITS / "digits.caffemodel"
    found = [path for path in (weights, weights.with_suffix(".caffemodel.h5")) if path.exists()]
    inputs, blobs = {}, {}
    with np.load(DATA / f"{name}.npz") as arrays:
        for key in arrays:
            if key.startswith("input:"):
                inputs[key.removeprefix("input:")] = arrays[key]
            else:
                top, _, layer = key.partition("@")
                blobs[layer, top] = arrays[key]
    return Case(name, prototxt, found[0] if found else None, inputs, blobs)


def error(found: npt.ArrayLike, expected: Array) -> float:
    """The largest difference, as a fraction of the expected blob's largest absolute value."""
    found = np.asarray(found)
    assert found.shape == expected.shape, f"shape {found.shape}, Caffe has {expected.shape}"
    difference = np.abs(found.astype(np.float64) - expected).max()
    return float(difference / np.abs(expected).max())
