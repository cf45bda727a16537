"""Compare a model with the float network it came from, layer by layer.

    demitasse compare net.demi deploy.prototxt net.caffemodel --data images/
    demitasse compare net.demi deploy.prototxt net.caffemodel --data images/ --suggest
    demitasse compare net.demi deploy.prototxt net.caffemodel --data faces/ \\
        --labels who.txt --embedding

SQNR, cosine, max error and clipping are of the model as it runs. Where its scale table is at hand,
what each layer loses on float inputs stands beside them: float arithmetic with the integers'
weights, with the integers' activations, the layer quantized alone, and its worst channel.
--suggest ranks the layers to raise to INT16. --embedding tells TAR at FARs by cosine, and how far
the threshold shifts. The exit status is 1 where a layer is below --limit, or an output over
--max-drop or --min-sqnr.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.converter.evaluate import check_weights
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.findings import DIAGNOSED, SAMPLES, Question, investigate
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.findings import as_text


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    shared.caffe(parser)
    shared.data(parser)
    parser.add_argument(
        "--samples",
        metavar="N",
        type=shared.count,
        default=SAMPLES,
        help="images to compare layers on",
    )
    parser.add_argument(
        "--limit",
        metavar="DB",
        type=float,
        help="a layer is bad below it (10 for int8, 40 for int16, 80 for fp32)",
    )
    parser.add_argument(
        "--labels", metavar="L", help="of all images: classes, or with --embedding who it is"
    )
    parser.add_argument(
        "--embedding", action="store_true", help="the labels are identities: TAR at FARs"
    )
    parser.add_argument("--output", metavar="NAME", help="the output that the labels are of")
    _declare_diagnosis(parser)
    shared.budget(parser, "exit status 1 where it is not kept; of embeddings, a drop is one of TAR")
    shared.engine(parser)
    shared.reading(parser)


def _declare_diagnosis(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("diagnosis")
    group.add_argument(
        "--table", metavar="FILE", type=Path, help="the model's .dtable, if not beside it"
    )
    group.add_argument(
        "--diagnose",
        metavar="N",
        type=shared.whole,
        help=f"images on which each layer runs alone (0: none; {DIAGNOSED} if there is a table)",
    )
    group.add_argument(
        "--suggest",
        action="store_true",
        help="which layers to raise to INT16; runs two models for each layer, on 8 images",
    )
    group.add_argument(
        "--drift",
        action="store_true",
        help="would more images move the ranges? give those that calibrated",
    )


def command(options: Namespace) -> Answer:
    graph = shared.graph(options)
    check_weights(graph)
    question = Question(
        limit=options.limit,
        samples=options.samples,
        table=options.table,
        diagnosed=options.diagnose,
        suggest=options.suggest,
        drift=options.drift,
        budget=shared.budget_of(options),
        output=options.output,
        embedding=options.embedding,
        kernels=options.kernels,
        threads=options.threads,
        quiet=shared.is_quiet(options),
    )
    found = investigate(
        options.model,
        graph,
        open_dataset(options.data, options.labels),
        question,
        lambda samples, what: shared.progress(samples, what, options),
    )
    data = {
        "comparison": found.comparison,
        "outputs": found.scores.outputs,
        "accuracy": found.scores.accuracy,
        "float_accuracy": found.scores.float_accuracy,
        "verification": found.verification,
        "layers": found.layers,
        "suggestion": found.suggestion,
        "drift": found.drift,
        "in_budget": found.in_budget,
    }
    return Answer(as_text(found), data, found.good)
