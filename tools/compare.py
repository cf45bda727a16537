"""Compare a model with the float network it came from, layer by layer.

    demitasse compare net.demi deploy.prototxt net.caffemodel --data images/

Prints what each blob lost, and the first bad layer; then the exit status is 1.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.converter.evaluate import check_weights
from demitasse.converter.flat.read import read_model
from demitasse.quantizer.comparison import Comparison, LayerRow, compare
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.measure import float_model, fold
from demitasse.quantizer.repair import is_equalized
from demitasse.quantizer.stored import from_model
from demitasse.runtime.model import Model
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import decibels, facts, near_one, percent, plural, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    shared.caffe(parser)
    shared.data(parser)
    parser.add_argument(
        "--samples", metavar="N", type=shared.count, default=16, help="images to compare on"
    )
    parser.add_argument(
        "--limit",
        metavar="DB",
        type=float,
        help="a layer is bad below it (10 for int8, 40 for int16, 80 for fp32)",
    )
    shared.engine(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    file = read_model(options.model)
    model = Model.open(options.model, kernels=options.kernels, threads=options.threads)
    graph = shared.graph(options)
    check_weights(graph)
    folded = fold(graph, is_equalized(tensor.name or "" for tensor in file.tensors))
    dataset = open_dataset(options.data)
    chosen = dataset if options.samples is None else dataset.subset(options.samples)
    shapes = {name: folded.tensors[name].shape for name in folded.inputs}
    with float_model(folded) as reference:
        result = compare(
            model,
            Model.open(reference),
            file,
            shared.progress(chosen, "compare", options),
            feed_for(shapes, from_model(file)),
            options.limit,
        )
    return Answer(_text(result), {"comparison": result}, result.first_bad is None)


def _text(result: Comparison) -> str:
    rows = table(
        ["layer", "blob", "dtype", "SQNR", "cosine", "max error", "clipped"],
        [_cells(row) for row in result.rows],
        left=3,
    )
    bad = result.first_bad
    verdict = f"none below {result.limit:g} dB"
    if bad is not None:
        verdict = f"{bad.layer} ({bad.blob}): {decibels(bad.sqnr)}, below {result.limit:g} dB"
    lines = [("images", plural(result.images, "image")), ("first bad layer", verdict)]
    return f"{rows}\n\n{facts(lines)}"


def _cells(row: LayerRow) -> list[str]:
    return [
        row.layer,
        row.blob,
        row.dtype,
        decibels(row.sqnr),
        near_one(row.cosine),
        f"{row.max_error:.3g}",
        percent(row.clipped),
    ]
