"""The range of the least Kullback-Leibler divergence, as TensorRT and ncnn define it, repaired.

A histogram of magnitudes is clipped at each candidate i; P has the clipped values in its last bin,
Q is P without them, merged to the quantizer's levels and spread back over the occupied bins. The
candidate of the least KL(P || Q) wins.

Repairs: exact zeros are left out, since their spike decides everything and costs nothing, and the
first bin counts for no more than the second, as TensorRT has it; negative values count by
magnitude; the full range is a candidate; a candidate whose last bin is empty is none (Q would be 0
where P is not); a handful of far outliers do not take the bins' resolution; fewer values than bins
tell nothing about a distribution, so that the maximum is used.
KL does not see how far clipped values lay: prefer `mse` where the range matters.
"""

from __future__ import annotations

import numpy as np

from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds.histogram import Bins, finite_bins, is_one_sided, magnitudes
from demitasse.quantizer.thresholds.minmax import minmax

BINS = 2048
OUTLIERS = 1e-4  # the share of values that may lie beyond the bins,
REACH = 4.0  # which extend so far past the others' largest magnitude


def kl(stat: TensorStatistics, *, symmetric: bool, levels: int = 256) -> tuple[float, float]:
    """One threshold on the magnitude, for both signs."""
    low, high = minmax(stat, symmetric=symmetric)
    if low == high:
        return low, high
    one_sided = is_one_sided(stat) and not symmetric
    threshold = _threshold(magnitudes(finite_bins(stat)), levels if one_sided else levels // 2)
    return max(low, -threshold), min(high, threshold)


def _threshold(bins: Bins, levels: int) -> float:
    largest = float(bins.right.max())
    if bins.counts.sum() < BINS:
        return largest
    reach = _reach(bins, largest)
    counts, beyond = _uniform(bins, reach)
    candidates = np.arange(levels, BINS + 1)
    candidates = candidates[counts[candidates - 1] > 0]
    if not len(candidates):
        return largest
    best = int(candidates[np.argmin(_divergence(counts, beyond, candidates, levels))])
    return largest if best == BINS and not beyond else min(largest, best * reach / BINS)


def _reach(bins: Bins, largest: float) -> float:
    """Where the uniform bins end: the largest magnitude, unless few values lie far out."""
    order = np.argsort(bins.right, kind="stable")
    share = np.cumsum(bins.counts[order]) / bins.counts.sum()
    most = bins.right[order][np.searchsorted(share, 1.0 - OUTLIERS)]
    return min(largest, REACH * float(most))


def _uniform(bins: Bins, reach: float) -> tuple[np.ndarray, float]:
    """Counts in BINS equal bins over 0..reach, values lying evenly in their own; the rest."""
    edges = np.linspace(0.0, reach, BINS + 1)
    total = bins.counts.sum()
    below = np.zeros(BINS + 1)
    for part in _disjoint(bins):
        rising = np.concatenate([[0.0], np.cumsum(part.counts)])
        points = np.stack([part.left, part.right], 1).reshape(-1)
        heights = np.stack([rising[:-1], rising[1:]], 1).reshape(-1)
        # Points (a spike has left == right) belong to the bin below their edge.
        below += np.interp(edges, points, heights, left=0.0)
    below[-1] = min(below[-1], total)
    counts = np.diff(below)
    counts[counts < 1e-9 * total] = 0.0
    counts[0] = min(counts[0], counts[1])
    return counts, max(total - below[-1], 0.0)


def _disjoint(bins: Bins) -> list[Bins]:
    """Split magnitudes that came from both signs into lists without overlaps."""
    first = np.append(True, bins.left[1:] >= bins.right[:-1])
    if first.all():
        return [bins]
    return [Bins(*(a[k] for a in bins)) for k in (first, ~first)]


def _divergence(
    counts: np.ndarray, beyond: float, candidates: np.ndarray, levels: int
) -> np.ndarray:
    """KL(P || Q) for every candidate at once, by running sums.

    With P = counts below i (the last one plus the clipped), Q = group mean over occupied bins:
    KL = sum(P log P - P log Q) / total - log(total / kept).
    """
    total = counts.sum() + beyond
    running = np.concatenate([[0.0], np.cumsum(counts)])
    occupied = np.concatenate([[0], np.cumsum(counts > 0)])
    entropy = np.concatenate([[0.0], np.cumsum(_xlogx(counts))])
    bounds = candidates[:, None] * np.arange(levels + 1) // levels
    mass = np.diff(running[bounds], axis=1)
    log_q = np.log(np.where(mass > 0, mass, 1.0) / np.maximum(np.diff(occupied[bounds], axis=1), 1))
    last, kept = counts[candidates - 1], running[candidates]
    clipped = total - kept
    p_log_p = entropy[candidates] - _xlogx(last) + _xlogx(last + clipped)
    p_log_q = (mass * log_q).sum(1) + clipped * log_q[:, -1]
    return (p_log_p - p_log_q) / total - np.log(total / kept)


def _xlogx(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, x, 1.0))
