"""The range that all but a ten-thousandth of the values lie in."""

from __future__ import annotations

import numpy as np

from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds.histogram import finite_bins
from demitasse.quantizer.thresholds.minmax import minmax

SHARE = 0.9999  # of the finite values, zeros included


def percentile(
    stat: TensorStatistics, *, symmetric: bool, levels: int = 256
) -> tuple[float, float]:
    """Half of what is left out may lie beyond each end; the values of a bin lie evenly in it.

    As calibrators commonly have it (PPQ, onnxruntime), whatever the number of levels. With
    `symmetric` both ends are the larger of the two.
    """
    low, high = minmax(stat, symmetric=False)
    if low == high:
        return low, high
    bins = finite_bins(stat)
    allowed = (1.0 - SHARE) / 2 * (stat.total - stat.not_finite)
    high = min(high, _beyond(bins.left, bins.right, bins.counts, allowed))
    low = max(low, -_beyond(-bins.right[::-1], -bins.left[::-1], bins.counts[::-1], allowed))
    if symmetric:
        high = max(-low, high)
        low = -high
    return low, high


def _beyond(left: np.ndarray, right: np.ndarray, counts: np.ndarray, allowed: float) -> float:
    """The value that `allowed` of the values exceed, but at least 0."""
    above = np.cumsum(counts[::-1])[::-1]  # values in this bin or above it
    index = int(np.flatnonzero(above > allowed).max(initial=-1))
    if index < 0:
        return 0.0
    rest = allowed - (above[index] - counts[index])
    return max(0.0, float(right[index] - (right[index] - left[index]) * rest / counts[index]))
