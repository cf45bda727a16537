"""Scales and zero points by hand, and by property."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demitasse.quantizer.scheme import activation_scale, quantize

FINITE = st.floats(min_value=0, allow_infinity=False, width=32)


@pytest.mark.parametrize(
    ("low", "high", "symmetric", "expected"),
    [
        (0.0, 255.0, False, (1.0, -128)),  # one-sided: u8 in s8's clothing
        (-255.0, 0.0, False, (1.0, 127)),
        (-128.0, 127.0, False, (1.0, 0)),
        (-10.0, 245.0, False, (1.0, -118)),
        (-0.5, 254.5, False, (1.0, -127)),  # the zero is rounded to a code, half up
        (0.0, 127.0, True, (1.0, 0)),
        (-127.0, 3.0, True, (1.0, 0)),
        (0.0, 0.0, False, (1.0, 0)),
        (0.0, 0.0, True, (1.0, 0)),
        (5.0, 255.0, False, (1.0, -128)),  # a range holds zero whether it says so or not
    ],
)
def test_int8_by_hand(low: float, high: float, symmetric: bool, expected) -> None:
    assert activation_scale(low, high, "int8", symmetric) == expected


@pytest.mark.parametrize("largest", [1e-20, 0.91, 6.0, 32767.0, 1.0e38])
def test_int16_has_room_for_twice_the_largest_value(largest: float) -> None:
    for low, high in ((0.0, largest), (-largest, 0.0), (-largest, largest / 2)):
        scale, zero_point = activation_scale(low, high, "int16")
        assert zero_point == 0
        assert float(scale) * 32767 == pytest.approx(2 * largest, rel=1e-6)


@given(FINITE, FINITE, st.sampled_from(["int8", "int16"]), st.booleans())
def test_scale_is_finite_positive_and_zero_a_code(
    a: float, b: float, precision: str, symmetric: bool
) -> None:
    scale, zero_point = activation_scale(-a, b, precision, symmetric)
    assert isinstance(scale, np.float32)
    assert 0 < scale < np.inf
    assert np.isfinite(np.float32(1 / float(scale)))
    codes = quantize(np.float32([0.0, -a, b]), scale, zero_point, precision)
    assert codes[0] == zero_point
    if max(a, b) < 1e-25 or max(a, b) > 1e37:
        return  # below the smallest scale; or beyond float32 in the products
    steps = (codes.astype(float) - zero_point) * float(scale) - [0.0, -a, b]
    assert np.abs(steps).max() <= float(scale) * 1.001  # half a step, and half for the zero


def test_what_has_no_scale() -> None:
    with pytest.raises(ValueError, match="not finite"):
        activation_scale(0.0, math.inf, "int8")
    with pytest.raises(ValueError, match="fp32"):
        activation_scale(0.0, 1.0, "fp32")


def test_quantize_by_hand() -> None:
    values = [0.0, 0.5, -0.5, 0.49, 1e30, -1e30, np.inf, -np.inf, np.nan, 2.5, -2.5]
    expected = [3, 4, 3, 3, 127, -128, 127, -128, 3, 6, 1]
    result = quantize(np.float32(values), 1.0, 3, "int8")
    assert result.dtype == np.int8
    assert result.tolist() == expected
    assert quantize(np.float32([40000, -40000, 1.5]), 1.0, 0, "int16").tolist() == [
        32767,
        -32768,
        2,
    ]


def test_quantize_multiplies_by_the_rounded_inverse() -> None:
    # 143.5 / 41 is 3.5, which rounds up; float32(143.5 * float32(1 / 41)) is a little less.
    assert quantize(np.float32([143.5]), 41.0, 0, "int8").tolist() == [3]
