"""Tables for functions of one variable and for LRN, against the functions themselves."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive

from demitasse.converter.graph import Quantization
from demitasse.quantizer.lookup import factor_table, factors, lookup_table

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "abs": np.abs,
    "square": lambda x: x * x,
}


def power_of_two(largest: float) -> float:
    return float(2.0 ** np.ceil(np.log2(largest / 32767)))


@pytest.mark.parametrize("reach", [0.4, 3.0, 17.0, 30.0])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_int16_is_within_one_step(name: str, reach: float) -> None:
    function = FUNCTIONS[name]
    x = Quantization(power_of_two(reach))
    ends = np.linspace(-reach, reach, 1001)
    y = Quantization(power_of_two(np.abs(function(ends)).max()))
    table = lookup_table(function, x, y, "int16", (-reach, reach))
    assert table is not None
    assert 7 <= table.bits <= 12
    assert table.entries.shape == (2**table.bits + 1,)
    codes = np.arange(-round(reach / x.scale), round(reach / x.scale) + 1, 7)
    entries = table.entries.tolist()
    found = np.array(
        [naive.interpolate16(entries, table.bits, int(c)) for c in codes.clip(-32768, 32767)]
    )
    exact = np.clip(function(codes.clip(-32768, 32767) * x.scale) / y.scale, -32768, 32767)
    assert np.abs(found - exact).max() <= 1.5  # one step from the rounded value


def test_fewer_bits_where_they_do() -> None:
    flat = lookup_table(np.tanh, Quantization(2.0**-17), Quantization(2.0**-17), "int16")
    steep = lookup_table(np.tanh, Quantization(2.0**-12), Quantization(2.0**-15), "int16")
    assert flat is not None
    assert steep is not None
    assert flat.bits == 7 < steep.bits


def test_no_table_where_twelve_bits_are_too_coarse() -> None:
    step = lookup_table(
        lambda x: np.tanh(1000 * x), Quantization(0.1), Quantization(2.0**-15), "int16"
    )
    assert step is None


def test_a_bend_outside_the_reach_is_no_obstacle() -> None:
    x, y = Quantization(2.0**-13), Quantization(2.0**-13)  # the cube saturates at 4 for x = 1.59
    assert lookup_table(lambda v: v**3, x, y, "int16") is None
    assert lookup_table(lambda v: v**3, x, y, "int16", (-1.5, 1.5)) is not None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_int8_is_the_rounded_value(name: str) -> None:
    x, y = Quantization(0.05, -20), Quantization(0.013, 40)
    table = lookup_table(FUNCTIONS[name], x, y, "int8")
    assert table is not None
    exact = FUNCTIONS[name](0.05 * (np.arange(-128, 128) + 20)) / 0.013 + 40
    np.testing.assert_array_equal(table.entries, np.clip(np.floor(exact + 0.5), -128, 127))


def test_not_a_number_becomes_zero() -> None:
    table = lookup_table(np.sqrt, Quantization(1.0), Quantization(1.0, 3), "int8")
    assert table is not None
    assert table.entries[0] == 3
    assert table.entries[128 + 16] == 3 + 4


@given(st.integers(0, 2**32 - 1), st.sampled_from([5, 7]))
def test_factors_interpolate_within_their_bound(total: int, bits: int) -> None:
    """The chord of a falling convex function is off by 4**-bits / 6 of it, plus rounding."""
    x_scale, largest = 2.0**-6, 255
    table = factor_table(lambda s: (1 + 1e-4 * s) ** -0.75, 25, largest, x_scale, bits)
    assert table.shift == 0
    found = int(factors(table.entries, bits, np.array([total]))[0])
    assert found == naive.lrn_factor([*table.entries.tolist(), 0], bits, total)
    exact = (1 + 1e-4 * total * x_scale**2) ** -0.75 / table.scale
    assert abs(found - exact) <= 1 + exact * 4.0**-bits / 6


def test_int16_squares_are_shifted_until_their_sum_fits() -> None:
    table = factor_table(lambda s: 1 / (1 + s), 25, 32768, 2.0**-12, 7)
    assert 25 * (2**30 >> table.shift) < 2**32
    assert 25 * (2**30 >> (table.shift - 1)) >= 2**32
    total = (np.arange(1, 40) * 2**26) >> 1
    exact = 1 / (1 + total * 2.0**table.shift * 2.0**-24) / table.scale
    np.testing.assert_allclose(factors(table.entries, 7, total), exact, atol=1.1, rtol=1e-5)


def test_a_factor_without_limit_at_zero() -> None:
    table = factor_table(lambda s: s**-0.5, 5, 255, 0.1, 5)
    assert table.entries[0] == table.entries[1] == 32767
