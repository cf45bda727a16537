"""Convert a network without measuring anything: a float model.

    demitasse convert deploy.prototxt net.caffemodel --to demi -o net.demi

The numbers stay float32; `compile` makes integer models.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demitasse.quantizer import compile as pipeline
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    parser.add_argument("--to", choices=("demi",), default="demi", help="format of the result")
    shared.written(parser, "the float32 model")
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    info = pipeline.compile(
        graph,
        options.out,
        "fp32",
        preprocess=preprocess.value,
        sources=shared.sources(options),
    )
    return Answer(report.as_text(info, preprocess), report.as_data(info, preprocess))
