"""How well detections agree: rows (image, label, score, left, top, right, bottom)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENT = 0.5  # boxes with a higher score count
MATCH = 0.5  # boxes of one label that overlap by as much are one


@dataclass(frozen=True, slots=True)
class BoxFidelity:
    """How many of the reference's confident boxes are found again, over all samples.

    boxes: the reference's. found: those with a box of the same label in nearly the same place,
    whatever its score. extra: confident boxes where the reference has none at all.
    overlap, worst_overlap: intersection over union of those found, mean and least; 1 without any.
    """

    name: str
    boxes: int
    found: int
    extra: int
    overlap: float
    worst_overlap: float

    @property
    def share(self) -> float:
        return self.found / self.boxes if self.boxes else 1.0


class BoxDifference:
    """Sums up, sample by sample, which boxes (1, 1, n, 7) are found again."""

    def __init__(self) -> None:
        self.overlaps: list[float] = []
        self.extra = 0

    def add(self, reference: np.ndarray, found: np.ndarray) -> None:
        """Count one sample in."""
        expected, rows = (np.asarray(a, np.float64).reshape(-1, 7) for a in (reference, found))
        self.overlaps += matches(expected, rows)
        self.extra += sum(overlap < MATCH for overlap in matches(rows, expected))

    def fidelity(self, name: str) -> BoxFidelity:
        """The figures so far."""
        found = [overlap for overlap in self.overlaps if overlap >= MATCH] or [1.0]
        count = sum(overlap >= MATCH for overlap in self.overlaps)
        mean, least = float(np.mean(found)), float(min(found))
        return BoxFidelity(name, len(self.overlaps), count, self.extra, mean, least)


def matches(rows: np.ndarray, others: np.ndarray) -> list[float]:
    """For each confident row the overlap with the best other row of its label that no better
    row has taken."""
    found = []
    free = np.ones(len(others), bool)
    for row in sorted(rows[rows[:, 2] > CONFIDENT], key=lambda row: -row[2]):
        alike = free & (others[:, 0] == row[0]) & (others[:, 1] == row[1])
        overlap = np.where(alike, overlaps(row[3:], others[:, 3:]), 0)
        best = int(overlap.argmax()) if len(overlap) else -1
        found.append(float(overlap[best]) if best >= 0 else 0.0)
        if found[-1] >= MATCH:
            free[best] = False
    return found


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4)."""
    near, far = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(far - near, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - common
    return np.asarray(common / np.where(union > 0, union, 1))
