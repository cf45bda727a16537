"""Agreement of detections, against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from demitasse.quantizer.boxes import BoxDifference, matches, overlaps

NOTHING = (0, -1, -1, -1, -1, -1, -1)


def blob(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(1, 1, -1, 7)


def box(label: int, score: float, left: float, width: float = 0.2) -> tuple[float, ...]:
    return (0, label, score, left, 0.0, left + width, 1.0)


def test_overlap_of_shifted_boxes() -> None:
    others = np.array([[0.0, 0, 2, 1], [1, 0, 3, 1], [2, 0, 4, 1], [0, 0, 2, 0.5]])
    assert overlaps(others[0], others) == pytest.approx([1, 1 / 3, 0, 0.5])


def test_found_lost_and_more() -> None:
    difference = BoxDifference()
    reference = blob(box(1, 0.9, 0.0), box(1, 0.8, 0.5), box(2, 0.7, 0.7), box(1, 0.4, 0.3))
    # the second moved by a tenth of its width, the third has another label, the fourth grew sure
    found = blob(box(1, 0.9, 0.0), box(1, 0.3, 0.52), box(1, 0.7, 0.7), box(1, 0.6, 0.3))
    difference.add(reference, found)
    got = difference.fidelity("x")
    assert (got.boxes, got.found, got.extra) == (3, 2, 1)
    assert got.share == pytest.approx(2 / 3)
    assert got.overlap == pytest.approx((1 + 0.18 / 0.22) / 2)
    assert got.worst_overlap == pytest.approx(0.18 / 0.22)


def test_a_box_is_found_once() -> None:
    twice = blob(box(1, 0.9, 0.0), box(1, 0.8, 0.01))
    once = blob(box(1, 0.9, 0.0))
    difference = BoxDifference()
    difference.add(twice, once)
    assert (difference.fidelity("x").boxes, difference.fidelity("x").found) == (2, 1)


def test_nothing_is_found_where_nothing_is() -> None:
    difference = BoxDifference()
    difference.add(blob(NOTHING), blob(NOTHING))
    got = difference.fidelity("x")
    assert (got.boxes, got.found, got.extra, got.share) == (0, 0, 0, 1.0)
    assert matches(blob(box(1, 0.9, 0.0))[0, 0], np.empty((0, 7))) == [0.0]
