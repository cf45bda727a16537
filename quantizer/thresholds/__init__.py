"""From statistics to the range that an integer tensor should cover.

A method is a function `(stat, *, symmetric, levels=256) -> (low, high)` in a file of its own and a
row of `METHODS`. low <= 0 <= high always; both finite, and both 0 where there is nothing to cover.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from demitasse.errors import DataError
from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds.aciq import aciq
from demitasse.quantizer.thresholds.histogram import finite_bins
from demitasse.quantizer.thresholds.kl import kl
from demitasse.quantizer.thresholds.minmax import minmax
from demitasse.quantizer.thresholds.mse import mse
from demitasse.quantizer.thresholds.percentile import percentile

Method = Callable[..., tuple[float, float]]

METHODS: dict[str, Method] = {
    "aciq": aciq,
    "kl": kl,
    "minmax": minmax,
    "mse": mse,
    "percentile": percentile,
}
DEFAULT_METHOD = "mse"
AUTO = "auto"  # the best for each tensor, which takes images to tell: quantizer/auto.py


class Range(NamedTuple):
    """What the integers should cover, and what was unusual."""

    low: float
    high: float
    warnings: tuple[str, ...]


def find_range(stat: TensorStatistics, method: str, symmetric: bool, levels: int = 256) -> Range:
    """Apply a method by name; never fails on odd data, but says what is odd about it."""
    if method not in METHODS:
        raise DataError(f"unknown method '{method}'", remedy=f"use one of {', '.join(METHODS)}")
    low, high = METHODS[method](stat, symmetric=symmetric, levels=levels)
    return Range(low, high, tuple(_oddities(stat, low, high, levels)))


def _oddities(stat: TensorStatistics, low: float, high: float, levels: int) -> list[str]:
    found = []
    if stat.not_finite:
        found.append(
            f"{stat.not_finite} of {stat.total} values are NaN or infinite and were left out"
        )
    if stat.total == stat.not_finite:
        return [*found, "no values; scale 1 is used"]
    if stat.min == stat.max == 0.0:
        return [*found, "all values are zero; scale 1 is used"]
    if stat.min == stat.max:
        return [*found, f"all values are {stat.min:g}"]
    bins = finite_bins(stat)
    small = np.maximum(np.abs(bins.left), np.abs(bins.right)) < (high - low) / (2 * (levels - 1))
    lost, count = int(bins.counts[small].sum()), int(bins.counts.sum())
    if lost > 0.99 * count:
        found.append(
            f"{100 * lost / count:.1f}% of the values other than zero are less than half a step; "
            "are there outliers?"
        )
    return found
