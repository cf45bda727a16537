"""Thresholds against brute force on the values themselves, and on tensors that break others."""

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.scheme import activation_scale, quantize
from demitasse.quantizer.statistics import TensorStatistics
from demitasse.quantizer.thresholds import METHODS, find_range
from demitasse.quantizer.thresholds.aciq import gauss_factor, laplace_factor
from demitasse.quantizer.thresholds.histogram import finite_bins
from demitasse.quantizer.thresholds.mse import squared_error

N = 200_000


def of(x: np.ndarray) -> TensorStatistics:
    stat = TensorStatistics.empty(1)
    stat.update(np.asarray(x, np.float32).reshape(1, 1, -1))
    return stat


def often(x: np.ndarray) -> TensorStatistics:
    """Each value so often that a few values more weigh nothing."""
    stat = of(x)
    stat.counts *= 64
    return stat


def sqnr(x: np.ndarray, low: float, high: float, symmetric: bool) -> float:
    """Signal to quantization noise of the values in dB."""
    scale, zero_point = activation_scale(low, high, "int8", symmetric)
    codes = quantize(x, scale, zero_point, "int8").astype(float)
    error = (codes - zero_point) * float(scale) - x
    return 10 * np.log10((x.astype(float) ** 2).mean() / max((error**2).mean(), 1e-30))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return (e / e.sum(1, keepdims=True)).ravel()


def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    n = rng.standard_normal(N)
    magnitude = np.abs(n)
    found = {
        "normal": n,
        "relu": np.maximum(n, 0),
        "laplace": rng.laplace(size=N),
        "relu6": np.clip(4 * n + 2, 0, 6),
        "97% zero": np.where(rng.random(N) < 0.97, 0, magnitude),
        "outliers": np.where(rng.random(N) < 1e-4, 30 + 30 * magnitude, np.maximum(n, 0)),
        "bright pixels": np.where(rng.random(N) < 0.02, 60 * magnitude, magnitude),
        "swish": 3 * n / (1 + np.exp(-3 * n)),
        "prelu": np.where(n < 0, 0.1 * n, 4 * n),
        "negative": -magnitude,
        "student": rng.standard_t(3, N),
        "softmax": softmax(8 * rng.standard_normal((N // 10, 10))),
        "pixels": rng.integers(0, 256, N) / 256,
    }
    return {name: x.astype(np.float32) for name, x in found.items()}


TENSORS = tensors()


def brute_force(x: np.ndarray, symmetric: bool) -> float:
    """The best SQNR over a grid of clipping at either end."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    fractions = 2.0 ** np.linspace(0, -5, 26)
    if symmetric:
        largest = max(-low, high)
        return max(sqnr(x, -largest * f, largest * f, True) for f in fractions)
    lows = low * fractions if low < 0 else [0.0]
    highs = high * fractions if high > 0 else [0.0]
    sample = x[:: 1 if len(lows) == 1 or len(highs) == 1 else 8]
    pairs = {(a, b): sqnr(sample, a, b, False) for a in lows for b in highs}
    return sqnr(x, *max(pairs, key=lambda pair: pairs[pair]), False)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", TENSORS)
def test_mse_is_as_good_as_brute_force(name: str, symmetric: bool) -> None:
    x = TENSORS[name]
    found = find_range(often(x), "mse", symmetric)
    assert found.low <= 0 <= found.high
    assert sqnr(x, found.low, found.high, symmetric) > brute_force(x, symmetric) - 0.15


@pytest.mark.parametrize("split", [(127, 127), (0, 255), (40, 215)])
def test_squared_error_is_that_of_the_values(split: tuple[int, int]) -> None:
    x = TENSORS["normal"]
    x = np.abs(x) if split[0] == 0 else x
    for step in (0.01, 0.02, 0.05):
        rounded = np.clip(np.rint(x / step), -split[0], split[1]) * step
        exact = ((x - rounded) ** 2).sum()
        found = squared_error(finite_bins(of(x)), split, np.array([step]))[0]
        assert found == pytest.approx(exact, rel=0.03)


# Bounds on the symmetric KL threshold as a share of the largest magnitude. Keeping the zero spike
# gives 0.40 for relu and 0.08 for 97% zero; ignoring negatives gives 0.26 for negative.
KL_SHARE = {
    "relu": (0.7, 1.0),
    "normal": (0.7, 1.0),
    "laplace": (0.5, 1.0),
    "relu6": (0.99, 1.0),
    "97% zero": (0.8, 1.0),
    "negative": (0.7, 1.0),
    "swish": (0.5, 1.0),
    "bright pixels": (0.2, 0.6),
    "softmax": (0.9, 1.0),  # 0.11 with the spike of tiny values in the first bin
    "pixels": (0.99, 1.0),
}


@pytest.mark.parametrize("name", KL_SHARE)
def test_kl_does_not_fall_into_the_known_traps(name: str) -> None:
    x = TENSORS[name]
    found = find_range(of(x), "kl", True)
    assert found.low == -found.high
    share = found.high / float(np.abs(x).max())
    assert KL_SHARE[name][0] <= share <= KL_SHARE[name][1]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", TENSORS)
def test_mse_is_never_worse_than_the_others(name: str, symmetric: bool) -> None:
    x = TENSORS[name]
    stat = often(x)
    scores = {m: sqnr(x, *find_range(stat, m, symmetric)[:2], symmetric) for m in METHODS}
    assert scores["mse"] >= max(scores.values()) - 0.15


@pytest.mark.parametrize("draw", ["normal", "exponential", "laplace"])
def test_mse_leaves_room_for_values_that_were_not_seen(draw: str) -> None:
    """Of a few values of each of many images: measured on other images."""
    rng = np.random.default_rng(5)
    scores = {"mse": 0.0, "minmax": 0.0}
    for _ in range(40):
        seen, others = getattr(rng, draw)(size=3000), getattr(rng, draw)(size=100_000)
        for method in scores:
            low, high, _ = find_range(of(seen), method, False)
            scores[method] += sqnr(others.astype(np.float32), low, high, False) / 40
    assert scores["mse"] > scores["minmax"]


@pytest.mark.parametrize("name", ["relu6", "pixels"])
def test_mse_keeps_to_bounds_that_many_values_reach(name: str) -> None:
    few = TENSORS[name][:2000]
    assert find_range(of(few), "mse", False).high <= 1.01 * few.max()


def test_one_sided_tensors_gain_six_decibels() -> None:
    x = TENSORS["relu"]
    both = [sqnr(x, *find_range(of(x), "mse", s)[:2], s) for s in (True, False)]
    assert both[1] - both[0] > 5


def test_one_outlier_does_not_set_the_kl_threshold() -> None:
    x = np.append(np.abs(TENSORS["normal"]), np.float32(100))
    for symmetric in (True, False):
        assert 3 < find_range(of(x), "kl", symmetric).high < 7


def test_kl_against_its_definition() -> None:
    """The running sums against loops over P and Q, bin by bin."""
    from demitasse.quantizer.thresholds.kl import _divergence

    rng = np.random.default_rng(0)
    counts = np.round(1000 * np.exp(-np.arange(2048) / 300) * rng.random(2048))
    counts[rng.random(2048) < 0.2] = 0
    candidates = np.array([i for i in (200, 777, 1024, 1500, 2048) if counts[i - 1] > 0])
    expected = []
    for i in candidates:
        p = counts[:i].copy()
        p[-1] += counts[i:].sum() + 5
        q = np.zeros(i)
        for level in range(128):
            a, b = i * level // 128, i * (level + 1) // 128
            used = counts[a:b] > 0
            if used.any():
                q[a:b][used] = counts[a:b].sum() / used.sum()
        p, q = p / p.sum(), q / q.sum()
        expected.append((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())
    np.testing.assert_allclose(_divergence(counts, 5.0, candidates, 128), expected, rtol=1e-9)


ODD = {
    "all zero": (np.zeros(100), (0, 0), "all values are zero; scale 1 is used"),
    "negative zero": (np.full(100, -0.0), (0, 0), "all values are zero; scale 1 is used"),
    "constant": (np.full(100, 3.0), (0, 3), "all values are 3"),
    "negative constant": (np.full(100, -3.0), (-3, 0), "all values are -3"),
    "two values": ((np.arange(100) % 2) * 1.0, (0, 1), None),
    "one value": (np.array([0.25]), (0, 0.25), "all values are 0.25"),
    "negative only": (-np.linspace(1, 2, 100), (-2, 0), None),
    "positive, far from zero": (np.linspace(1000, 1001, 100), (0, 1001), None),
    "NaN": (np.r_[np.nan, np.linspace(-1, 1, 99)], (-1, 1), "1 of 100 values are NaN or infinite"),
    "infinity": (np.r_[np.inf, -np.inf, np.ones(98)], (0, 1), "2 of 100 values are NaN or infin"),
    "NaN only": (np.full(3, np.nan), (0, 0), "3 of 3 values are NaN or infinite"),
    "empty": (np.zeros(0), (0, 0), "no values"),
    "denormal": (np.linspace(0, 1e-39, 100), (0, 1e-39), None),
    "huge": (np.linspace(-3e38, 3e38, 100), (-3e38, 3e38), None),
}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ODD)
def test_odd_tensors_give_a_finite_scale_and_a_warning(
    name: str, method: str, symmetric: bool
) -> None:
    values, (low, high), warning = ODD[name]
    found = find_range(of(np.float32(values)), method, symmetric)
    assert np.isfinite([found.low, found.high]).all()
    assert found.low <= 0 <= found.high
    for precision in ("int8", "int16"):
        scale, _ = activation_scale(found.low, found.high, precision, symmetric)
        assert np.isfinite(scale)
        assert scale > 0
    if warning is None:
        assert not found.warnings
    else:
        assert any(text.startswith(warning) for text in found.warnings)
    if not symmetric:  # few values: no method has a reason to clip more than a little
        assert 1.5 * low - 1e-45 <= found.low <= 0.95 * low + 1e-45
        assert 0.95 * high - 1e-45 <= found.high <= 1.5 * high + 1e-45


def test_outliers_that_drown_everything_are_said() -> None:
    x = np.append(np.full(1000, 1e-3), 1e3)
    found = find_range(of(x), "minmax", False)
    assert "99.9% of the values other than zero are less than half a step" in found.warnings[0]


def test_unknown_method_lists_the_known() -> None:
    with pytest.raises(DataError, match="'nix'; use one of aciq, kl, minmax, mse, percentile"):
        find_range(of(TENSORS["relu"]), "nix", False)


# Table 1 of Banner et al. 2019: the best clipping of M bits, both signs.
PUBLISHED = {2: (2.83, 1.71), 3: (3.89, 2.15), 4: (5.03, 2.55), 8: (9.89, 3.92)}


@pytest.mark.parametrize("bits", PUBLISHED)
def test_aciq_has_the_published_factors(bits: int) -> None:
    laplace, gauss = PUBLISHED[bits]
    assert laplace_factor(2**bits / 2) == pytest.approx(laplace, abs=0.01)
    assert gauss_factor(2**bits / 2) == pytest.approx(gauss, abs=0.01)


@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_aciq_tells_the_two_distributions_apart(name: str) -> None:
    found = find_range(of(TENSORS[name] * 3), "aciq", True).high
    factor = {"normal": gauss_factor(127.5), "laplace": laplace_factor(127.5)}[name]
    assert found == pytest.approx(3 * factor, rel=0.02)


def test_percentile_leaves_a_ten_thousandth_outside() -> None:
    x = np.random.default_rng(3).standard_normal(N)
    low, high = find_range(of(x), "percentile", False)[:2]
    assert [low, high] == pytest.approx(np.quantile(x, [0.00005, 0.99995]).tolist(), rel=0.01)


def test_percentile_of_few_values_is_their_range() -> None:
    low, high = find_range(of(np.array([-2.0, 0.0, 1.0, 4.0])), "percentile", False)[:2]
    assert [low, high] == pytest.approx([-2.0, 4.0], rel=1e-3)
