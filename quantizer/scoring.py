"""How good a model's answers are: against labels, and against the float model's answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demitasse.converter.flat.format import Opcode
from demitasse.converter.flat.read import ModelFile
from demitasse.errors import DataError
from demitasse.quantizer.boxes import BoxDifference, BoxFidelity
from demitasse.quantizer.datasets import Sample
from demitasse.quantizer.feed import Feed


class Engine(Protocol):
    """What runs a network: inputs and outputs float32 by name, in real units."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Samples whose label is among the `top_k` largest scores."""

    correct: int
    total: int
    top_k: int = 1

    @property
    def share(self) -> float:
        return self.correct / self.total


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How near values come to the reference's, over all samples.

    sqnr: dB, 10 log10 of reference power over error power; inf where nothing differs.
    cosine: mean over the samples; low_cosine: 1 % of them are below; worst_cosine: the least.
    max_error: absolute.
    agreement: share of positions with the same largest class, where the output is one.
    """

    name: str
    sqnr: float
    cosine: float
    low_cosine: float
    worst_cosine: float
    max_error: float
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A model on a data set, beside the float reference. The accuracies are of the same output."""

    images: int
    outputs: tuple[Fidelity | BoxFidelity, ...]
    accuracy: Accuracy | None = None
    float_accuracy: Accuracy | None = None


class Difference:
    """Sums up, sample by sample, how `found` differs from `reference` (any shape, both alike)."""

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis  # of the classes
        self.signal = self.noise = self.largest = 0.0
        self.cosines: list[float] = []
        self.same = self.positions = 0

    def add(self, reference: np.ndarray, found: np.ndarray) -> None:
        """Count one sample in."""
        r, f = (np.asarray(a, np.float64).ravel() for a in (reference, found))
        error = f - r
        signal = float(r @ r)
        self.signal += signal
        self.noise += float(error @ error)
        self.largest = max(self.largest, float(np.abs(np.nan_to_num(error, nan=np.inf)).max()))
        self.cosines.append(_cosine(float(r @ f), signal, float(f @ f)))
        if self.axis is not None:
            same = reference.argmax(self.axis) == found.argmax(self.axis)
            self.same += int(same.sum())
            self.positions += same.size

    def fidelity(self, name: str) -> Fidelity:
        """The figures so far."""
        return Fidelity(
            name,
            sqnr=sqnr(self.signal, self.noise),
            cosine=float(np.mean(self.cosines)),
            low_cosine=float(np.quantile(self.cosines, 0.01)),
            worst_cosine=float(np.min(self.cosines)),
            max_error=self.largest,
            agreement=self.same / self.positions if self.positions else None,
        )


def sqnr(signal: float, noise: float) -> float:
    """Signal to quantization noise in dB, from two sums of squares."""
    if noise == 0:
        return math.inf
    if math.isnan(noise):
        return -math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def accuracy(scores: np.ndarray, labels: np.ndarray, top_k: int = 1) -> Accuracy:
    """scores (N, classes), labels (N,). Of equal scores the lower class counts as larger."""
    classes = scores.shape[1]
    if not 1 <= top_k <= classes:
        raise DataError(f"top {top_k} of {classes} classes is no question")
    bad = labels[(labels < 0) | (labels >= classes)]
    if bad.size:
        raise DataError(
            f"label {int(bad[0])} does not fit an output of {classes} classes",
            remedy="labels count from 0",
        )
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return Accuracy(int((best == labels[:, None]).any(axis=1).sum()), len(labels), top_k)


def evaluate_accuracy(
    model: Engine, samples: Iterable[Sample], feed: Feed, output: str, top_k: int = 1
) -> Accuracy:
    """Run the model on labelled samples; its `output` holds one score a class."""
    rows, labels = [], []
    for sample in samples:
        rows.append(row_of(model.run(feed(sample))[output]))
        labels.append(sample.label)
    return accuracy(np.stack(rows), np.array(labels), top_k)


def score(
    model: Engine,
    reference: Engine,
    samples: Iterable[Sample],
    feed: Feed,
    *,
    class_axes: Mapping[str, int],
    detections: Collection[str] = (),
    output: str | None = None,
    top_k: int = 1,
) -> Score:
    """Judge a model by its float reference and, where samples have labels, by these.

    class_axes: the axis of the classes of each output that has classes. detections: the outputs
    of which a run finds some rows. output: the one whose accuracy counts; None for no accuracy.
    """
    scorer = Scorer(class_axes, detections, output, top_k)
    for sample in samples:
        inputs = feed(sample)
        scorer.add(sample, reference.run(inputs), model.run(inputs))
    return scorer.score()


class Scorer:
    """What `score` counts, sample by sample; the arguments are its."""

    def __init__(
        self,
        class_axes: Mapping[str, int],
        detections: Collection[str] = (),
        output: str | None = None,
        top_k: int = 1,
    ) -> None:
        self.class_axes, self.detections = class_axes, detections
        self.output, self.top_k = output, top_k
        self.differences: dict[str, Difference | BoxDifference] = {}
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []
        self.labels: list[int] = []
        self.images = 0

    def add(
        self, sample: Sample, expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]
    ) -> None:
        """Count in the outputs of one sample, float and found."""
        self.images += 1
        for name, values in expected.items():
            if name not in self.differences:
                boxes = name in self.detections
                axis = self.class_axes.get(name)
                self.differences[name] = BoxDifference() if boxes else Difference(axis)
            self.differences[name].add(values, found[name])
        if self.output is not None and sample.label is not None:
            self.rows.append((row_of(found[self.output]), row_of(expected[self.output])))
            self.labels.append(sample.label)

    def vectors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Found and float rows (N, K) of the output, and the labels (N,)."""
        mine, floats = (np.stack(column) for column in zip(*self.rows, strict=True))
        return mine, floats, np.array(self.labels)

    def score(self, by_labels: bool = True) -> Score:
        """The figures so far; by_labels: the output holds classes, and the labels are of these."""
        outputs = tuple(each.fidelity(name) for name, each in self.differences.items())
        if not self.labels or not by_labels:
            return Score(self.images, outputs)
        mine, floats, truth = self.vectors()
        top_k = self.top_k
        right = (accuracy(mine, truth, top_k), accuracy(floats, truth, top_k))
        return Score(self.images, outputs, *right)


def row_of(output: np.ndarray) -> np.ndarray:
    """One sample's output, (1, classes) or (1, classes, 1, 1), as (classes,)."""
    if output.size != max(output.shape):
        raise DataError(
            f"an output of shape {output.shape} is no vector of scores",
            remedy="name the output that has one score a class",
        )
    return output.ravel()


def _cosine(product: float, first: float, second: float) -> float:
    """Cosine of two vectors from their products; two zero vectors are alike."""
    if first == 0 and second == 0:
        return 1.0
    scale = math.sqrt(first) * math.sqrt(second)
    return product / scale if scale > 0 else 0.0


def class_axes(model: ModelFile) -> dict[str, int]:
    """The axis of the classes of each output that a Softmax writes."""
    softmax = {op.output: op for op in model.operators if op.opcode is Opcode.SOFTMAX}
    return {
        name: int.from_bytes(softmax[index].parameters[:4], "little")
        for name, index in model.outputs.items()
        if index in softmax
    }


def row_outputs(model: ModelFile) -> set[str]:
    """The outputs of which a run finds some number of rows: detections."""
    return {name for name, index in model.outputs.items() if model.tensors[index].count}


def class_output(model: ModelFile, wanted: str | None = None) -> str:
    """The output that holds one score a class: the wanted, the only one, or the only Softmax."""
    names = list(model.outputs)
    if wanted is not None and wanted not in names:
        raise DataError(f"the model has no output '{wanted}'", remedy=f"use {', '.join(names)}")
    classes = list(class_axes(model))
    for candidates in ([wanted] if wanted else [], names, classes):
        if len(candidates) == 1:
            return candidates[0]
    raise DataError(
        f"which of the outputs {', '.join(names)} holds the classes?", remedy="name it: --output"
    )
