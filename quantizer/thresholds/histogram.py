"""A tensor's histogram as the methods want it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demitasse.quantizer.statistics import INF, SIGN, TensorStatistics


class Bins(NamedTuple):
    """Bins of finite values other than zero, ascending: counts of values in left..right.

    The outermost edges are the true minimum and maximum, so that a spike at the end (ReLU6, a
    constant) is where it is.
    """

    left: np.ndarray
    right: np.ndarray
    counts: np.ndarray


def finite_bins(stat: TensorStatistics) -> Bins:
    """The occupied bins, float64 edges and counts. Empty where all is zero."""
    positive = np.flatnonzero(stat.counts[1:INF]) + 1
    negative = np.flatnonzero(stat.counts[SIGN | 1 : SIGN | INF])[::-1] + (SIGN | 1)
    near, far = _edges(positive), _edges(negative)
    left = np.concatenate([far[1], near[0]])
    right = np.concatenate([far[0], near[1]])
    counts = stat.counts[np.concatenate([negative, positive])].astype(np.float64)
    return Bins(np.clip(left, stat.min, stat.max), np.clip(right, stat.min, stat.max), counts)


def _edges(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest magnitude of each bin, with its sign."""
    start = (bins.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    # One more in the last place but 16: the next bin's start. Past the largest it is infinity.
    end = ((bins.astype(np.uint32) + 1) << 16).view(np.float32).astype(np.float64)
    return start, end


def magnitudes(bins: Bins) -> Bins:
    """The same for absolute values, ascending by the left edge; bins may coincide."""
    negative = bins.left < 0
    left = np.where(negative, -bins.right, bins.left)
    right = np.where(negative, -bins.left, bins.right)
    order = np.argsort(left, kind="stable")
    return Bins(left[order], right[order], bins.counts[order])


def is_one_sided(stat: TensorStatistics) -> bool:
    """True where all values have one sign."""
    return stat.min >= 0.0 or stat.max <= 0.0
