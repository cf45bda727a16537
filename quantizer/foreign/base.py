"""What other tools' tables share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.files import read_file
from demitasse.quantizer.table import ScaleTable, TensorScale, float32

LEVELS = 127


def read_text(path: Path, what: str) -> str:
    """A table's text. DataError names a file that is none."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError:
        raise DataError(f"is no {what} (not text)", file=path) from None


def blob_names(graph: Graph) -> dict[str, str]:
    """Tensor -> Caffe's blob, for a blob's last value: other tools know no others."""
    return {tensor: key for key, tensor in graph.blobs.items() if "@" not in key}


def require_symmetric(table: ScaleTable, what: str) -> None:
    """Raise DataError unless the table is symmetric INT8 throughout."""
    if table.precision != "int8" or any(t.zero_point for t in table.tensors.values()):
        raise DataError(
            f"{what} holds symmetric INT8 scales only", remedy="calibrate with --symmetric"
        )


def symmetric(scale: float) -> TensorScale:
    """A scale of which nothing else is known."""
    edge = float32(scale * LEVELS)
    return TensorScale(scale, 0, -edge, edge, -edge, edge)


def by_tensor(
    rows: Mapping[str, TensorScale], graph: Graph, path: Path | None
) -> dict[str, TensorScale]:
    """Rows by blob as rows by tensor; blobs that folding removed are left out. DataError where the
    network has none of them."""
    found = {tensor: rows[blob] for tensor, blob in blob_names(graph).items() if blob in rows}
    if not found:
        raise DataError(
            "knows no blob of this network", file=path, remedy="use the table of this very network"
        )
    return found


def positive(word: str) -> float:
    """A scale. ValueError where it is none."""
    value = float(word)
    if not math.isfinite(value) or float32(value) <= 0:
        raise ValueError(f"{word} is no scale")
    return float32(value)
