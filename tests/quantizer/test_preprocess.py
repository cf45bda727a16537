"""Pictures to blobs: against OpenCV, against Caffe's rules, and by hand."""

from pathlib import Path

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.preprocess import (
    Preprocess,
    check_single,
    from_transform_param,
    make_preprocess,
)
from demitasse.quantizer.resize import luma, resize_bilinear
from demitasse.quantizer.scheme import quantize

RNG = np.random.default_rng(1)
PICTURE = RNG.integers(0, 256, (10, 12, 3), dtype=np.uint8)


def float_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between pixel centres in float64, edges repeated."""
    result = image.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        n = result.shape[axis]
        position = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        first = np.minimum(position.astype(int), n - 1)
        second = np.minimum(first + 1, n - 1)
        part = (position - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        result = result.take(first, axis) * (1 - part) + result.take(second, axis) * part
    return result


SIZES = [(1, 1, 5, 7), (7, 9, 1, 1), (28, 28, 28, 28), (480, 640, 240, 320), (37, 53, 112, 96)]
SIZES += [tuple(s) for s in RNG.integers(1, 70, (40, 4)).tolist()]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resize_is_bilinear_within_a_level(size: tuple[int, int, int, int]) -> None:
    h, w, height, width = size
    image = RNG.integers(0, 256, (h, w, 3), dtype=np.uint8)
    result = resize_bilinear(image, height, width)
    assert result.dtype == np.uint8
    # Two weights of 11 bits, each off by half a unit: 255 / 2048 of a level, then the rounding.
    assert np.abs(result - float_bilinear(image, height, width)).max() <= 0.5 + 0.13


def test_resize_agrees_with_opencv_within_a_level() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is missing")
    differences = []
    for h, w, height, width in SIZES:
        image = RNG.integers(0, 256, (h, w, 3), dtype=np.uint8)
        theirs = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        ours = resize_bilinear(image, height, width).astype(int)
        differences.append(np.abs(ours - theirs).ravel())
    assert np.concatenate(differences).max() <= 1


def test_resize_by_hand() -> None:
    # 2 to 4 pixels: positions -0.25, 0.25, 0.75, 1.25 between 0 and 200.
    row = np.array([[[0], [200]]], np.uint8)
    assert resize_bilinear(row, 1, 4).ravel().tolist() == [0, 50, 150, 200]
    # 4 to 2: positions 0.5 and 2.5; 0.5 levels round up.
    row = np.array([[[0], [1], [10], [21]]], np.uint8)
    assert resize_bilinear(row, 1, 2).ravel().tolist() == [1, 16]
    # 3 to 2: positions 0.25 and 1.75 with weights 512 and 1536 of 2048.
    row = np.array([[[0], [100], [0]]], np.uint8)
    assert resize_bilinear(row, 1, 2).ravel().tolist() == [25, 25]


def test_resize_keeps_the_extremes_and_the_identity() -> None:
    white = np.full((5, 7, 3), 255, np.uint8)
    assert (resize_bilinear(white, 16, 3) == 255).all()
    assert resize_bilinear(PICTURE, 10, 12).tobytes() == PICTURE.tobytes()


def test_resize_has_no_intermediate_value_over_31_bits() -> None:
    row = np.full((1, 16384, 1), 255, np.uint8)
    assert (resize_bilinear(row, 1, 16383) == 255).all()
    row[0, ::2] = 0
    assert np.abs(resize_bilinear(row, 1, 5) - float_bilinear(row, 1, 5)).max() <= 0.63


def test_luma_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is missing")
    np.testing.assert_array_equal(luma(PICTURE)[..., 0], cv2.cvtColor(PICTURE, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(
    ("order", "channels", "expected"),
    [
        (None, 3, PICTURE[..., ::-1]),
        ("bgr", 3, PICTURE[..., ::-1]),
        ("rgb", 3, PICTURE),
        (None, 1, luma(PICTURE)),
        ("gray", 1, luma(PICTURE)),
    ],
)
def test_channel_order(order, channels: int, expected: np.ndarray) -> None:
    blob = Preprocess(order=order).to_blob(PICTURE, (1, channels, 10, 12))
    np.testing.assert_array_equal(blob[0], expected.transpose(2, 0, 1))
    assert blob.dtype == np.float32


def test_gray_fills_three_channels() -> None:
    gray = luma(PICTURE)
    blob = Preprocess(mean=(1, 2, 3)).to_blob(gray, (1, 3, 10, 12))
    for channel in range(3):
        np.testing.assert_array_equal(blob[0, channel], gray[..., 0] - np.float32(channel + 1))


def test_mean_comes_before_scale_in_the_networks_order() -> None:
    blob = Preprocess(mean=(104, 117, 123), scale=(0.017,)).to_blob(PICTURE, (1, 3, 10, 12))
    blue = (PICTURE[..., 2].astype(np.float32) - np.float32(104)) * np.float32(0.017)
    np.testing.assert_array_equal(blob[0, 0], blue)


def test_crop_cuts_the_centre_of_picture_and_mean_image() -> None:
    mean = np.arange(3 * 10 * 12, dtype=np.float32).reshape(3, 10, 12)
    blob = Preprocess(order="rgb", mean_image=mean, crop=True).to_blob(PICTURE, (1, 3, 5, 6))
    # Caffe's offsets: (10 - 5) // 2 and (12 - 6) // 2.
    expected = PICTURE[2:7, 3:9].transpose(2, 0, 1) - mean[:, 2:7, 3:9]
    np.testing.assert_array_equal(blob[0], expected)


def test_resize_then_crop() -> None:
    blob = Preprocess(order="rgb", resize=(20, 16), crop=True).to_blob(PICTURE, (1, 3, 8, 8))
    expected = resize_bilinear(PICTURE, 16, 20)[4:12, 6:14].transpose(2, 0, 1)
    np.testing.assert_array_equal(blob[0], expected)


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [
        (12, 12, (slice(1, 11), slice(0, 12))),  # 10x12 as it is, a border of 1 above and below
        (10, 20, (slice(0, 10), slice(4, 16))),
        (5, 20, (slice(0, 5), slice(7, 13))),
        (3, 2, (slice(0, 2), slice(0, 2))),  # 1.67 rows round to 2, (3 - 2) // 2 = 0 above
    ],
)
def test_letterbox_has_a_border_of_zeros(height: int, width: int, inside) -> None:
    blob = Preprocess(order="rgb", mean=(7,), letterbox=True).to_blob(
        PICTURE, (1, 3, height, width)
    )
    h, w = (s.stop - s.start for s in inside)
    expected = np.zeros((3, height, width), np.float32)
    expected[:, inside[0], inside[1]] = resize_bilinear(PICTURE, h, w).transpose(2, 0, 1) - 7.0
    np.testing.assert_array_equal(blob[0], expected)


def test_tables_hold_what_to_blob_computes() -> None:
    preprocess = Preprocess(order="rgb", mean=(104, 117, 123), scale=(0.017, 0.018, 0.019))
    table = preprocess.tables(3)
    blob = preprocess.to_blob(PICTURE, (1, 3, 10, 12))[0]
    looked_up = [table[c][PICTURE[..., c]] for c in range(3)]
    np.testing.assert_array_equal(blob, np.stack(looked_up))
    codes = preprocess.tables(3, "int8", 0.02, 3)
    assert codes.dtype == np.int8
    assert codes.shape == (3, 256)
    np.testing.assert_array_equal(codes, quantize(table, 0.02, 3, "int8"))
    with pytest.raises(ValueError, match="mean image"):
        Preprocess(mean_image=np.zeros((3, 4, 4), np.float32)).tables(3)


def test_blobs_pass_through_and_are_checked() -> None:
    blob = np.ones((3, 4, 5), np.float32)
    sample = open_dataset([blob]).sample(0)
    result = Preprocess(mean=(9,)).apply(sample, (64, 3, 4, 5))
    np.testing.assert_array_equal(result, blob[None])
    with pytest.raises(
        DataError, match=r"blob of shape \(3, 4, 5\), the input expects \(3, 5, 5\)"
    ):
        Preprocess().apply(sample, (1, 3, 5, 5))


def test_a_network_that_keeps_its_batch_takes_no_single_samples() -> None:
    check_single({"data": (1, 3, 4, 4)})
    with pytest.raises(DataError, match=r"'data' keeps its batch of 2.*--input-shape data=1"):
        check_single({"data": (2, 3, 4, 4)})


def test_transform_param_as_caffe_reads_it(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.ones((3, 4, 4), np.float32))
    result = from_transform_param(
        {"scale": 0.017, "mean_value": [1, 2, 3], "crop_size": 224, "mirror": True}
    )
    assert (result.scale, result.mean, result.crop) == ((0.017,), (1, 2, 3), True)
    result = from_transform_param({"mean_file": "mean.npy", "force_gray": True}, tmp_path)
    assert result.mean_image is not None
    assert result.order == "gray"
    result = from_transform_param({"new_width": 256, "new_height": 128})
    assert result.resize == (256, 128)
    with pytest.raises(DataError, match="both mean_file and mean_value"):
        from_transform_param({"mean_file": "mean.npy", "mean_value": [1]}, tmp_path)


def test_flags_win_over_transform_param() -> None:
    param = {"scale": 0.5, "mean_value": [1, 2, 3], "crop_size": 8}
    result = make_preprocess(transform_param=param, mean=[4], order="rgb", std=[2, 4, 8])
    assert (result.mean, result.scale, result.order) == ((4,), (0.5, 0.25, 0.125), "rgb")
    assert result.crop
    assert make_preprocess(transform_param=param, letterbox=True).crop is False


def binaryproto(mean: np.ndarray, legacy: bool) -> bytes:
    """A BlobProto by hand: legacy dimensions in fields 1 to 4, or shape in 7; data in 5."""
    dims = (1, *mean.shape)
    if legacy:
        head = b"".join(bytes([field << 3, n]) for field, n in enumerate(dims, 1))
    else:
        inner = bytes([1 << 3 | 2, len(dims), *dims])
        head = bytes([7 << 3 | 2, len(inner)]) + inner
    data = mean.astype("<f4").tobytes()
    size = bytes([len(data) & 127 | 128, len(data) >> 7])
    return head + bytes([5 << 3 | 2]) + size + data


@pytest.mark.parametrize("legacy", [True, False])
def test_binaryproto(tmp_path: Path, legacy: bool) -> None:
    mean = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(binaryproto(mean, legacy))
    result = make_preprocess(mean_file=path)
    np.testing.assert_array_equal(result.mean_blob((1, 3, 4, 5)), mean)


def test_a_mean_file_of_single_values_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.array([1.0, 2.0, 3.0]))
    assert make_preprocess(mean_file=tmp_path / "mean.npy").mean == (1, 2, 3)
    np.save(tmp_path / "mean.npy", np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1))
    assert make_preprocess(mean_file=tmp_path / "mean.npy").mean_image is None


def test_describe_tells_different_preprocessing_apart() -> None:
    one = Preprocess(mean_image=np.zeros((3, 4, 4), np.float32)).describe()
    two = Preprocess(mean_image=np.ones((3, 4, 4), np.float32)).describe()
    assert one != two
    assert one == Preprocess(mean_image=np.zeros((3, 4, 4), np.float32)).describe()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": "brg"}, "unknown channel order 'brg'; bgr, rgb or gray"),
        ({"letterbox": True, "crop": True}, "letterbox does not go with"),
        ({"resize": (0, 5)}, "out of range"),
        ({"scale": (0.0,)}, "scale is 0"),
        ({"mean": (float("nan"),)}, "not finite"),
        ({"mean": (1.0, 2.0)}, "2 values of mean, expected 1 or 3"),
    ],
)
def test_bad_settings(fields: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preprocess(**fields)


@pytest.mark.parametrize(
    ("preprocess", "shape", "message"),
    [
        (Preprocess(), (1, 10), "takes no images"),
        (Preprocess(), (1, 6, 4, 4), "does not fit an input of 6 channels; give float32 blobs"),
        (Preprocess(order="gray"), (1, 3, 4, 4), "'gray' does not fit an input of 3 channels"),
        (Preprocess(order="bgr"), (1, 1, 4, 4), "'bgr' does not fit an input of 1 channels"),
        (Preprocess(mean=(1, 2, 3)), (1, 1, 4, 4), "3 values of mean for 1 channels"),
        (Preprocess(crop=True), (1, 3, 11, 4), "12x10 is too small to cut 4x11 from"),
        (Preprocess(mean_image=np.zeros((3, 3, 4))), (1, 3, 4, 4), "mean image of 3x3x4"),
    ],
)
def test_pictures_that_do_not_fit_name_the_sample(
    preprocess: Preprocess, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        preprocess.apply(open_dataset([PICTURE]).sample(0), shape)
    assert caught.value.file == "sample 0"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.npy", None, "no such mean file"),
        ("x.npy", b"rubbish", "is no mean file"),
        ("x.binaryproto", b"\xff\xff\xff", "is no mean file"),
        ("x.binaryproto", b"", "is no mean file"),
        ("x.binaryproto", binaryproto(np.zeros((3, 4, 4)), True)[:-4], "is no mean file"),
        ("x.npy", np.zeros((4, 4)), "is no mean; expected"),
        ("x.npy", np.zeros((32, 32, 3)), "is no mean; expected"),
        ("x.npy", np.full((3, 4, 4), np.nan), "not finite"),
    ],
)
def test_bad_mean_files(tmp_path: Path, name: str, content, message: str) -> None:
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        make_preprocess(mean_file=tmp_path / name)
    assert caught.value.file == str(tmp_path / name)


def test_bad_flags() -> None:
    with pytest.raises(DataError, match="--mean or --mean-file"):
        make_preprocess(mean=[1], mean_file=Path("x"))
    with pytest.raises(DataError, match="--scale or --std"):
        make_preprocess(scale=[1], std=[1])
    with pytest.raises(DataError, match="standard deviation of 0"):
        make_preprocess(std=[0])
