"""Scale tables of other tools, by the ending of the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from demitasse.converter.graph import Graph
from demitasse.quantizer.foreign import caffe, ncnn, rknn, tengine, tensorrt
from demitasse.quantizer.table import ScaleTable


class Foreign(NamedTuple):
    """How one tool's tables are read and, where there is a way, written; both need the folded
    graph."""

    tool: str
    read: Callable[[Path, Graph], ScaleTable]
    write: Callable[[ScaleTable, Graph, Path], None] | None


FORMATS: dict[str, Foreign] = {
    ".table": Foreign("ncnn", ncnn.read, ncnn.write),
    ".cache": Foreign("TensorRT", tensorrt.read, tensorrt.write),
    ".scale": Foreign("Tengine", tengine.read, tengine.write),
    ".cfg": Foreign("RKNN", rknn.read, rknn.write),
    ".prototxt": Foreign("Ristretto, Intel's Caffe", caffe.read, None),
}

__all__ = ["FORMATS", "Foreign"]
