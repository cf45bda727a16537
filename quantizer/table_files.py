"""Scale tables as files, by their names: `.dtable` is ours, `.table` ncnn's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from demitasse.converter.evaluate import check_weights
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize
from demitasse.errors import DataError
from demitasse.quantizer.datasets import DataSpec
from demitasse.quantizer.measure import measure
from demitasse.quantizer.ncnn_table import read_ncnn, write_ncnn
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.repair import is_equalized
from demitasse.quantizer.table import ScaleTable, build_table, read_table, write_table


def open_table(path: Path, graph: Graph) -> ScaleTable:
    """A scale table, by its name: `.table` is ncnn's, which needs the network that it is of."""
    return read_ncnn(path, optimize(graph)) if path.suffix == ".table" else read_table(path)


def complete_table(
    table: ScaleTable,
    graph: Graph,
    data: DataSpec | None,
    preprocess: Preprocess,
    quiet: bool = True,
) -> ScaleTable:
    """ncnn's table with scales, from data, for the tensors that it does not know."""
    missing = [name for name in optimize(graph).tensors if name not in table.tensors]
    if table.method != "ncnn" or not missing:
        return table
    if data is None:
        raise DataError(
            f"an ncnn table has no scale for what no convolution reads ({', '.join(missing)})",
            remedy="give --data to measure it",
        )
    measured = build_table(
        measure(graph, data, preprocess, equalized=False, quiet=quiet), symmetric=True
    )
    warnings = (*table.warnings, f"measured, for ncnn's table has none: {', '.join(missing)}")
    return replace(table, tensors={**measured.tensors, **table.tensors}, warnings=warnings)


def save_table(table: ScaleTable, path: Path, graph: Graph | None = None) -> None:
    """Write a scale table, by its name: `.table` is ncnn's, which needs the network."""
    if path.suffix != ".table":
        write_table(table, path)
        return
    if graph is None:
        raise DataError(
            "an ncnn table holds weight scales too",
            file=path,
            remedy="name the prototxt and caffemodel",
        )
    if is_equalized(table.tensors):
        raise DataError(
            "ncnn knows nothing of equalized channels",
            file=path,
            remedy="calibrate with --no-equalize",
        )
    check_weights(graph)
    write_ncnn(table, optimize(graph), path)
