"""Histograms by hand, exact merging, and the file."""

import itertools
import struct
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demitasse.errors import DataError
from demitasse.quantizer import statistics
from demitasse.quantizer.statistics import Statistics, TensorStatistics, count_patterns, merge


def bin_of(value: float) -> int:
    """The first two bytes of the big-endian float32."""
    return struct.unpack(">H", struct.pack(">f", value)[:2])[0]


def of(values, channels: int = 1) -> TensorStatistics:
    x = np.asarray(values, np.float32)
    stat = TensorStatistics.empty(channels)
    stat.update(x.reshape(1, channels, -1))
    return stat


def test_bins_by_hand() -> None:
    values = [1.0, 1.0, 1.0078125, -2.0, 0.0, -0.0, 1e-44, np.inf, -np.inf, np.nan, 3.0e38]
    stat = of(values)
    expected = {0x3F80: 2, 0x3F81: 1, 0xC000: 1, 0x0000: 2, 0x8000: 1}
    expected |= {0x7F80: 1, 0xFF80: 1, 0x7FC0: 1, bin_of(3e38): 1}
    assert {int(b): int(stat.counts[b]) for b in np.flatnonzero(stat.counts)} == expected
    assert (stat.total, stat.zeros, stat.not_finite) == (11, 3, 3)
    assert (stat.min, stat.max) == (-2.0, float(np.float32(3e38)))


def test_nans_whose_top_bits_are_those_of_infinity_count_as_nan() -> None:
    odd = np.array([0x7F800001, 0xFF800001, 0xFFC00000], np.uint32).view(np.float32)
    counts = count_patterns(odd)
    assert counts[0x7FC0] == 3
    assert counts.sum() == 3


@pytest.mark.parametrize("size", [1, 1000, 1 << 14, (1 << 14) + 1, (1 << 18) + 7])
def test_every_size_is_counted_alike(size: int) -> None:
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    expected = np.bincount(x.view(np.uint32) >> 16, minlength=65536)
    np.testing.assert_array_equal(count_patterns(x), expected)


def test_channels_by_hand() -> None:
    x = np.array([[[1, 2, 3], [-4, 0, 1]], [[5, 5, 5], [1, 1, -8]]], np.float32)
    stat = TensorStatistics.empty(2)
    stat.update(x)
    assert stat.low.tolist() == [1, -8]
    assert stat.high.tolist() == [5, 1]
    assert stat.samples.tolist() == [2, 2]
    # Means of the two samples: 2 and 5, -1 and -2.
    assert stat.mean.tolist() == [3.5, -1.5]


def test_mean_is_the_sum_of_rounded_means() -> None:
    x = np.float32([0.1, 0.2, 0.4])
    stat = of(x)
    mean = Fraction(sum(map(float, x))) / 3
    units = stat.whole[0] * 2**32 + stat.fraction[0]
    assert units == round(mean * 2**32)


def test_values_that_are_not_finite_do_not_touch_range_and_mean() -> None:
    x = np.array([[[np.nan, 2.0], [np.inf, np.nan]], [[1.0, -np.inf], [7.0, 5.0]]], np.float32)
    stat = TensorStatistics.empty(2)
    stat.update(x)
    assert stat.low.tolist() == [1, 5]
    assert stat.high.tolist() == [2, 7]
    assert stat.samples.tolist() == [2, 1]
    assert stat.mean.tolist() == [1.5, 6.0]


def test_nothing_but_nan() -> None:
    stat = of([np.nan, np.nan])
    assert (stat.min, stat.max, stat.mean.tolist(), stat.samples.tolist()) == (0, 0, [0], [0])


def test_huge_values_do_not_overflow() -> None:
    stat = of([3e38, 3e38])
    assert stat.max == float(np.float32(3e38))
    assert stat.whole[0] > 0


def random_parts(seed: int, number: int) -> list[Statistics]:
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(number):
        stats = Statistics(samples={"data": np.array([i])}, context={"model": "m"})
        for name, shape in (("a", (1, 3, 40)), ("b", (1, 5)), ("c", (1, 2, 3, 200))):
            x = rng.standard_normal(shape).astype(np.float32) * 10.0 ** rng.integers(-3, 4)
            x[rng.random(shape) < 0.1] = rng.choice([0.0, np.nan, np.inf, -np.inf])
            stats.update(name, x)
        parts.append(stats)
    return parts


def test_merge_is_exact_in_every_order_and_grouping() -> None:
    parts = random_parts(0, 4)
    contents = set()
    for a, b, c, d in itertools.permutations(parts):
        contents.add(statistics.to_bytes(merge(merge(merge(a, b), c), d)))
        contents.add(statistics.to_bytes(merge(merge(a, b), merge(c, d))))
    assert len(contents) == 1
    assert statistics.from_bytes(contents.pop()).count == 4


def test_merging_is_the_same_as_updating() -> None:
    rng = np.random.default_rng(0)
    batch = rng.standard_normal((6, 3, 5, 7)).astype(np.float32)
    one = TensorStatistics.empty(3)
    one.update(batch)
    many = [TensorStatistics.empty(3) for _ in range(6)]
    for stat, sample in zip(many, batch, strict=True):
        stat.update(sample[None])
    merged = many[0]
    for stat in many[1:]:
        merged = merged.merge(stat)
    for key in vars(one):
        np.testing.assert_array_equal(getattr(one, key), getattr(merged, key))


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_any_floats(values: list[float]) -> None:
    stat = of(values)
    x = np.array(values, np.float32)
    finite = x[np.isfinite(x)]
    assert stat.total == len(values)
    assert stat.not_finite == len(values) - len(finite)
    assert (stat.min, stat.max) == ((finite.min(), finite.max()) if len(finite) else (0.0, 0.0))


def test_file_round_trip_keeps_every_byte(tmp_path: Path) -> None:
    stats = statistics.merge_all(random_parts(1, 3))
    statistics.save(stats, tmp_path / "a.dstat")
    again = statistics.load(tmp_path / "a.dstat")
    assert statistics.to_bytes(again) == (tmp_path / "a.dstat").read_bytes()
    assert again.hash() == stats.hash()
    assert again.samples["data"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.dstat"]
    for name, stat in stats.tensors.items():
        for key, value in vars(stat).items():
            np.testing.assert_array_equal(value, getattr(again.tensors[name], key))


def test_file_does_not_depend_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = random_parts(2, 1)[0]
    before = statistics.to_bytes(stats)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert statistics.to_bytes(stats) == before


def changed(**changes) -> Statistics:
    stats = random_parts(3, 2)[1]
    for key, value in changes.items():
        setattr(stats, key, value)
    return stats


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (random_parts(3, 1)[0], "1 samples are in both statistics, the first is number 0"),
        (changed(context={"model": "x"}), "statistics differ in model; merge only parts of one"),
        (changed(tensors={}), "of different networks: tensor 'a' differs"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(other: Statistics, message: str) -> None:
    with pytest.raises(DataError, match=message):
        merge(random_parts(3, 1)[0], other)


def test_merge_of_nothing() -> None:
    with pytest.raises(DataError, match="no statistics to merge"):
        statistics.merge_all([])


@pytest.mark.parametrize("damage", ["missing", "empty", "rubbish", "cut", "npz", "version"])
def test_damaged_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.dstat"
    good = statistics.to_bytes(random_parts(4, 1)[0])
    if damage == "npz":
        with path.open("wb") as file:
            np.savez(file, x=np.zeros(3))
    elif damage != "missing":
        content = {"empty": b"", "rubbish": b"rubbish", "cut": good[: len(good) // 2]}
        content["version"] = good.replace(b'"version": 1', b'"version": 9')
        path.write_bytes(content[damage])
    with pytest.raises(DataError) as caught:
        statistics.load(path)
    assert str(caught.value).startswith(f"{path}: ")
