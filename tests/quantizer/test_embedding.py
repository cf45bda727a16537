"""TAR at FAR against a loop over all pairs and thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.embedding import cosines, verify


def embeddings(people: int, each: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 16))
    found = np.repeat(centres, each, 0) + noise * rng.normal(size=(people * each, 16))
    return found.astype(np.float32), np.repeat(np.arange(people), each)


def brute_force(rows: np.ndarray, who: np.ndarray, far: float) -> tuple[float, float]:
    """TAR and FAR at the lowest threshold, of all the similarities, whose FAR is small enough."""
    same, other = [], []
    similarity = cosines(rows)
    for i in range(len(rows)):
        for j in range(i):
            (same if who[i] == who[j] else other).append(float(similarity[i, j]))
    best = (-1.0, -1.0)
    for threshold in [*same, *other]:
        accepted = sum(s > threshold for s in other) / len(other)
        if accepted <= far:
            best = max(best, (sum(s > threshold for s in same) / len(same), accepted))
    return best


def test_cosines_against_their_definition() -> None:
    rows = np.array([[3.0, 4.0], [4.0, -3.0], [-6.0, -8.0], [0.0, 0.0]])
    expected = [[1, 0, -1, 0], [0, 1, 0, 0], [-1, 0, 1, 0], [0, 0, 0, 0]]
    assert cosines(rows) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("noise", [0.3, 0.8, 1.5])
def test_tar_at_far_against_a_loop(noise: float) -> None:
    expected, who = embeddings(8, 4, noise, 1)
    found, _ = embeddings(8, 4, noise * 1.2, 1)
    result = verify("fc", found, expected, who)
    assert (result.genuine, result.impostor) == (8 * 6, 28 * 16)
    assert [point.far for point in result.points] == [1e-1, 1e-2]  # 448 pairs allow no less
    for point in result.points:
        assert point.tar == brute_force(found, who, point.far)[0]
        assert point.float_tar == brute_force(expected, who, point.far)[0]
        similarity = cosines(found)[np.triu_indices(len(who), 1)]
        same = (who[:, None] == who)[np.triu_indices(len(who), 1)]
        assert (similarity[~same] > np.float32(point.threshold)).mean() <= point.far
        over = similarity > np.float32(point.float_threshold)
        assert point.kept_tar == over[same].mean()
        assert point.kept_far == over[~same].mean()
        assert point.shift == point.threshold - point.float_threshold
    losses = [100 * (point.float_tar - point.tar) for point in result.points]
    assert result.lost == max(losses)


def test_equal_embeddings_lose_and_shift_nothing() -> None:
    rows, who = embeddings(10, 3, 0.5, 2)
    for point in verify("fc", rows, rows, who).points:
        assert (point.shift, point.tar - point.float_tar) == (0, 0)
        assert (point.kept_tar, point.threshold) == (point.tar, point.float_threshold)


def test_the_pairs_decide_how_small_a_far_can_be() -> None:
    rows, who = embeddings(143, 1, 0.5, 3)
    who[1] = who[0]  # 10,152 pairs of two
    fars = [point.far for point in verify("fc", rows, rows, who).points]
    assert fars == [1e-1, 1e-2, 1e-3, 1e-4]


@pytest.mark.parametrize("who", [[1, 1, 1], [1, 2, 3]])
def test_labels_without_both_kinds_of_pairs(who: list[int]) -> None:
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="no pairs of one identity and of two"):
        verify("fc", rows, rows, np.array(who))
