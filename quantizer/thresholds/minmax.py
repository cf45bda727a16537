"""The true minimum and maximum."""

from __future__ import annotations

from demitasse.quantizer.statistics import TensorStatistics


def minmax(stat: TensorStatistics, *, symmetric: bool, levels: int = 256) -> tuple[float, float]:
    """Cover every finite value, whatever the number of levels."""
    low, high = min(stat.min, 0.0), max(stat.max, 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    return low, high
