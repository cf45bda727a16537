"""Drift between halves, on data whose spread is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from demitasse.quantizer.drift import find_drift, half_of
from demitasse.quantizer.statistics import Statistics

SAMPLES = np.arange(10)


def halves(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], **context: object
) -> tuple[Statistics, Statistics]:
    found = []
    for i, values in enumerate((first, second)):
        stats = Statistics(samples={"data": 10 * i + SAMPLES}, context=dict(context))
        for name, value in values.items():
            stats.update(name, value.astype(np.float32))
        found.append(stats)
    return found[0], found[1]


def evenly(largest: float) -> np.ndarray:
    return np.linspace(-largest, largest, 5000).reshape(10, 1, -1)


def test_the_ratio_is_that_of_the_largest_values() -> None:
    a, b = halves({"x": evenly(3), "y": evenly(1)}, {"x": evenly(2), "y": evenly(1)})
    found = find_drift((a, b), method="minmax")
    assert found is not None
    assert [each.tensor for each in found.tensors] == ["x", "y"]
    assert [each.ratio for each in found.tensors] == pytest.approx([1.5, 1])
    assert (found.tensors[0].first, found.tensors[0].second) == (3, 2)
    assert (found.moved, found.images) == (1, (10, 10))


@pytest.mark.parametrize("method", ["minmax", "mse", "kl", "percentile", "aciq", "auto"])
def test_equal_halves_do_not_drift(method: str) -> None:
    values = {"x": np.random.default_rng(0).normal(size=(10, 4, 500)), "zero": np.zeros((10, 1, 9))}
    found = find_drift(halves(values, values), method=method)
    assert found is not None
    assert {each.ratio for each in found.tensors} == {1.0}
    assert found.moved == 0


def test_many_values_of_one_law_do_not_drift_few_do() -> None:
    rng = np.random.default_rng(5)
    drifts = [
        find_drift(halves(*({"x": rng.laplace(size=(10, 1, n))} for _ in range(2))))
        for n in (4, 40_000)
    ]
    few, many = (drift.tensors[0].ratio for drift in drifts if drift is not None)
    assert many < 1.1 < few


def test_one_half_has_nothing() -> None:
    found = find_drift(halves({"x": evenly(0)}, {"x": evenly(1)}))
    assert found is not None
    assert found.tensors[0].ratio == math.inf


def test_int16_has_room_for_twice_the_maximum() -> None:
    pair = halves({"x": evenly(1.9)}, {"x": evenly(1)})
    int8, int16 = (find_drift(pair, precision) for precision in ("int8", "int16"))
    assert int8 is not None
    assert int16 is not None
    assert (int8.moved, int16.moved) == (1, 0)


def test_given_ranges_do_not_drift() -> None:
    pair = halves(
        {"data": evenly(9), "x": evenly(1)},
        {"data": evenly(1), "x": evenly(1)},
        ranges={"data": [0, 1]},
    )
    found = find_drift(pair)
    assert found is not None
    assert [each.tensor for each in found.tensors] == ["x"]
    again = find_drift(pair, fixed=["x"])
    assert again is not None
    assert again.tensors == ()


def test_too_few_samples_have_no_halves() -> None:
    a, b = halves({"x": evenly(1)}, {"x": evenly(1)})
    b.samples = {"data": SAMPLES[:1]}
    assert find_drift((a, b)) is None
    assert find_drift(()) is None


def test_halves_are_about_equal_and_fixed() -> None:
    sides = [half_of(i) for i in range(1000)]
    assert 450 < sum(sides) < 550
    assert [half_of(i) for i in range(8)] == sides[:8]
