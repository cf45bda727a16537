"""The clipping that is optimal for a Gaussian or a Laplace distribution.

Banner, Nahshan, Soudry, "Post training 4-bit quantization of convolutional networks for
rapid-deployment" (2019): the expected squared error of clipping at alpha plus that of rounding,
step^2 / 12, is least at a multiple of the distribution's width. The width comes from the moments of
the values themselves, never from the maximum, and the distribution is the one whose ratio of
root mean square to mean magnitude is nearer. Exact zeros (a ReLU's spike) cost nothing and are left
out.
"""

from __future__ import annotations

from math import erfc, exp, pi, sqrt

from scipy.optimize import brentq

from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds.histogram import finite_bins, is_one_sided, magnitudes
from demitasse.quantizer.thresholds.minmax import minmax

GAUSS_RATIO = sqrt(pi / 2)  # root mean square / mean magnitude
LAPLACE_RATIO = sqrt(2.0)


def aciq(stat: TensorStatistics, *, symmetric: bool, levels: int = 256) -> tuple[float, float]:
    """One threshold on the magnitude, for both signs."""
    low, high = minmax(stat, symmetric=symmetric)
    if low == high:
        return low, high
    bins = magnitudes(finite_bins(stat))
    middle, count = (bins.left + bins.right) / 2, bins.counts.sum()
    mean = float((middle * bins.counts).sum() / count)
    largest = float(bins.right.max())
    square = float(((middle / largest) ** 2 * bins.counts).sum() / count)
    root = largest * sqrt(square)
    steps = levels - 1 if is_one_sided(stat) and not symmetric else (levels - 1) / 2
    if root / mean < (GAUSS_RATIO + LAPLACE_RATIO) / 2:
        threshold = root * gauss_factor(steps)
    else:
        threshold = mean * laplace_factor(steps)
    return max(low, -threshold), min(high, threshold)


def laplace_factor(steps: float) -> float:
    """alpha / b of the least error, with so many steps from 0 to alpha.

    The tail beyond alpha costs b^2 exp(-alpha / b) on each side, the step (alpha / steps)^2 / 12.
    """
    return float(brentq(lambda a: a / (6 * steps**2) - 2 * exp(-a), 1e-3, 100.0))


def gauss_factor(steps: float) -> float:
    """alpha / sigma of the least error, with so many steps from 0 to alpha."""

    def slope(a: float) -> float:
        tail = a * erfc(a / sqrt(2)) - sqrt(2 / pi) * exp(-a * a / 2)  # half d(tail error) / da
        return a / (6 * steps**2) + 2 * tail

    return float(brentq(slope, 1e-3, 50.0))
