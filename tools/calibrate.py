"""Measure the ranges of a network's blobs on images.

    demitasse calibrate deploy.prototxt net.caffemodel --data images/ -o net.dstat
    demitasse calibrate deploy.prototxt net.caffemodel --data images/ --shard 2/8 -o part2.dstat

A .dstat holds statistics: `threshold` makes a table of it by any method, `merge` puts shards
together. With a .dtable (or another tool's table) as output the table is made at once.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demitasse.converter.summary import summarise_graph
from demitasse.quantizer.calibrate import parse_shard
from demitasse.quantizer.files import check_folder
from demitasse.quantizer.foreign import FORMATS
from demitasse.quantizer.measure import measure
from demitasse.quantizer.statistics import save
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.report import described, drift_lines
from demitasse.tools.table import facts, plural
from demitasse.tools.threshold import drift_of, table_answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    shared.written(parser, f"statistics (.dstat), or a table: .dtable, {shared.FOREIGN}")
    shared.data(parser)
    shared.sampling(parser)
    parser.add_argument(
        "--shard", metavar="I/N", default="1/1", help="every N-th of the images, from the I-th on"
    )
    shared.scheme(parser)
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    check_folder(options.out)
    statistics = measure(
        graph,
        options.data,
        preprocess.value,
        samples=options.samples,
        shard=parse_shard(options.shard),
        workers=options.workers,
        equalized=options.equalized and options.out.suffix not in FORMATS,
        quiet=shared.is_quiet(options),
    )
    if options.out.suffix != ".dstat":
        return table_answer(statistics, options, graph, preprocess.value)
    save(statistics, options.out)
    drift = drift_of(statistics, options)
    seen = {"images": statistics.count, "tensors": len(statistics.tensors)}
    text = facts(
        [
            ("preprocessing", described(preprocess, summarise_graph(graph))),
            ("measured", f"{seen['tensors']} tensors on {plural(statistics.count, 'image')}"),
            *drift_lines(drift),
            ("written", str(options.out)),
        ]
    )
    return Answer(text, {**seen, "drift": drift, "out": options.out})
