"""Put the statistics of several shards together.

    demitasse merge part*.dstat -o net.dstat

The order does not matter: the result is the file that one calibration would have written.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.quantizer.statistics import load, merge_all, save
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import facts, plural


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("parts", type=Path, nargs="+", help=".dstat files")
    shared.written(parser, "the merged statistics (.dstat)")


def command(options: Namespace) -> Answer:
    merged = merge_all(load(path) for path in options.parts)
    save(merged, options.out)
    text = facts(
        [
            ("merged", f"{plural(len(options.parts), 'file')}, {plural(merged.count, 'image')}"),
            ("written", str(options.out)),
        ]
    )
    return Answer(text, {"images": merged.count, "out": options.out})
