"""Tengine's scale file: `<tensor> <scale> <zero point>` a line.

The same form serves symmetric INT8 (every zero point is 0) and asymmetric UINT8, whose zero points
are 128 above ours.
"""

from __future__ import annotations

from pathlib import Path

from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.foreign.base import blob_names, by_tensor, positive, read_text, symmetric
from demitasse.quantizer.table import ScaleTable, TensorScale, float32


def write(table: ScaleTable, graph: Graph, path: Path) -> None:
    """Write the table of a folded graph. DataError unless it is INT8, and where six decimals are
    too few for a scale."""
    if table.precision != "int8":
        raise DataError("a Tengine scale file holds INT8 scales only", remedy="use a .dtable")
    shift = 0 if table.symmetric else 128
    lines = []
    for tensor, blob in sorted(blob_names(graph).items(), key=lambda item: item[1]):
        row = table.tensor(tensor)
        if any(letter.isspace() for letter in blob):
            raise DataError(f"Tengine cannot read the name '{blob}' (blanks)", file=path)
        if float(f"{row.scale:f}") == 0:
            raise DataError(
                f"the scale of '{blob}' vanishes in six decimals",
                file=path,
                remedy="use a .dtable",
            )
        lines.append(f"{blob} {row.scale:f} {row.zero_point + shift}\n")
    write_whole(path, ["".join(lines).encode()])


def read(path: Path, graph: Graph) -> ScaleTable:
    """Read a file for a folded graph; tensors that it does not know are missing."""
    found: dict[str, tuple[float, int]] = {}
    for number, line in enumerate(read_text(path, "Tengine scale file").splitlines(), 1):
        words = line.split()
        try:
            name, scale, zero_point = words
            found[name] = positive(scale), int(zero_point)
            if not -128 <= found[name][1] <= 255:
                raise ValueError
        except ValueError:
            raise DataError(
                f"'{line[:60]}' is no tensor, scale and zero point", file=path, line=number
            ) from None
    asymmetric = any(zero_point for _, zero_point in found.values())
    rows = {
        name: _asymmetric(scale, zero_point - 128) if asymmetric else symmetric(scale)
        for name, (scale, zero_point) in found.items()
    }
    return ScaleTable("int8", not asymmetric, "tengine", "", by_tensor(rows, graph, path))


def _asymmetric(scale: float, zero_point: int) -> TensorScale:
    low, high = (float32((code - zero_point) * scale) for code in (-128, 127))
    return TensorScale(scale, zero_point, low, high, low, high)
