"""What the tests of element-wise operators draw their cases from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from tests.runtime.operators import RANGE, Tensor

F = np.float32

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=6).filter(lambda s: np.prod(s) < 400)
seeds = st.integers(0, 2**32 - 1)
fills = st.sampled_from(["random", "random", "low", "high", "extremes"])
gaps = st.sampled_from([0, 0, 3])
all_factors = st.sampled_from(["sane", "exact", "odd"])


def examples(count: int = 40) -> Callable:
    return settings(max_examples=count, deadline=None, derandomize=True)


def order(rng: np.random.Generator, rank: int) -> tuple[int, ...]:
    """Axes in the usual order, or in any."""
    return () if rng.random() < 0.5 else tuple(int(i) for i in rng.permutation(rank))


def tensor(rng: np.random.Generator, values: np.ndarray, gap: int, zero: int = 0) -> Tensor:
    return Tensor(values, zero=zero, gap=gap, order=order(rng, values.ndim))


def zero_of(rng: np.random.Generator, dtype: type) -> int:
    return int(rng.integers(-128, 128)) if dtype == np.int8 else 0


def limits(rng: np.random.Generator, dtype: type) -> tuple[int, int]:
    low, high = RANGE[2 if dtype == np.int8 else 3]
    return (low, high) if rng.random() < 0.6 else (low + 7, high - 90)
