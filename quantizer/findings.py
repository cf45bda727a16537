"""All that a comparison of a model with its float network can bring to light, in one call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from demitasse.converter.flat.read import ModelFile, read_model
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.budget import Budget, Trial, trial_runs
from demitasse.quantizer.comparison import Comparison, compare
from demitasse.quantizer.datasets import Dataset, Sample
from demitasse.quantizer.diagnosis import LayerDiagnosis, diagnose
from demitasse.quantizer.drift import Drift, find_drift
from demitasse.quantizer.embedding import Verification, verify
from demitasse.quantizer.feed import Feed, feed_for
from demitasse.quantizer.judging import Images
from demitasse.quantizer.measure import calibrate, float_model, fold
from demitasse.quantizer.plan import Suggestion, suggest
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.scoring import Score, Scorer, class_axes, class_output, row_outputs
from demitasse.quantizer.stored import from_model
from demitasse.quantizer.table import ScaleTable, read_table, to_text
from demitasse.runtime.model import Model

SAMPLES = 16
DIAGNOSED = 4  # images on which each layer runs alone


@dataclass(frozen=True)
class Question:
    """What to find out. limit: dB below which a layer is bad; None by precision.

    samples: images on which layers are compared, None for all; with labels the outputs are judged
    on all of them. table: the model's scale table, None for the one beside it. diagnosed: images on
    which each layer runs alone, None for DIAGNOSED if there is a table. suggest: rank the layers to
    raise. drift: of the ranges that the images give. output: the one that the labels are of;
    embedding: they are numbers of identities, not classes.
    """

    limit: float | None = None
    samples: int | None = SAMPLES
    table: Path | None = None
    diagnosed: int | None = None
    suggest: bool = False
    drift: bool = False
    budget: Budget | None = None
    output: str | None = None
    embedding: bool = False
    kernels: str | None = None
    threads: int = 1
    quiet: bool = True


@dataclass(frozen=True)
class Findings:
    """Answers; None where a question was not asked or has none. scores: of the outputs.

    layers: each alone, on `diagnosed` images; not where the model's table is missing. seconds: what
    the suggestion took. verification: of embeddings, by identities.
    """

    comparison: Comparison
    scores: Score
    verification: Verification | None = None
    layers: tuple[LayerDiagnosis, ...] | None = None
    diagnosed: int = 0
    table: ScaleTable | None = None
    table_missing: bool = False
    suggestion: Suggestion | None = None
    seconds: float = 0.0
    drift: Drift | None = None
    in_budget: bool = True

    @property
    def good(self) -> bool:
        """No layer is bad, and the budget holds."""
        return self.comparison.first_bad is None and self.in_budget


def investigate(
    model: Path,
    graph: Graph,
    dataset: Dataset,
    question: Question,
    progress: Callable[[Dataset, str], Iterable[Sample]] = lambda data, what: data,
) -> Findings:
    """Compare a model file with its network, as `load_caffe` gives it.

    Raises DataError where the network, the table or the labels do not fit the model.
    """
    file = read_model(model)
    if question.embedding and dataset.labels is None:
        raise DataError("embeddings are verified by identities", remedy="give them as --labels")
    table = find_table(model, file, question)
    exponents = file.metadata.get("equalized")
    folded = fold(graph, exponents if isinstance(exponents, dict) else None)
    few = dataset if question.samples is None else dataset.subset(question.samples)
    preprocess = from_model(file)
    feed = feed_for({name: folded.tensors[name].shape for name in folded.inputs}, preprocess)
    with float_model(folded) as reference:
        engines = Model.open(model, question.kernels, question.threads), Model.open(reference)
        layers = progress(few, "compare")
        compared = compare(*engines, file, layers, feed, question.limit)
        judged = progress(few if dataset.labels is None else dataset, "judge")
        found = _judge(compared, engines, file, judged, dataset.labels is not None, feed, question)
        if question.diagnosed != 0 and table is None:
            found = replace(found, table_missing=_has_integers(file))
        elif question.diagnosed != 0 and table is not None:
            found = _diagnose(found, folded, table, few, feed, question, progress)
        trial = Trial(folded, reference, preprocess, Images(None, few), None, 1, question.quiet)
        if question.suggest:
            found = _suggest(found, trial, table, question.budget)
        return _find_drift(found, trial, dataset, table) if question.drift else found


def find_table(model: Path, file: ModelFile, question: Question) -> ScaleTable | None:
    """The scale table that the model was made from, or None where it is not beside it."""
    wanted = question.diagnosed != 0 or question.suggest or question.drift
    if not wanted or not _has_integers(file):
        return None
    path = question.table or model.with_suffix(".dtable")
    needed = question.table is not None or question.diagnosed or question.suggest
    if not path.is_file() and not needed:
        return None
    table = read_table(path)
    made_from = file.metadata.get("table")
    if made_from in (None, hashlib.sha256(to_text(table).encode()).hexdigest()):
        return table
    if not needed:
        return None
    raise DataError(
        "is not the table that the model was made from",
        file=path,
        remedy="make the model anew with `demitasse quantize`",
    )


def _has_integers(file: ModelFile) -> bool:
    return any(tensor.dtype.startswith("int") for tensor in file.tensors)


def _judge(
    compared: Comparison,
    engines: tuple[Model, Model],
    file: ModelFile,
    samples: Iterable[Sample],
    labelled: bool,
    feed: Feed,
    question: Question,
) -> Findings:
    """The outputs, by float's and by the labels."""
    model, reference = engines
    output = class_output(file, question.output) if labelled else None
    scorer = Scorer(class_axes(file), row_outputs(file), output)
    for sample in samples:
        inputs = feed(sample)
        scorer.add(sample, reference.run(inputs), model.run(inputs))
    scores, verification = scorer.score(by_labels=not question.embedding), None
    if output is not None and question.embedding:
        verification = verify(output, *scorer.vectors())
    in_budget = _holds(question.budget, scores, verification)
    return Findings(compared, scores, verification, in_budget=in_budget)


def _holds(budget: Budget | None, scores: Score, verification: Verification | None) -> bool:
    if budget is None:
        return True
    if verification is None or budget.max_drop is None:
        return budget.holds(scores)
    return verification.lost <= budget.max_drop and replace(budget, max_drop=None).holds(scores)


def _diagnose(
    found: Findings,
    folded: Graph,
    table: ScaleTable,
    dataset: Dataset,
    feed: Feed,
    question: Question,
    progress: Callable[[Dataset, str], Iterable[Sample]],
) -> Findings:
    few = dataset.subset(DIAGNOSED if question.diagnosed is None else question.diagnosed)
    inputs = (feed(sample) for sample in progress(few, "diagnose"))
    layers = diagnose(folded, quantize(folded, table), inputs)
    return replace(found, layers=layers, diagnosed=len(few), table=table)


def _suggest(
    found: Findings, trial: Trial, table: ScaleTable | None, budget: Budget | None
) -> Findings:
    if table is None or table.precision != "int8":
        raise DataError("there is nothing to raise to INT16: the model is no INT8 one")
    start = perf_counter()
    with trial_runs(trial) as (graph, run):
        suggestion = suggest(graph, table, run, None if budget is None else budget.min_sqnr)
    return replace(found, suggestion=suggestion, seconds=perf_counter() - start, table=table)


def _find_drift(
    found: Findings, trial: Trial, dataset: Dataset, table: ScaleTable | None
) -> Findings:
    """Of the images that `calibrate` would take."""
    preprocess, quiet = trial.preprocess, trial.quiet
    statistics = calibrate(trial.folded, trial.reference, dataset, preprocess, quiet=quiet)
    how = () if table is None else (table.precision, table.method, table.symmetric)
    return replace(found, drift=find_drift(statistics.halves, *how))
