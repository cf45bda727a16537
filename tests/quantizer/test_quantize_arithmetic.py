"""srdhm, rshr, rq and the decomposition of real factors, against unbounded integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from demitasse.quantizer.requantize import common_multipliers, multiplier, rq, rshr, srdhm, wrap32

INT32 = st.integers(-(2**31), 2**31 - 1)
SHIFT = st.integers(0, 31)
FACTOR = st.floats(2.0**-40, 2.0**33) | st.floats(-(2.0**33), -(2.0**-40))


def saturate(a: int) -> int:
    return max(-(2**31), min(2**31 - 1, a))


def half_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


def expected_rq(a: int, m: int, left: int, right: int) -> int:
    high = saturate(half_up(Fraction(2 * saturate(a * 2**left) * m, 2**32)))
    return half_up(Fraction(high, 2**right)) if right else high


@given(INT32, INT32)
@example(-(2**31), -(2**31))
@example(-(2**31), 2**31 - 1)
@example(1, 2**30)  # the tie 1/2 rounds up
@example(-1, 2**30)  # and -1/2 to 0
def test_srdhm(a: int, m: int) -> None:
    assert srdhm(np.int64(a), m) == saturate(half_up(Fraction(2 * a * m, 2**32)))


@given(INT32, SHIFT)
@example(2**31 - 1, 31)
@example(-(2**31), 31)
@example(-3, 1)
@example(-5, 0)
def test_rshr(a: int, right: int) -> None:
    assert rshr(np.int64(a), right) == half_up(Fraction(a, 2**right))


@given(INT32, INT32, SHIFT, SHIFT)
@example(2**31 - 1, 2**31 - 1, 31, 0)
@example(-(2**31), -(2**31), 0, 31)
@example(-(2**31), 2**30, 31, 1)
def test_rq(a: int, m: int, left: int, right: int) -> None:
    assert rq(np.int64(a), m, left, right) == expected_rq(a, m, left, right)


@given(st.integers(-(2**40), 2**40))
@example(2**31)
@example(-(2**31) - 1)
def test_wrap32(a: int) -> None:
    assert wrap32(np.array([a]))[0] == (a + 2**31) % 2**32 - 2**31


def as_fraction(m: int, left: int, right: int) -> Fraction:
    return Fraction(int(m)) * Fraction(2) ** (int(left) - int(right) - 31)


@given(FACTOR, st.none() | st.integers(1, 2**31 - 1))
@example(0.5, None)
@example(1.0 - 2.0**-40, None)  # m rounds to 2**31 and becomes 2**30
@example(2.0**-32, None)
@example(2.0**31 * (1 - 2.0**-30), 1)
def test_multiplier(real: float, bound: int | None) -> None:
    found = multiplier(real, bound)
    m, left, right = int(found.multiplier), int(found.left), int(found.right)
    assert 0 <= left <= 31
    assert 0 <= right <= 31
    if abs(real) < 2.0**-32:
        assert m == 0 or abs(real) > 2.0**-32 * (1 - 2.0**-31)
        return
    if abs(real) >= 2.0**31 * (1 - 2.0**-32):
        assert (m, left, right) == ((2**31 - 1) * (1 if real > 0 else -1), 31, 0)
        return
    assert 2**30 <= abs(m) < 2**31
    assert abs(as_fraction(m, left, right) - Fraction(real)) <= abs(Fraction(real)) / 2**31
    if bound is None:
        assert left == 0 or right == 0
    else:
        smallest = multiplier(real).left
        fits = bound * 2**left < 2**31
        assert left == smallest or fits
        assert right == 31 or left == 31 or bound * 2 ** (left + 1) >= 2**31


def test_multiplier_of_zero() -> None:
    found = multiplier(np.array([0.0, 1.0]))
    assert found.multiplier.tolist() == [0, 2**30]
    assert found.left.tolist() == [0, 1]
    assert found.right.tolist() == [0, 0]


@given(st.lists(st.tuples(FACTOR, st.sampled_from([127, 255, 32768])), min_size=2, max_size=8))
@example([(1.0, 255)] * 8)
@example([(2.0**30, 32768), (-(2.0**30), 32768)])
def test_common_multipliers(terms: list[tuple[float, int]]) -> None:
    real, bounds = [t[0] for t in terms], [t[1] for t in terms]
    found = common_multipliers(np.array(real), bounds)
    left, right = int(found.left), int(found.right)
    assert 0 <= left <= 31
    assert 0 <= right <= 31
    assert max(bounds) * 2**left < 2**31
    # the worst sum of terms stays inside int32
    worst = sum(
        half_up(Fraction(abs(int(m)) * b * 2**left, 2**31))
        for m, b in zip(found.multiplier, bounds, strict=True)
    )
    assert worst < 2**31
    largest = max(map(abs, real))
    if largest * max(bounds) * len(terms) <= 2.0**30 and largest >= 2.0**-31:
        for m, r in zip(found.multiplier, real, strict=True):
            error = abs(as_fraction(m, left, right) - Fraction(r))
            assert error <= Fraction(largest) / 2**30


@pytest.mark.parametrize(("factor", "scale"), [(0.37, 1.0), (1.9, 1.0), (31.0, 0.01), (0.002, 9)])
def test_a_rescale_rounds_once(factor: float, scale: float) -> None:
    """With the largest shift left, rq is the exact rounding except within 2**-20 of a tie."""
    codes = np.arange(-255, 256)
    m = multiplier(factor * scale, 255)
    exact = codes * factor * scale
    found = rq(codes, m.multiplier, m.left, m.right)
    clear = np.abs(exact - np.floor(exact) - 0.5) > 2.0**-20
    np.testing.assert_array_equal(found[clear], np.floor(exact + 0.5)[clear])
