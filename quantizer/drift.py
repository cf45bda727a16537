"""Whether more images would move the ranges: those of two halves of the images, side by side.

A sample's half follows from its id alone, so halves are the same however the work was divided. The
two halves' thresholds differ about twice as much as that of all images is uncertain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.quantizer.scheme import INT16_HEADROOM
from demitasse.quantizer.statistics import Statistics, TensorStatistics
from demitasse.quantizer.thresholds import DEFAULT_METHOD, METHODS, find_range

# A ratio that matters: of INT8 it costs up to 2 dB; INT16 has so much room to spare.
LIMITS = {"int8": 1.25, "int16": INT16_HEADROOM}
NAMED = 3  # worst tensors
FEWEST = 2  # samples in a half


@dataclass(frozen=True, slots=True)
class TensorDrift:
    """A tensor's threshold, the larger end of its range, by each half of the images.

    ratio: of the larger to the smaller; inf where only one half has values other than zero.
    """

    tensor: str
    first: float
    second: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Drift:
    """All tensors whose range the images decide, the worst first.

    images: in each half. moved: how many tensors differ by a ratio above the limit; where any does,
    more images would help.
    """

    tensors: tuple[TensorDrift, ...]
    images: tuple[int, int]
    limit: float
    moved: int

    @property
    def worst(self) -> tuple[TensorDrift, ...]:
        return self.tensors[:NAMED]


def half_of(sample: int) -> int:
    """0 or 1, by a hash of the sample's id."""
    return hashlib.blake2b(str(sample).encode(), digest_size=1).digest()[0] & 1


def find_drift(
    halves: Sequence[Statistics],
    precision: str = "int8",
    method: str = DEFAULT_METHOD,
    symmetric: bool = False,
    fixed: Collection[str] = (),
) -> Drift | None:
    """Compare the halves' thresholds; None where there are too few samples.

    halves: `Statistics.halves`. method: as of a table; one that is no function of statistics counts
    as the default. fixed: tensors whose range is given.
    """
    if len(halves) != 2 or min(half.count for half in halves) < FEWEST:
        return None
    first, second = halves
    if precision == "int16":
        method, symmetric = "minmax", True
    method = method if method in METHODS else DEFAULT_METHOD
    decided = first.tensors.keys() - {*fixed, *first.context.get("ranges", {})}
    found = []
    for name in sorted(decided):
        a, b = (_threshold(half.tensors[name], method, symmetric) for half in (first, second))
        found.append(TensorDrift(name, a, b, _ratio(a, b)))
    found.sort(key=lambda each: (-each.ratio, each.tensor))
    limit = LIMITS[precision]
    moved = sum(each.ratio > limit for each in found)
    return Drift(tuple(found), (first.count, second.count), limit, moved)


def _threshold(stat: TensorStatistics, method: str, symmetric: bool) -> float:
    found = find_range(stat, method, symmetric)
    return float(np.float32(max(-found.low, found.high)))


def _ratio(first: float, second: float) -> float:
    low, high = sorted((first, second))
    if high == 0:
        return 1.0
    return high / low if low > 0 else float("inf")
