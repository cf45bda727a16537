"""Compile a Caffe network to a .demi.

    demitasse compile deploy.prototxt net.caffemodel --data images/ --mean 104,117,123 -o net.demi

Reads and folds the network, measures the ranges of its blobs on the images, quantizes, compares
the result with float on images that were held back, and writes the model and its scale table
(net.dtable). With --labels it says the accuracy; --eval takes other images for that.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demitasse.errors import DataError
from demitasse.quantizer import compile as pipeline
from demitasse.quantizer.datasets import open_dataset
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    shared.written(parser, "the model; the scale table goes beside it")
    shared.data(parser, required=False)
    parser.add_argument("--eval", metavar="DATA", help="judge with these images instead")
    shared.labels(parser)
    parser.add_argument(
        "--max-drop",
        metavar="POINTS",
        type=float,
        help="exit with status 1 where the accuracy falls by more than this (needs labels)",
    )
    shared.scheme(parser, float_too=True)
    shared.sampling(parser)
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    _check_drop(options)
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    info = pipeline.compile(
        graph,
        options.out,
        options.precision,
        options.data,
        options.method,
        options.symmetric,
        preprocess.value,
        labels=options.labels,
        judge=options.eval,
        samples=options.samples,
        workers=options.workers,
        equalized=options.equalized,
        output=options.output,
        top_k=options.top_k,
        sources=shared.sources(options),
        quiet=shared.is_quiet(options),
    )
    lost, limit = report.drop(info.score), options.max_drop
    good = lost is None or limit is None or lost <= limit
    return Answer(report.as_text(info, preprocess), report.as_data(info, preprocess), good)


def _check_drop(options: Namespace) -> None:
    """Refuse a limit that nothing could be held against: it would always be kept."""
    if options.max_drop is None:
        return
    judges = options.eval or options.data
    if judges is None or (options.labels is None and open_dataset(judges).labels is None):
        raise DataError(
            "--max-drop needs an accuracy", remedy="give images, and their answers with --labels"
        )
