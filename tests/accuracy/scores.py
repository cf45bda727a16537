"""What counts on a task. A score is a function of an engine's answers and of float's, by picture.

It gives figures by what they are called, ready to print. Figures that compare with float are left
out where the engine is float itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from support.detection import EXTRA, SURE, Rows, nearest
from support.embeddings import cosines, rank_1, verification

from demitasse.quantizer.scoring import Difference

Answers = list[Mapping[str, np.ndarray]]  # one for each judging picture
Figures = dict[str, str]
Score = Callable[[Answers, Answers], Figures]


def sqnr(found: Answers, floats: Answers, blobs: Sequence[str]) -> float:
    """dB over all pictures, of the blob where it is least."""
    return min(_difference(found, floats, name).fidelity(name).sqnr for name in blobs)


def _difference(found: Answers, floats: Answers, name: str) -> Difference:
    difference = Difference()
    for mine, expected in zip(found, floats, strict=True):
        difference.add(expected[name], mine[name])
    return difference


def nothing(found: Answers, floats: Answers) -> Figures:
    """There is no task, or no truth to it."""
    return {}


def classes(blob: str, labels: np.ndarray | None = None, axis: int = 1) -> Score:
    """Share of right labels, where these are known, and of float's decisions that are kept."""

    def score(found: Answers, floats: Answers) -> Figures:
        best, expected = (
            np.stack([answer[blob].argmax(axis) for answer in each]) for each in (found, floats)
        )
        figures = {}
        if labels is not None:
            right = np.count_nonzero(best.ravel() == labels)
            figures["right, %"] = f"{100 * right / len(labels):.2f}"
        if found is not floats:
            figures["same class as float, %"] = f"{100 * float((best == expected).mean()):.2f}"
        return figures

    return score


def embeddings(blob: str, people: np.ndarray) -> Score:
    """Who is who, and how far the embeddings turn."""

    def score(found: Answers, floats: Answers) -> Figures:
        mine, expected = (np.concatenate([a[blob] for a in each]) for each in (found, floats))
        figures = {
            "verification, %": f"{verification(mine, people):.2f}",
            "rank-1, %": f"{rank_1(mine, people):.2f}",
        }
        if found is not floats:
            near = cosines(mine, expected)
            figures["cosine to float, mean"] = f"{near.mean():.6f}"
            figures["cosine to float, least"] = f"{near.min():.6f}"
        return figures

    return score


def boxes(rows: Callable[[Mapping[str, np.ndarray]], Rows]) -> Score:
    """Boxes of float above SURE found again, and boxes above EXTRA that float has not."""

    def score(found: Answers, floats: Answers) -> Figures:
        if found is floats:
            sure = sum(int((rows(a)[:, 1] > SURE).sum()) for a in floats)
            return {f"boxes above {SURE}": str(sure)}
        near, extra = [], 0
        for mine, expected in zip(map(rows, found), map(rows, floats), strict=True):
            near += nearest(expected, mine, SURE)
            extra += sum(overlap < 0.5 for overlap in nearest(mine, expected, EXTRA))
        again = sum(overlap >= 0.9 for overlap in near)
        return {
            "boxes found with IoU ≥ 0.9": f"{again} of {len(near)}",
            "IoU, least": f"{min(near):.3f}",
            "IoU, mean": f"{np.mean(near):.3f}",
            f"boxes above {EXTRA} that float has not": str(extra),
        }

    return score


def shifts(blob: str) -> Score:
    """How far an output with a value for each of something moves, in its own units."""

    def score(found: Answers, floats: Answers) -> Figures:
        if found is floats:
            return {}
        moved = [abs(a[blob] - b[blob]) for a, b in zip(found, floats, strict=True)]
        return {"shift, mean": f"{np.mean(moved):.4f}", "shift, most": f"{np.max(moved):.4f}"}

    return score


def mask(blob: str, threshold: float) -> Score:
    """Share of the pixels that stay on their side of the threshold."""

    def score(found: Answers, floats: Answers) -> Figures:
        if found is floats:
            return {}
        same = [
            ((a[blob] > threshold) == (b[blob] > threshold)).mean()
            for a, b in zip(found, floats, strict=True)
        ]
        return {"same side as float, % of pixels": f"{100 * float(np.mean(same)):.3f}"}

    return score
