"""TensorRT's calibration cache.

First a line `TRT-<version>-<algorithm>`, then `<tensor>: <8 hex digits>`, the digits being the
big-endian float32 of scale = largest magnitude / 127. Names may hold blanks and colons. TensorRT
calibrates anew where the first line is not its own: edit it to match.
"""

from __future__ import annotations

import struct
from pathlib import Path

from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.foreign.base import (
    blob_names,
    by_tensor,
    read_text,
    require_symmetric,
    symmetric,
)
from demitasse.quantizer.table import ScaleTable

HEADER = "TRT-8601-EntropyCalibration2"


def write(table: ScaleTable, graph: Graph, path: Path) -> None:
    """Write the table of a folded graph. DataError unless it is symmetric INT8."""
    require_symmetric(table, "a TensorRT cache")
    lines = [HEADER]
    for tensor, blob in sorted(blob_names(graph).items(), key=lambda item: item[1]):
        lines.append(f"{blob}: {struct.pack('>f', table.tensor(tensor).scale).hex()}")
    write_whole(path, ["\n".join([*lines, ""]).encode()])


def read(path: Path, graph: Graph) -> ScaleTable:
    """Read a cache for a folded graph; tensors that it does not know are missing."""
    first, *lines = read_text(path, "TensorRT cache").splitlines() or [""]
    if not first.startswith("TRT-"):
        raise DataError("is no TensorRT cache: its first line names no TRT", file=path)
    rows = {}
    for number, line in enumerate(lines, 2):
        name, _, digits = line.rpartition(": ")
        try:
            (scale,) = struct.unpack(">f", bytes.fromhex(digits))
            if name and 0 < scale < float("inf"):
                rows[name] = symmetric(scale)
                continue
        except (ValueError, struct.error):
            pass
        raise DataError(f"'{line[:60]}' is no tensor and its scale", file=path, line=number)
    return ScaleTable("int8", True, "tensorrt", "", by_tensor(rows, graph, path))
