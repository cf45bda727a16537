"""Weight scales: by hand, against a plain loop, and never worse than what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from demitasse.quantizer.weight_scales import LEAST, METHODS, STEPS
from demitasse.quantizer.weights import quantize_weights

VALUES = st.floats(-100, 100, width=32) | st.just(0.0)


def squared_error(row: np.ndarray, scale: float, limit: int) -> float:
    """One weight after the other."""
    total = 0.0
    for w in row:
        code = 0 if scale == 0 else min(max(int(np.floor(w / scale + 0.5)), -limit), limit)
        total += (code * scale - w) ** 2
    return total


@pytest.mark.parametrize("method", sorted(METHODS))
def test_zeros_have_scale_zero_and_one_weight_its_own(method: str) -> None:
    weight = np.array([[0.0, 0.0], [14.0, 0.0], [0.0, -3.5]])
    assert METHODS[method](weight, 7).tolist() == [0.0, 2.0, 0.5]


def test_least_error_by_hand() -> None:
    """Sixty weights of 1 and one of 10 in -7 .. 7: clipping the large one is what serves."""
    weight = np.array([[1.0] * 60 + [10.0]])
    (scale,) = METHODS["mse"](weight, 7)
    shares = np.linspace(1.0, LEAST, STEPS)
    errors = [squared_error(weight[0], share * 10 / 7, 7) for share in shares]
    assert scale == pytest.approx(shares[int(np.argmin(errors))] * 10 / 7)
    assert scale < 10 / 7


@given(arrays(np.float64, (3, 9), elements=VALUES), st.sampled_from([7, 127]))
def test_least_error_is_never_above_that_of_the_largest_magnitude(
    weight: np.ndarray, limit: int
) -> None:
    for row, plain, best in zip(
        weight, METHODS["max"](weight, limit), METHODS["mse"](weight, limit), strict=True
    ):
        assert squared_error(row, best, limit) <= squared_error(row, plain, limit) * (1 + 1e-9)


def test_divergence_clips_a_far_outlier_and_leaves_few_weights_alone() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4096))
    weight[1, 7] = 40.0
    plain, found = METHODS["max"](weight, 127), METHODS["kl"](weight, 127)
    assert found[1] < 0.5 * plain[1]
    assert (found <= plain).all()
    few = rng.normal(size=(2, 100))
    assert np.array_equal(METHODS["kl"](few, 127), METHODS["max"](few, 127))


@pytest.mark.parametrize("method", ["mse", "kl"])
def test_channels_do_not_see_each_other(method: str) -> None:
    weight = np.random.default_rng(1).standard_t(3, size=(130, 600))
    whole = METHODS[method](weight, 7)
    alone = [METHODS[method](weight[i : i + 1], 7)[0] for i in (0, 64, 129)]
    assert whole[[0, 64, 129]].tolist() == alone


def test_four_bits() -> None:
    weight = np.array([[7.0, -3.4, 1.0, 0.4]], np.float32)
    found = quantize_weights(weight, np.zeros(1), 0.5, 0, "int8", bits=4)
    assert found.codes.tolist() == [[7, -3, 1, 0]]
    assert found.scale.tolist() == [1.0]


def test_rounding_adds_to_the_nearest_codes_within_the_limit() -> None:
    weight = np.array([[7.0, -3.4, 1.0, 0.4]], np.float32)
    more = np.array([[1, -1, 0, 1]], np.int8)
    found = quantize_weights(weight, np.zeros(1), 0.5, 0, "int8", bits=4, rounding=more)
    assert found.codes.tolist() == [[7, -4, 1, 1]]


def test_rounding_that_could_overflow_is_left_out() -> None:
    weight = np.ones((2, 120_000), np.float32)
    weight[1, 100:] = 0
    more = np.full(weight.shape, 127, np.int8)
    plain = quantize_weights(weight, np.zeros(2), 0.01, -128, "int8")
    found = quantize_weights(weight, np.zeros(2), 0.01, -128, "int8", rounding=more)
    assert np.array_equal(found.codes, plain.codes)
    assert plain.codes[1, 0] == 127
