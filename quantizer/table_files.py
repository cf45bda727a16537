"""Scale tables as files, by their names' endings: `.dtable` is ours, the rest other tools'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from demitasse.converter.evaluate import check_weights
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize
from demitasse.errors import DataError
from demitasse.quantizer.datasets import DataSpec
from demitasse.quantizer.foreign import FORMATS
from demitasse.quantizer.measure import measure
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.table import ScaleTable, build_table, read_table, write_table


def open_table(path: Path, graph: Graph) -> ScaleTable:
    """A scale table; another tool's needs the network that it is of."""
    if path.suffix in FORMATS:
        return FORMATS[path.suffix].read(path, optimize(graph))
    return read_table(path)


def complete_table(
    path: Path,
    graph: Graph,
    data: DataSpec | None,
    preprocess: Preprocess,
    quiet: bool = True,
) -> ScaleTable:
    """A table with scales, from data, for the tensors that another tool's does not know."""
    table = open_table(path, graph)
    missing = [name for name in optimize(graph).tensors if name not in table.tensors]
    if path.suffix not in FORMATS or not missing:
        return table
    names = ", ".join(missing)
    if data is None:
        raise DataError(
            f"{FORMATS[path.suffix].tool} has no scale for {names}",
            file=path,
            remedy="give --data to measure it",
        )
    statistics = measure(graph, data, preprocess, equalized=False, quiet=quiet)
    measured = build_table(statistics, table.precision, symmetric=table.symmetric)
    warnings = (*table.warnings, f"measured, for the table has none: {names}")
    return replace(table, tensors={**measured.tensors, **table.tensors}, warnings=warnings)


def save_table(table: ScaleTable, path: Path, graph: Graph | None = None) -> None:
    """Write a scale table; another tool's needs the network."""
    if path.suffix not in FORMATS:
        write_table(table, path)
        return
    tool, _, write = FORMATS[path.suffix]
    if write is None:
        raise DataError(f"a table for {tool} is only read", file=path, remedy="name a .dtable")
    if graph is None:
        raise DataError(
            f"a table for {tool} is written by the network's names and weights",
            file=path,
            remedy="name the prototxt and caffemodel",
        )
    if table.equalized:
        raise DataError(
            f"{tool} knows nothing of equalized channels",
            file=path,
            remedy="calibrate with --no-equalize",
        )
    check_weights(graph)
    write(table, optimize(graph), path)
