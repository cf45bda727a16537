"""Weight scales, biases, and the proof that accumulators stay inside int32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from demitasse.quantizer.weights import IntegerWeights, quantize_weights

LIMITS = {"int8": 127, "int16": 4095}
UNITS = {"int8": 1, "int16": 512}
# magnitudes from dead channels to huge ones
VALUES = st.floats(-1e6, 1e6, width=32) | st.floats(-(2.0**-20), 2.0**-20, width=32) | st.just(0.0)


def worst(codes: np.ndarray, bias: int, zero_point: int, precision: str) -> int:
    """The largest |accumulator| that any input gives one channel, block by block."""
    ends = (-128 - zero_point, 127 - zero_point) if precision == "int8" else (-32768, 32767)
    result = 0
    for sign in (-1, 1):
        total = sign * bias
        for start in range(0, len(codes), 16):
            block = sum(max(int(w) * sign * e for e in ends) for w in codes[start : start + 16])
            total += (block + 256) >> 9 if precision == "int16" else block
        result = max(result, total)
    return result


def check(
    found: IntegerWeights, weight: np.ndarray, bias: np.ndarray, s_x: float, precision: str
) -> None:
    """Codes and biases are what the scale says, to half a step; ranges hold."""
    scale = found.scale.astype(np.float64)
    assert (scale > 0).all()
    assert np.isfinite(scale).all()
    assert np.abs(found.codes.astype(int)).max(initial=0) <= LIMITS[precision]
    assert np.abs(found.bias.astype(np.int64)).max(initial=0) <= 2**29
    error = np.abs(found.codes * scale[:, None] - weight.astype(np.float64))
    assert (error <= scale[:, None] * (0.5 + 1e-4)).all()
    unit = s_x * UNITS[precision] * scale
    off = np.abs(found.bias * unit - bias.astype(np.float64))
    assert (off <= unit * 0.5 + np.abs(bias) * 1e-6).all()


@given(
    arrays(np.float32, (3, 40), elements=VALUES),
    arrays(np.float32, 3, elements=VALUES),
    st.sampled_from([2.0**-20, 1e-3, 0.5, 100.0]),
    st.integers(-128, 127),
    st.sampled_from(["int8", "int16"]),
)
def test_scales_codes_and_bounds(
    weight: np.ndarray, bias: np.ndarray, s_x: float, zero_point: int, precision: str
) -> None:
    zero_point = zero_point if precision == "int8" else 0
    found = quantize_weights(weight, bias, s_x, zero_point, precision)
    check(found, weight, bias, s_x, precision)
    for codes, b in zip(found.codes, found.bias, strict=True):
        assert worst(codes, int(b), zero_point, precision) < 2**31


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_each_channel_uses_its_whole_range(precision: str) -> None:
    weight = np.array([[1.0, -0.5], [0.001, 0.0]], np.float32)
    found = quantize_weights(weight, np.zeros(2), 0.01, 0, precision)
    assert np.abs(found.codes.astype(int)).max(axis=1).tolist() == [LIMITS[precision]] * 2


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_an_all_zero_channel_takes_the_largest_scale(precision: str) -> None:
    weight = np.array([[1.0, -2.0], [0.0, 0.0], [0.5, 0.0]], np.float32)
    found = quantize_weights(weight, np.array([0.0, 3.0, 0.0]), 0.01, 0, precision)
    assert found.scale[1] == found.scale[0]
    assert not found.codes[1].any()
    check(found, weight, np.array([0.0, 3.0, 0.0]), 0.01, precision)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_layer_of_zeros_keeps_its_bias(precision: str) -> None:
    bias = np.array([0.0, 1e-5, 7.0])
    found = quantize_weights(np.zeros((3, 4)), bias, 0.01, 0, precision)
    step = 0.01 * UNITS[precision] * found.scale.astype(float)
    np.testing.assert_allclose(found.bias * step, bias, atol=7.0 * 2**-16)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_dead_channel_gets_a_scale_that_holds_its_bias(precision: str) -> None:
    weight, bias = np.array([[1e-12, -1e-12]], np.float32), np.array([5.0])
    found = quantize_weights(weight, bias, 0.01, 0, precision)
    assert abs(int(found.bias[0])) <= 2**29
    assert abs(int(found.bias[0])) > 2**28
    check(found, weight, bias, 0.01, precision)


@pytest.mark.parametrize(
    ("precision", "inputs", "zero_point"), [("int8", 120_000, -128), ("int16", 20_000, 0)]
)
def test_a_long_channel_gets_a_larger_scale(precision: str, inputs: int, zero_point: int) -> None:
    """All weights extreme, so many that the accumulator would wrap."""
    weight = np.ones((2, inputs), np.float32)
    weight[1, 100:] = 0
    found = quantize_weights(weight, np.zeros(2), 0.01, zero_point, precision)
    assert found.codes[0, 0] < LIMITS[precision]
    assert found.codes[1, 0] == LIMITS[precision]
    for codes in found.codes:
        assert worst(codes, 0, zero_point, precision) < 2**31


def test_scales_given_by_a_table_are_used() -> None:
    weight = np.array([[1.0, -0.5]], np.float32)
    found = quantize_weights(weight, np.zeros(1), 0.01, 0, "int8", np.array([0.02], np.float32))
    assert found.scale[0] == np.float32(0.02)
    assert found.codes.tolist() == [[50, -25]]
