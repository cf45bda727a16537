"""The range of the least mean squared error.

Candidates are the quantizers themselves: a step, and how many codes stand below zero and above it,
so both ends are clipped independently. A candidate's error is exact for values that lie evenly
inside each bin of the histogram.

What calibrated is a sample: as many values again have about one beyond the largest seen, and what
saturates does not come alone, nor do its errors cancel where they are summed. So a few values more
count beyond each end, spread as an exponential tail has them whose mean is that of the largest
values seen. In a tensor of few values, a network's last ones above all, this makes the range wider
than what was seen; among millions they weigh nothing.
"""

from __future__ import annotations

import numpy as np

from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds.histogram import Bins, finite_bins
from demitasse.quantizer.thresholds.minmax import minmax

Split = tuple[int, int]  # codes below zero, codes above zero

OCTAVES = 12  # the search goes down to 1/4096 of the full range
COARSE = 8  # bins taken together for the first look
SPACINGS = (4, 1, 1)  # of the splits tried in each refinement
WORTHWHILE = 0.98  # clipping must gain so much: evenly spread values (pixels) keep their range
UNSEEN = 0.8  # values beyond each end, on average
LARGEST = float(np.finfo(np.float32).max)
TAIL = -np.log(1 - (np.arange(16) + 0.5) / 16)  # quantiles of the exponential distribution


def mse(stat: TensorStatistics, *, symmetric: bool, levels: int = 256) -> tuple[float, float]:
    """Least squared error over all finite values; ends that are codes of the final quantizer."""
    low, high = minmax(stat, symmetric=symmetric)
    if low == high:
        return low, high
    steps, bins = levels - 1, _with_unseen(finite_bins(stat))
    lowest, highest = min(bins.left[0], 0.0), max(bins.right[-1], 0.0)
    if symmetric:
        splits, full = [(steps // 2, steps // 2)], max(-lowest, highest) / (steps // 2)
        seen = high / (steps // 2)
    else:
        full, seen = (highest - lowest) / steps, (high - low) / steps
        natural = round(-lowest / full)
        two_sided = low < 0.0 < high
        below = {*range(0, steps, steps // 15), natural} if two_sided else {natural}
        splits = [(b, steps - b) for b in sorted(below)]
    bins = _without_dust(bins, full * 2.0 ** -(OCTAVES + 1))
    split, step = _search(bins, splits, full)
    everything = (round(-low / seen), round(high / seen))
    best, unclipped = (
        squared_error(bins, s, np.array([x]))[0] for s, x in ((split, step), (everything, seen))
    )
    if best > WORTHWHILE * unclipped:
        return low, high
    return -split[0] * step, split[1] * step


def _with_unseen(bins: Bins) -> Bins:
    """The bins, and beyond each end away from zero the values that were not seen."""
    above = bins.right[-1] + _tail(bins.left, bins.right, bins.counts) * TAIL
    below = bins.left[0] - _tail(-bins.right[::-1], -bins.left[::-1], bins.counts[::-1]) * TAIL
    share = UNSEEN / len(TAIL)
    above, below = np.minimum(above, LARGEST), np.maximum(below, -LARGEST)
    above, below = above[above > bins.right[-1]], below[below < bins.left[0]][::-1]
    return Bins(
        np.concatenate([below, bins.left, above]),
        np.concatenate([below, bins.right, above]),
        np.concatenate([np.full(len(below), share), bins.counts, np.full(len(above), share)]),
    )


def _tail(left: np.ndarray, right: np.ndarray, counts: np.ndarray) -> float:
    """How far the largest values lie above the least of them, on average; 0 where none is positive.

    They are as many as the square root of all.
    """
    if right[-1] <= 0:
        return 0.0
    above = np.cumsum(counts[::-1])[::-1]
    first = max(int(np.count_nonzero(above >= np.sqrt(above[0]))) - 1, int(np.argmax(left >= 0)))
    excess = (left[first:] + right[first:]) / 2 - left[first]
    return float(excess @ counts[first:] / above[first])


def _search(bins: Bins, splits: list[Split], full: float) -> tuple[Split, float]:
    """Best split and step: a logarithmic grid on a coarse histogram, then ever closer."""
    per_octave = 6 if len(splits) == 1 else 3
    steps = full * 2.0 ** (-np.arange(OCTAVES * per_octave) / per_octave)
    split, step = _best(_coarser(bins), splits, steps)
    ratio = 2.0 ** (1 / per_octave)
    for spacing in SPACINGS:
        if len(splits) > 1:
            codes = sum(split)
            around = np.clip(split[0] + spacing * np.arange(-4, 5), 0, codes)
            near = [(int(b), codes - int(b)) for b in np.unique(around)]
        else:
            near = splits
        split, step = _best(bins, near, np.minimum(step * ratio ** np.linspace(-1, 1, 11), full))
        ratio **= 0.25
    return split, step


def _best(bins: Bins, splits: list[Split], steps: np.ndarray) -> tuple[Split, float]:
    errors = np.array([squared_error(bins, split, steps) for split in splits])
    row, column = np.unravel_index(np.argmin(errors), errors.shape)
    return splits[row], float(steps[column])


def squared_error(bins: Bins, split: Split, steps: np.ndarray) -> np.ndarray:
    """Sum of squared errors (K,) when the values are rounded to multiples of each of K steps.

    In units of the step, the integral of (x - n)^2, n the clamped nearest integer, up to x is
    n / 12 + (x - n)^3 / 3: every whole cell in between adds 1/12.
    """
    scaled = 1.0 / steps[:, None]
    left, right = bins.left * scaled, bins.right * scaled
    width = right - left
    integral = _integral(right, split) - _integral(left, split)
    middle = (left + right) / 2
    at_middle = (middle - np.clip(np.rint(middle), -split[0], split[1])) ** 2
    # A narrow bin counts as a point: the difference of integrals would be lost in rounding.
    narrow = width < 1e-3
    error = np.where(narrow, at_middle, integral / np.where(narrow, 1.0, width))
    return (error @ bins.counts) * steps**2


def _integral(x: np.ndarray, split: Split) -> np.ndarray:
    nearest = np.clip(np.rint(x), -split[0], split[1])
    rest = x - nearest
    return nearest / 12 + rest * rest * rest / 3


def _without_dust(bins: Bins, limit: float) -> Bins:
    """Leave out what every candidate rounds to zero."""
    keep = np.maximum(np.abs(bins.left), np.abs(bins.right)) >= limit
    return Bins(bins.left[keep], bins.right[keep], bins.counts[keep])


def _coarser(bins: Bins) -> Bins:
    """Take neighbouring bins together, but never across a gap or across zero."""
    first = np.arange(len(bins.left)) % COARSE == 0
    first[1:] |= bins.left[1:] > bins.right[:-1]
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(bins.left)) - 1
    return Bins(bins.left[starts], bins.right[ends], np.add.reduceat(bins.counts, starts))
