"""Scale tables of other tools, by the ending of the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from demitasse.converter.graph import Graph
from demitasse.quantizer.foreign import ncnn, tengine, tensorrt
from demitasse.quantizer.table import ScaleTable


class Foreign(NamedTuple):
    """How one tool's tables are read and written; both need the folded graph."""

    tool: str
    read: Callable[[Path, Graph], ScaleTable]
    write: Callable[[ScaleTable, Graph, Path], None]


FORMATS: dict[str, Foreign] = {
    ".table": Foreign("ncnn", ncnn.read, ncnn.write),
    ".cache": Foreign("TensorRT", tensorrt.read, tensorrt.write),
    ".scale": Foreign("Tengine", tengine.read, tengine.write),
}

__all__ = ["FORMATS", "Foreign"]
