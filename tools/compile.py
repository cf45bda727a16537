"""Compile a Caffe network to a .demi.

    demitasse compile deploy.prototxt net.caffemodel --data images/ --mean 104,117,123 -o net.demi

Reads and folds the network, measures the ranges of its blobs on the images, quantizes, compares
the result with float on images that were held back, and writes the model and its scale table
(net.dtable). With --labels it says the accuracy; --eval takes other images for that. With a budget
(--max-drop, --min-sqnr) layers that INT8 spoils are computed in INT16; the table names them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demitasse.errors import DataError
from demitasse.quantizer import compile as pipeline
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    shared.written(parser, "the model; the scale table goes beside it")
    shared.data(parser, required=False)
    parser.add_argument("--eval", metavar="DATA", help="judge with these images instead")
    shared.labels(parser)
    shared.scheme(parser, float_too=True)
    shared.budget(
        parser, "INT8 layers are raised to INT16, as few as will do; exit status 1 where none do"
    )
    shared.repairs(parser)
    shared.sampling(parser)
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    budget = shared.budget_of(options)
    if budget is not None and options.eval is None and options.data is None:
        raise DataError(
            "--max-drop and --min-sqnr need images to judge by", remedy="give --data or --eval"
        )
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    info = pipeline.compile(
        graph,
        options.out,
        options.precision,
        options.data,
        options.method,
        options.symmetric,
        preprocess.value,
        overrides=shared.overrides(options),
        budget=budget if options.precision == "int8" else None,
        labels=options.labels,
        judge=options.eval,
        samples=options.samples,
        workers=options.workers,
        equalized=options.equalized,
        weight_method=options.weights,
        small_weights=options.int4_weights,
        repairs=options.repair,
        output=options.output,
        top_k=options.top_k,
        sources=shared.sources(options),
        quiet=shared.is_quiet(options),
    )
    good = budget is None or info.score is None or budget.holds(info.score)
    return Answer(report.as_text(info, preprocess), report.as_data(info, preprocess), good)
