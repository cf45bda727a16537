"""Make a scale table from statistics, without the images.

    demitasse threshold net.dstat --method kl -o net.dtable
    demitasse threshold net.dstat deploy.prototxt net.caffemodel --symmetric -o net.table

A table for another tool goes by the network's names and weights, so it needs the network;
--method auto needs it too, and a few images (--data).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.converter.graph import Graph
from demitasse.errors import DataError, warn
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.drift import Drift, find_drift
from demitasse.quantizer.measure import auto_methods, fold
from demitasse.quantizer.overrides import by_tensor
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.statistics import Statistics, load
from demitasse.quantizer.table import Override, build_table
from demitasse.quantizer.table_files import save_table
from demitasse.quantizer.thresholds import AUTO
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.report import drift_lines
from demitasse.tools.table import facts, plural, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("statistics", type=Path, help="a .dstat of `demitasse calibrate`")
    parser.add_argument(
        "prototxt", type=Path, nargs="?", help="the network's text (for other tools)"
    )
    parser.add_argument("caffemodel", type=Path, nargs="?", help="its weights")
    shared.written(parser, f"the table: .dtable, or {shared.FOREIGN}")
    shared.data(parser, required=False)
    shared.scheme(parser)
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    graph = shared.graph(options) if options.prototxt else None
    preprocess = shared.preprocess(options).value if graph is not None else Preprocess()
    return table_answer(load(options.statistics), options, graph, preprocess)


def table_answer(
    statistics: Statistics, options: Namespace, graph: Graph | None, preprocess: Preprocess
) -> Answer:
    """Choose the scales and write the table."""
    given = _overrides(statistics, options, graph, preprocess)
    how = (options.precision, options.method, options.symmetric)
    scales = build_table(statistics, *how, given, options.weights)
    save_table(scales, options.out, graph)
    warn(scales.warnings)
    drift = drift_of(statistics, options)
    rows = [
        [
            name,
            f"{t.min:.5g}",
            f"{t.max:.5g}",
            f"{t.low:.5g}",
            f"{t.high:.5g}",
            f"{t.scale:.5g}",
            str(t.zero_point),
            t.method or scales.method,
        ]
        for name, t in scales.tensors.items()
    ]
    headers = ["tensor", "min", "max", "from", "to", "scale", "zero point", "method"]
    text = table(headers, rows)
    written = facts(
        [
            ("method", f"{scales.method} for {scales.precision}"),
            ("from", plural(statistics.count, "image")),
            *drift_lines(drift),
            ("written", str(options.out)),
        ]
    )
    return Answer(f"{text}\n\n{written}", {"table": scales, "drift": drift, "out": options.out})


def drift_of(statistics: Statistics, options: Namespace) -> Drift | None:
    """Of statistics just collected, by the options' method."""
    how = (options.precision, options.method, options.symmetric)
    return find_drift(statistics.halves, *how)


def _overrides(
    statistics: Statistics, options: Namespace, graph: Graph | None, preprocess: Preprocess
) -> dict[str, Override]:
    """What the options say of single blobs, and what images say where the method is `auto`."""
    folded = None if graph is None else fold(graph, statistics.context.get("equalized"))
    blobs = None if folded is None else folded.blobs
    given = by_tensor(shared.overrides(options), statistics.tensors, blobs)
    if options.method != AUTO or options.precision != "int8":
        return given
    if folded is None or options.data is None:
        raise DataError(
            "--method auto tries the methods on the network and some images",
            remedy="give prototxt, caffemodel and --data, or another method",
        )
    dataset, quiet = open_dataset(options.data), shared.is_quiet(options)
    symmetric = options.symmetric
    return {
        **auto_methods(folded, statistics, dataset, preprocess, symmetric, given, quiet),
        **given,
    }
