"""One pass, however the work is divided, with a small engine in place of the runtime."""

import functools
import itertools

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer import statistics
from demitasse.quantizer.calibrate import collect, parse_shard
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.table import build_table, to_text

SHAPES = {"data": (1, 3, 6, 5)}
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 9, 8, 3), dtype=np.uint8)
PREPROCESS = Preprocess(mean=(104, 117, 123), scale=(0.017,))


class FakeEngine:
    """data (and bias) -> relu -> mean over pixels; every array is overwritten after the call."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain
        self.buffer = np.empty(SHAPES["data"], np.float32)

    def observe(self, inputs, callback) -> None:
        x = inputs["data"] * self.gain + inputs.get("bias", 0)
        callback("data", inputs["data"])  # an engine may report its inputs, too
        np.maximum(x, 0, out=self.buffer)
        callback("relu", self.buffer)
        callback("mean", self.buffer.mean((2, 3)))
        self.buffer.fill(np.nan)


open_fake = functools.partial(FakeEngine, 2.0)


def run(**options) -> statistics.Statistics:
    return collect(open_fake, open_dataset(IMAGES), PREPROCESS, SHAPES, **options)


def test_statistics_are_those_of_all_samples() -> None:
    stats = run()
    assert (stats.count, set(stats.tensors)) == (23, {"data", "relu", "mean"})
    blobs = np.concatenate([PREPROCESS.to_blob(image, SHAPES["data"]) for image in IMAGES])
    data, relu = stats.tensors["data"], stats.tensors["relu"]
    assert data.total == blobs.size  # counted once
    np.testing.assert_array_equal(data.low, blobs.min((0, 2, 3)))
    np.testing.assert_array_equal(relu.high, np.maximum(2 * blobs, 0).max((0, 2, 3)))
    np.testing.assert_allclose(data.mean, blobs.mean((0, 2, 3), np.float64), atol=1e-9)
    assert relu.zeros == (blobs <= 0).sum()


def test_shards_merge_to_the_same_bytes_in_any_order() -> None:
    whole = statistics.to_bytes(run())
    for n in (1, 2, 3, 7):
        parts = [statistics.to_bytes(run(shard=(i, n))) for i in range(1, n + 1)]
        for order in itertools.islice(itertools.permutations(parts), 6):
            merged = statistics.merge_all(map(statistics.from_bytes, order))
            assert statistics.to_bytes(merged) == whole


def test_a_pool_gives_the_same_bytes() -> None:
    assert statistics.to_bytes(run(workers=2)) == statistics.to_bytes(run())


@pytest.mark.parametrize("method", ["mse", "kl", "minmax"])
def test_dark_pictures_clip_no_bright_ones(method: str) -> None:
    dark = open_dataset(IMAGES // 4)
    stats = collect(open_fake, dark, PREPROCESS, SHAPES)
    data = build_table(statistics.from_bytes(statistics.to_bytes(stats)), "int8", method).tensors
    assert data["data"].low == pytest.approx((0 - 123) * 0.017)
    assert data["data"].high == pytest.approx((255 - 104) * 0.017)
    assert data["relu"].high < (255 - 104) * 0.017


def test_tables_are_the_same_too() -> None:
    parts = statistics.merge_all(run(shard=(i, 2)) for i in (2, 1))
    for method in ("mse", "kl", "minmax"):
        text = to_text(build_table(run(), "int8", method))
        assert to_text(build_table(parts, "int8", method)) == text


def test_count_and_seed_choose_the_samples() -> None:
    few = run(count=5)
    (ids,) = few.samples.values()
    assert ids.tolist() == open_dataset(IMAGES).subset(5).ids.tolist()
    assert run(count=5, seed=1).hash() != few.hash()
    shards = [run(count=5, shard=(i, 2)) for i in (1, 2)]
    assert statistics.to_bytes(statistics.merge_all(shards)) == statistics.to_bytes(few)


def test_held_back_samples_keep_their_ids() -> None:
    data = open_dataset(IMAGES)
    first = collect(open_fake, data.select(slice(0, 10)), PREPROCESS, SHAPES, count=None)
    rest = collect(open_fake, data.select(slice(10, None)), PREPROCESS, SHAPES, count=None)
    merged = statistics.merge(rest, first)
    assert statistics.to_bytes(merged) == statistics.to_bytes(run(count=None))
    with pytest.raises(DataError, match="10 samples are in both"):
        statistics.merge(merged, first)


def test_other_models_and_preprocessing_do_not_merge() -> None:
    with pytest.raises(DataError, match="differ in model"):
        statistics.merge(run(model="a", shard=(1, 2)), run(model="b", shard=(2, 2)))
    other = collect(open_fake, open_dataset(IMAGES), Preprocess(), SHAPES, shard=(2, 2))
    with pytest.raises(DataError, match="differ in preprocess"):
        statistics.merge(run(shard=(1, 2)), other)


def test_several_inputs_take_samples_together() -> None:
    bias = np.arange(23, dtype=np.float32).reshape(23, 1, 1, 1)
    data = {"data": open_dataset(IMAGES), "bias": open_dataset(bias)}
    shapes = {**SHAPES, "bias": (1, 1, 1, 1)}
    stats = collect(open_fake, data, PREPROCESS, shapes)
    assert stats.tensors["bias"].max == 22
    assert stats.tensors["relu"].total == 23 * 90


def test_progress_is_shown_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run(quiet=True)
    assert capsys.readouterr().err == ""
    run(quiet=False)
    assert "calibrate" in capsys.readouterr().err


def test_an_unreadable_sample_stops_the_pool_with_its_name(tmp_path) -> None:
    from PIL import Image

    for i in range(3):
        Image.fromarray(IMAGES[i]).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes(b"rubbish")
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"1\.png: is not an image"):
            collect(open_fake, open_dataset(tmp_path), PREPROCESS, SHAPES, workers=workers)


DATA = open_dataset(IMAGES)


@pytest.mark.parametrize(
    ("data", "shapes", "options", "message"),
    [
        (DATA, {**SHAPES, "b": (1, 1)}, {}, "data for one input, the network has 2: data, b"),
        ({"x": DATA}, SHAPES, {}, "data for inputs x, the network has data"),
        (
            {"data": DATA, "b": DATA.subset(3)},
            {**SHAPES, "b": (1, 1)},
            {},
            "differ in their number of samples: data 23, b 3",
        ),
        (DATA, {"data": (1, 10)}, {}, "0: an input of shape .* takes no images; give float32"),
        (DATA, SHAPES, {"shard": (3, 2)}, "shard 3/2 does not exist"),
        (DATA, SHAPES, {"count": 0}, "no samples to calibrate with"),
        (DATA, SHAPES, {"shard": (9, 9), "count": 4}, r"no samples .* \(4 in all, shard 9/9\)"),
        (open_dataset(np.zeros((1, 3, 6, 6), np.float32)), SHAPES, {}, "blob of shape"),
    ],
)
def test_bad_input(data, shapes, options, message: str) -> None:
    with pytest.raises(DataError, match=message):
        collect(open_fake, data, PREPROCESS, shapes, **options)


def test_parse_shard() -> None:
    assert parse_shard("2/8") == (2, 8)
    for text in ("2", "a/8", "0/8", "9/8", "-1/8", "2/"):
        with pytest.raises(DataError, match="shard"):
            parse_shard(text)
