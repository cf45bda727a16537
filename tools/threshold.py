"""Make a scale table from statistics, without the images.

    demitasse threshold net.dstat --method kl -o net.dtable
    demitasse threshold net.dstat deploy.prototxt net.caffemodel --symmetric -o net.table

A table for another tool goes by the network's names and weights, so it needs the network.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.converter.graph import Graph
from demitasse.errors import warn
from demitasse.quantizer.statistics import Statistics, load
from demitasse.quantizer.table import build_table
from demitasse.quantizer.table_files import save_table
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import facts, plural, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("statistics", type=Path, help="a .dstat of `demitasse calibrate`")
    parser.add_argument(
        "prototxt", type=Path, nargs="?", help="the network's text (for other tools)"
    )
    parser.add_argument("caffemodel", type=Path, nargs="?", help="its weights")
    shared.written(parser, f"the table: .dtable, or {shared.FOREIGN}")
    shared.scheme(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    graph = shared.graph(options) if options.prototxt else None
    return table_answer(load(options.statistics), options, graph)


def table_answer(statistics: Statistics, options: Namespace, graph: Graph | None) -> Answer:
    """Choose the scales and write the table."""
    scales = build_table(statistics, options.precision, options.method, options.symmetric)
    save_table(scales, options.out, graph)
    warn(scales.warnings)
    rows = [
        [
            name,
            f"{t.min:.5g}",
            f"{t.max:.5g}",
            f"{t.low:.5g}",
            f"{t.high:.5g}",
            f"{t.scale:.5g}",
            str(t.zero_point),
        ]
        for name, t in scales.tensors.items()
    ]
    text = table(["tensor", "min", "max", "from", "to", "scale", "zero point"], rows)
    written = facts(
        [
            ("method", f"{scales.method} for {scales.precision}"),
            ("from", plural(statistics.count, "image")),
            ("written", str(options.out)),
        ]
    )
    return Answer(f"{text}\n\n{written}", {"table": scales, "out": options.out})
