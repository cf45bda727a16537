"""How large a weight may be: the scale of each output channel.

A method is a function `(weight, limit) -> scale`: weight float64 (O, K), codes -limit .. limit,
scale float64 (O,), 0 for a channel of zeros. Channels are searched side by side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LEAST = 0.4  # of the largest magnitude; less is never best, not even for four bits
STEPS = 31
KL_BINS = 2048
KL_WEIGHTS = 512  # fewer tell nothing about a distribution
ROWS = 64  # channels at a time, for the memory's sake


def largest_magnitude(weight: np.ndarray, limit: int) -> np.ndarray:
    """No weight is clipped."""
    return np.asarray(np.abs(weight).max(axis=1, initial=0) / limit)


def least_error(weight: np.ndarray, limit: int) -> np.ndarray:
    """The least squared error of the codes, among STEPS shares of the largest magnitude."""
    scale = largest_magnitude(weight, limit)
    for rows in _chunks(weight):
        part, whole = weight[rows], scale[rows].copy()
        least = np.full(len(part), np.inf)
        for share in np.linspace(1.0, LEAST, STEPS):
            error = rounding_error(part, share * whole, limit)
            better = error < least
            least = np.where(better, error, least)
            scale[rows] = np.where(better, share * whole, scale[rows])
    return scale


def least_divergence(weight: np.ndarray, limit: int) -> np.ndarray:
    """The least Kullback-Leibler divergence of the magnitudes, as `thresholds.kl` has it: P is
    clipped into its last bin, Q merged to `limit` levels over P's occupied bins."""
    scale = largest_magnitude(weight, limit)
    if weight.shape[1] < KL_WEIGHTS:
        return scale
    for rows in _chunks(weight):
        counts = _histograms(weight[rows])
        scale[rows] *= _best_bins(counts, limit) / KL_BINS
    return scale


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "kl": least_divergence,
    "max": largest_magnitude,
    "mse": least_error,
}
DEFAULT_METHOD = "max"


def rounding_error(weight: np.ndarray, scale: np.ndarray, limit: int) -> np.ndarray:
    """Squared error of each channel's nearest codes; (O,)."""
    wide = np.where(scale > 0, scale, 1.0)[:, None]
    codes = weight / wide
    codes += 0.5
    np.floor(codes, out=codes)
    np.clip(codes, -limit, limit, out=codes)
    codes *= wide
    codes -= weight
    return np.asarray(np.einsum("ok,ok->o", codes, codes))


def _chunks(weight: np.ndarray) -> list[slice]:
    return [slice(first, first + ROWS) for first in range(0, len(weight), ROWS)]


def _histograms(weight: np.ndarray) -> np.ndarray:
    """Magnitudes over 0 .. each channel's largest in KL_BINS bins, exact zeros left out."""
    size = np.abs(weight)
    most = size.max(axis=1, keepdims=True)
    share = np.divide(size, most, out=np.zeros_like(size), where=most > 0)
    bins = np.minimum((share * KL_BINS).astype(np.int64), KL_BINS - 1)
    bins += KL_BINS * np.arange(len(weight))[:, None]
    counts = np.bincount(bins[size > 0], minlength=KL_BINS * len(weight))
    return counts.reshape(len(weight), KL_BINS).astype(np.float64)


def _best_bins(counts: np.ndarray, levels: int) -> np.ndarray:
    """How many bins each channel keeps; all of them where nothing is better."""
    rows = np.arange(len(counts))
    zero = np.zeros((len(counts), 1))
    running = np.hstack([zero, np.cumsum(counts, 1)])
    occupied = np.hstack([zero, np.cumsum(counts > 0, 1)])
    entropy = np.hstack([zero, np.cumsum(_xlogx(counts), 1)])
    total = np.maximum(running[:, -1], 1.0)
    least, best = np.full(len(counts), np.inf), np.full(len(counts), KL_BINS)
    for kept in range(KL_BINS, levels - 1, -(KL_BINS // 128)):
        bounds = kept * np.arange(levels + 1) // levels
        mass = np.diff(running[:, bounds], axis=1)
        cells = np.maximum(np.diff(occupied[:, bounds], axis=1), 1.0)
        log_q = np.log(np.where(mass > 0, mass, 1.0) / cells)
        last, clipped = counts[:, kept - 1], total - running[:, kept]
        p_log_p = entropy[:, kept] - _xlogx(last) + _xlogx(last + clipped)
        p_log_q = (mass * log_q).sum(1) + clipped * log_q[rows, -1]
        inside = np.maximum(running[:, kept], 1.0)
        divergence = (p_log_p - p_log_q) / total - np.log(total / inside)
        better = (last > 0) & (divergence < least)
        least, best = np.where(better, divergence, least), np.where(better, kept, best)
    return best


def _xlogx(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)))
