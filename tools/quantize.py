"""Make a model from a network and a scale table.

    demitasse quantize deploy.prototxt net.caffemodel --table net.dtable -o net.demi

The table may be edited by hand. With --data the result is compared with float on all of it.
Other tools' tables may lack some scales (ncnn knows only what convolutions read): those are
measured on --data. A prototxt of Ristretto or of Intel's calibrator is a table too, by its
quantization_param:

    demitasse quantize q.prototxt net.caffemodel --table q.prototxt --data photos/ -o net.demi
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.quantizer import compile as pipeline
from demitasse.quantizer.table_files import complete_table
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    parser.add_argument(
        "--table",
        metavar="FILE",
        type=Path,
        required=True,
        help=f".dtable, or {shared.FOREIGN_READ}",
    )
    shared.written(parser, "the model")
    shared.data(parser, required=False)
    shared.labels(parser)
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    table = complete_table(
        options.table, graph, options.data, preprocess.value, shared.is_quiet(options)
    )
    info = pipeline.compile(
        graph,
        options.out,
        table.precision,
        preprocess=preprocess.value,
        table=table,
        labels=options.labels,
        judge=options.data,
        output=options.output,
        top_k=options.top_k,
        sources=shared.sources(options),
        quiet=shared.is_quiet(options),
    )
    return Answer(report.as_text(info, preprocess), report.as_data(info, preprocess))
