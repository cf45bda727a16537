"""Figures of merit, against cases computed by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.scoring import Difference, accuracy, evaluate_accuracy, score, sqnr


def test_sqnr() -> None:
    assert sqnr(100.0, 1.0) == pytest.approx(20.0)
    assert sqnr(1.0, 0.0) == math.inf
    assert sqnr(0.0, 0.0) == math.inf
    assert sqnr(0.0, 1.0) == -math.inf


def test_difference_sums_over_samples() -> None:
    difference = Difference()
    difference.add(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
    difference.add(np.array([0.0, 10.0]), np.array([10.0, 0.0]))
    found = difference.fidelity("x")
    assert found.sqnr == pytest.approx(10 * math.log10((25 + 100) / (0.25 + 200)))
    assert found.max_error == 10.0
    first = (9 + 18) / (5 * math.hypot(3, 4.5))
    assert found.cosine == pytest.approx(first / 2)
    assert found.worst_cosine == pytest.approx(0.0)
    assert found.agreement is None


def test_difference_of_zeros_is_none() -> None:
    difference = Difference()
    difference.add(np.zeros(3), np.zeros(3))
    assert difference.fidelity("x").cosine == 1.0
    assert difference.fidelity("x").sqnr == math.inf


def test_a_nan_is_never_good() -> None:
    difference = Difference()
    difference.add(np.array([1.0, 2.0]), np.array([np.nan, 2.0]))
    found = difference.fidelity("x")
    assert found.max_error == math.inf
    assert not found.sqnr >= 10


def test_agreement_counts_positions() -> None:
    difference = Difference(axis=1)
    reference = np.zeros((1, 2, 1, 3))
    reference[0, 1, 0] = [1, -1, 1]
    found = np.zeros((1, 2, 1, 3))
    found[0, 1, 0] = [1, -1, -1]
    difference.add(reference, found)
    assert difference.fidelity("x").agreement == pytest.approx(2 / 3)


def test_accuracy_top_k_and_ties() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    assert accuracy(scores, np.array([1, 0, 2])).correct == 2  # the lower of equals wins
    assert accuracy(scores, np.array([2, 1, 2]), top_k=2).correct == 3
    assert accuracy(scores, np.array([0, 2, 0]), top_k=2).correct == 0
    assert accuracy(scores, np.array([0, 2, 0]), top_k=3).share == 1.0


@pytest.mark.parametrize(("labels", "top_k"), [([0, 3], 1), ([-1, 0], 1), ([0, 0], 4), ([0, 0], 0)])
def test_accuracy_refuses_what_makes_no_sense(labels: list[int], top_k: int) -> None:
    with pytest.raises(DataError):
        accuracy(np.zeros((2, 3)), np.array(labels), top_k)


class Linear:
    """An engine: out = matrix @ x."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"out": inputs["data"] @ self.matrix.T}


def test_score_against_float_and_labels() -> None:
    blobs = np.eye(3, dtype=np.float32)
    dataset = open_dataset(blobs, np.array([0, 1, 0]))
    feed = feed_for({"data": (1, 3)}, Preprocess())
    exact, swapped = Linear(np.eye(3)), Linear(np.eye(3)[[1, 0, 2]])
    result = score(swapped, exact, dataset, feed, class_axes={"out": 1}, output="out")
    assert result.images == 3
    assert result.accuracy is not None
    assert result.float_accuracy is not None
    assert (result.accuracy.correct, result.float_accuracy.correct) == (0, 2)
    assert result.outputs[0].agreement == pytest.approx(1 / 3)
    assert evaluate_accuracy(exact, dataset, feed, "out").correct == 2


def test_a_map_is_no_vector_of_scores() -> None:
    dataset = open_dataset(np.zeros((1, 2, 2, 3), np.float32), np.array([0]))
    feed = feed_for({"data": (1, 2, 2, 3)}, Preprocess())
    with pytest.raises(DataError, match="no vector of scores"):
        evaluate_accuracy(Linear(np.eye(3)), dataset, feed, "out")


def test_several_inputs_are_refused() -> None:
    with pytest.raises(DataError, match="2 inputs"):
        feed_for({"a": (1, 3), "b": (1, 3)}, Preprocess())
