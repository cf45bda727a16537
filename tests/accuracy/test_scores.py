"""Scores of cases that are counted by hand."""

import numpy as np
import pytest
from support.embeddings import rank_1, verification

from accuracy.scores import boxes, classes, mask, shifts, sqnr


def answers(*rows: list[float]) -> list[dict[str, np.ndarray]]:
    return [{"y": np.float32([row])} for row in rows]


FLOAT = answers([1, 3], [4, 2], [5, 0], [2, 6])
FOUND = answers([1, 3], [4, 4.5], [5, 0], [2, 6])  # the second changes sides


def test_classes() -> None:
    score = classes("y", np.array([1, 1, 0, 0]))
    assert score(FLOAT, FLOAT) == {"right, %": "50.00"}
    assert score(FOUND, FLOAT) == {"right, %": "75.00", "same class as float, %": "75.00"}


def test_sqnr_and_shifts() -> None:
    signal = sum(float((a["y"] ** 2).sum()) for a in FLOAT)
    assert sqnr(FOUND, FLOAT, ["y"]) == pytest.approx(10 * np.log10(signal / 2.5**2))
    assert shifts("y")(FOUND, FLOAT) == {"shift, mean": "0.3125", "shift, most": "2.5000"}
    assert mask("y", 4.0)(FOUND, FLOAT) == {"same side as float, % of pixels": "87.500"}


def test_faces() -> None:
    """Two people, two faces each, at these angles; the third face lies nearer to the other."""
    angles = np.radians([0, 10, 24, 60])
    vectors, people = np.stack([np.cos(angles), np.sin(angles)], 1), np.array([0, 0, 1, 1])
    assert rank_1(vectors, people) == 75
    # Pairs of one person: 10 and 36 degrees; of two: 24, 60, 14, 50. Below 12: half and all.
    assert verification(vectors, people) == pytest.approx(75)


def test_boxes() -> None:
    expected = np.array([[1, 0.9, 0, 0, 1, 1], [1, 0.8, 2, 2, 3, 3], [1, 0.4, 5, 5, 6, 6]])
    found = np.array([[1, 0.9, 0, 0, 1, 0.95], [1, 0.7, 8, 8, 9, 9], [1, 0.5, 7, 7, 8, 8]])
    score = boxes(lambda answer: answer["y"])
    mine, floats = [{"y": found}], [{"y": expected}]
    assert score(floats, floats) == {"boxes above 0.5": "2"}
    assert score(mine, floats) == {
        "boxes found with IoU ≥ 0.9": "1 of 2",
        "IoU, least": "0.000",
        "IoU, mean": "0.475",
        "boxes above 0.6 that float has not": "1",
    }
