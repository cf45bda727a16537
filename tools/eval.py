"""Accuracy of a model on labelled images.

    demitasse eval net.demi --data t10k-images.gz --labels t10k-labels.gz
    demitasse eval net.demi --data images.npz:images --labels images.npz:labels --top-k 5

Pictures are preprocessed as the model was compiled. With --min-accuracy the exit status is 1 where
the model stays below it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from demitasse.converter.flat.read import read_model
from demitasse.errors import DataError
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.scoring import class_output, evaluate_accuracy
from demitasse.quantizer.stored import from_model
from demitasse.runtime.model import Model
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import facts, percent, plural


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    shared.data(parser)
    shared.labels(parser)
    parser.add_argument(
        "--min-accuracy", metavar="PERCENT", type=float, help="exit with status 1 below it"
    )
    shared.engine(parser)
    shared.operators(parser)


def command(options: Namespace) -> Answer:
    file = read_model(options.model)
    model = Model.open(options.model, kernels=options.kernels, threads=options.threads)
    dataset = open_dataset(options.data, options.labels)
    if dataset.labels is None:
        raise DataError("the data has no labels", file=options.data, remedy="give --labels")
    output = class_output(file, options.output)
    shapes = {name: file.tensors[index].shape for name, index in file.inputs.items()}
    result = evaluate_accuracy(
        model,
        shared.progress(dataset, "judging", options),
        feed_for(shapes, from_model(file)),
        output,
        options.top_k,
    )
    least = options.min_accuracy
    good = least is None or 100 * result.share >= least
    text = facts(
        [
            ("data", f"{options.data}: {plural(result.total, 'image')}"),
            ("output", output),
            (
                f"top-{result.top_k}",
                f"{percent(result.share)} right ({result.correct:,} of {result.total:,})"
                + ("" if good else f"; less than {least} %"),
            ),
        ]
    )
    data = {"accuracy": result.share, "correct": result.correct, "total": result.total}
    return Answer(text, {**data, "top_k": result.top_k, "output": output}, good)
