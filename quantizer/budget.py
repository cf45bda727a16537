"""What INT8 may cost, and the table that keeps to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demitasse.converter.flat import parse_model, serialise
from demitasse.converter.graph import Graph, rebuild
from demitasse.errors import DataError
from demitasse.quantizer.datasets import Dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.judging import Images, judge_model
from demitasse.quantizer.precision import Run, measure_noise, raise_layers, rank
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.scoring import Fidelity, Score
from demitasse.quantizer.table import ScaleTable
from demitasse.runtime.model import Model

RESERVOIR = 8  # images that tell which layers matter
RESERVOIR_SEED = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """max_drop: points of accuracy that may be lost; without labels, points of agreement with
    float. min_sqnr: dB that every output must have. None: no matter."""

    max_drop: float | None = None
    min_sqnr: float | None = None

    def holds(self, score: Score) -> bool:
        """Whether a score is within the budget. DataError where it has no accuracy or agreement."""
        if self.max_drop is not None and points_lost(score) > self.max_drop:
            return False
        values = [each for each in score.outputs if isinstance(each, Fidelity)]
        return self.min_sqnr is None or all(each.sqnr >= self.min_sqnr for each in values)


@dataclass(frozen=True, slots=True)
class Trial:
    """How tables are tried out: reference is the float32 model of the folded graph."""

    folded: Graph
    reference: Path
    preprocess: Preprocess
    images: Images
    output: str | None
    top_k: int
    quiet: bool


def points_lost(score: Score) -> float:
    """Of accuracy, or else of agreement with float: of classes, or of boxes found."""
    if score.accuracy is not None and score.float_accuracy is not None:
        return 100 * (score.float_accuracy.share - score.accuracy.share)
    found = [e.agreement if isinstance(e, Fidelity) else e.share for e in score.outputs]
    agreements = [share for share in found if share is not None]
    if not agreements:
        raise DataError(
            "there is no accuracy that could drop: no labels, no Softmax, no boxes",
            remedy="give --labels, or --min-sqnr instead",
        )
    return 100 * (1 - min(agreements))


def keep_budget(trial: Trial, table: ScaleTable, budget: Budget) -> ScaleTable:
    """The table with as few layers in INT16 as keep the budget, or with all of them."""
    if budget.holds(_score(trial, table)):
        return table
    with trial_runs(trial) as (folded, run):
        steps = rank(folded, table, measure_noise(folded, table, run))
    ranked = [step.layer for step in steps]
    return raise_layers(table, ranked, lambda tried: budget.holds(_score(trial, tried)))


@contextmanager
def trial_runs(trial: Trial) -> Iterator[tuple[Graph, Run]]:
    """The network up to the values that tell tables apart, and what runs it on a few images."""
    dataset = trial.images.calibrate or trial.images.judge
    assert dataset is not None
    inputs = _inputs(trial, dataset)
    values = _values(trial)
    with tqdm(desc="measure layers", unit="model", disable=trial.quiet, leave=False) as bar:

        def run(tried: ScaleTable | None) -> Sequence[Mapping[str, np.ndarray]]:
            bar.update()
            return _run(values, tried, inputs)

        yield values.folded, run


def _values(trial: Trial) -> Trial:
    """The network up to the values that make detections: between boxes there is no difference."""
    rows = trial.folded.counted()
    if not rows:
        return trial
    ends = [node for node in trial.folded.nodes if rows.intersection(node.outputs)]
    read = [name for node in ends for name in node.inputs]
    outputs = dict.fromkeys(name for name in (*trial.folded.outputs, *read) if name not in rows)
    nodes = [node for node in trial.folded.nodes if node not in ends]
    folded = rebuild(replace(trial.folded, outputs=tuple(outputs)), nodes)
    reference = trial.reference.with_name("values.demi")
    reference.write_bytes(serialise(folded)[0])
    return replace(trial, folded=folded, reference=reference)


def _model(trial: Trial, table: ScaleTable) -> Path:
    path = trial.reference.with_name("trial.demi")
    path.write_bytes(serialise(quantize(trial.folded, table))[0])
    return path


def _score(trial: Trial, table: ScaleTable) -> Score:
    judge = trial.images.judge
    assert judge is not None
    return judge_model(
        _model(trial, table),
        trial.reference,
        judge,
        trial.preprocess,
        trial.output,
        trial.top_k,
        trial.quiet,
    )


def _inputs(trial: Trial, dataset: Dataset) -> list[Mapping[str, np.ndarray]]:
    file = parse_model(trial.reference.read_bytes())
    shapes = {name: file.tensors[index].shape for name, index in file.inputs.items()}
    feed = feed_for(shapes, trial.preprocess)
    return [feed(sample) for sample in dataset.subset(RESERVOIR, RESERVOIR_SEED)]


def _run(
    trial: Trial, table: ScaleTable | None, inputs: Sequence[Mapping[str, np.ndarray]]
) -> list[Mapping[str, np.ndarray]]:
    model = Model.open(trial.reference if table is None else _model(trial, table))
    return [model.run(each) for each in inputs]
