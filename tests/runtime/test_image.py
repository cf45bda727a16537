"""Camera frames into an input: `dmt_image` against the NumPy definition and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from demitasse.errors import DataError
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.resize import resize_bilinear as reference
from demitasse.runtime import library as lib
from demitasse.runtime.image import resize_bilinear
from demitasse.runtime.model import Model
from tests.runtime import builder as b

SIDES = (1, 2, 3, 5, 16, 17, 64, 101)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_resize_is_numpys(channels: int) -> None:
    for h in SIDES:
        for height in SIDES:
            image = noise(h, 120 - h, channels)
            np.testing.assert_array_equal(
                resize_bilinear(image, height, 7), reference(image, height, 7)
            )
            np.testing.assert_array_equal(
                resize_bilinear(image, 3, 2 * height), reference(image, 3, 2 * height)
            )


@pytest.mark.parametrize(("m", "n"), [(1, 16384), (16384, 1), (16384, 16383), (16383, 16384)])
def test_the_longest_sides_do_not_overflow(m: int, n: int) -> None:
    image = noise(1, m, 1)
    np.testing.assert_array_equal(resize_bilinear(image, 1, n), reference(image, 1, n))
    tall = image.reshape(m, 1, 1)
    np.testing.assert_array_equal(resize_bilinear(tall, n, 1), reference(tall, n, 1))


def test_resize_by_hand() -> None:
    """Doubling 0, 100: outputs stand at -1/4, 1/4, 3/4, 5/4 of the distance."""
    row = np.array([[[0], [100]]], np.uint8)
    assert resize_bilinear(row, 1, 4).ravel().tolist() == [0, 25, 75, 100]
    assert resize_bilinear(row, 2, 1).ravel().tolist() == [50, 50]
    assert resize_bilinear(np.full((3, 5, 1), 255, np.uint8), 9, 4).ravel().tolist() == [255] * 36


def test_resize_refuses_what_it_cannot() -> None:
    for image, height in ((noise(0, 3, 1), 3), (noise(3, 3, 1), 0), (noise(3, 3, 1), 16385)):
        with pytest.raises(DataError, match=r"out of 1\.\.16384"):
            resize_bilinear(image, height, 3)
    with pytest.raises(DataError, match="not a uint8 image"):
        resize_bilinear(noise(3, 3), 3, 3)
    with pytest.raises(DataError, match="not a uint8 image"):
        resize_bilinear(np.zeros((3, 3, 1)), 3, 3)


def camera(
    preprocess: Preprocess,
    shape: tuple[int, int, int],
    dtype: str = "float32",
    scale: float = 1.0,
    zero_point: int = 0,
) -> Model:
    """A model of one input alone that prepares pictures so."""
    channels = shape[0]
    order = ("gray", "rgb", "bgr").index(preprocess.network_order(channels))
    fit = 1 if preprocess.letterbox else 2 if preprocess.crop and not preprocess.resize else 0
    prep = b.Prep(order=order, fit=fit, resize=preprocess.resize or (0, 0))
    if preprocess.mean_image is None:
        data = preprocess.tables(channels, dtype, scale, zero_point).tobytes()
    else:
        data = preprocess.mean_blob((1, *shape)).tobytes()
        prep.mean, prep.table = 0, b.NONE
        values = preprocess.scale * 4 if len(preprocess.scale) == 1 else (*preprocess.scale, 0.0)
        prep.scale = values[0], values[1], values[2], values[3]
    tensor = b.Tensor((1, *shape), 64, dtype, scale, zero_point, name="data")
    return Model(
        b.File(
            [tensor],
            inputs=[(0, "data")],
            outputs=[(0, "data")],
            prep=[prep],
            data=data,
            arena=1 << 20,
        ).build()
    )


MEAN_IMAGE = np.random.default_rng(1).uniform(0, 255, (3, 12, 14)).astype(np.float32)

CASES = {
    "stretch": (Preprocess(mean=(104, 117, 123)), (3, 8, 6)),
    "rgb_scaled": (Preprocess(order="rgb", mean=(1, 2, 3), scale=(0.5, 0.25, 0.017)), (3, 9, 31)),
    "gray": (Preprocess(scale=(1 / 256,)), (1, 7, 5)),
    "cut": (Preprocess(resize=(13, 10), crop=True), (3, 5, 6)),
    "cut_odd": (Preprocess(resize=(12, 11), crop=True), (3, 8, 5)),
    "crop": (Preprocess(crop=True, scale=(2.0,)), (3, 8, 9)),
    "letterbox": (Preprocess(letterbox=True, mean=(127.5,), scale=(1 / 128,)), (3, 16, 12)),
    "letterbox_flat": (Preprocess(letterbox=True, mean=(9,)), (3, 3, 60)),
    "mean_image": (Preprocess(mean_image=MEAN_IMAGE, scale=(0.1,)), (3, 10, 11)),
    "mean_boxed": (
        Preprocess(mean_image=MEAN_IMAGE, scale=(0.1, 1.0, -3.0), letterbox=True),
        (3, 10, 11),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [(20, 30), (31, 17), (9, 9), (8, 10)])
def test_frames_are_prepared_as_the_preprocessing_says(case: str, size: tuple[int, int]) -> None:
    preprocess, shape = CASES[case]
    image = noise(*size, 3)
    expected = preprocess.to_blob(image, (1, *shape))
    model = camera(preprocess, shape)
    np.testing.assert_array_equal(model.image("data", image), expected)
    np.testing.assert_array_equal(model.image("data", image[..., ::-1], "bgr"), expected)
    bgra = np.dstack([image[..., ::-1], noise(*size, 1)])
    np.testing.assert_array_equal(model.image("data", bgra, "bgra"), expected)
    gray = noise(*size, 1)
    np.testing.assert_array_equal(
        model.image("data", gray, "gray"), preprocess.to_blob(gray, (1, *shape))
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "scale", "zero"), [("int8", 0.75, -3), ("int8", 0.01, 127), ("int16", 2.0**-7, 0)]
)
def test_integer_inputs_hold_the_quantized_values(
    case: str, dtype: str, scale: float, zero: int
) -> None:
    preprocess, shape = CASES[case]
    image = noise(11, 12, 3)
    model = camera(preprocess, shape, dtype, scale, zero)
    blob = preprocess.to_blob(image, (1, *shape))
    model.image("data", image)
    stored = model._inputs[0].stored()
    with np.errstate(over="ignore"):
        steps = np.floor(blob * np.float32(1 / np.float64(np.float32(scale))) + np.float32(0.5))
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(stored, np.clip(steps + zero, limits.min, limits.max))


@pytest.mark.parametrize("size", [(8, 6), (2, 2), (36, 50)])
def test_nv12_is_opencvs(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    height, width = size
    planes = noise(height * 3 // 2, width)
    rgb = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12)
    for preprocess in (Preprocess(order="rgb"), Preprocess(), Preprocess(letterbox=True)):
        model = camera(preprocess, (3, 7, 9))
        expected = preprocess.to_blob(rgb, (1, 3, 7, 9))
        np.testing.assert_array_equal(model.image("data", planes, "nv12"), expected)


def test_nv12_by_hand() -> None:
    """Studio swing: 16 is black, 235 white; neutral chroma is gray, the extremes saturate."""
    model = camera(Preprocess(order="rgb"), (3, 2, 2))

    def colour(y: int, u: int, v: int) -> list[float]:
        planes = np.array([[y, y], [y, y], [u, v]], np.uint8)
        return model.image("data", planes, "nv12")[0, :, 0, 0].tolist()

    assert colour(16, 128, 128) == [0, 0, 0]
    assert colour(0, 128, 128) == [0, 0, 0]
    assert colour(235, 128, 128) == [255, 255, 255]
    assert colour(126, 128, 128) == [128, 128, 128]
    assert colour(255, 255, 255) == [255, 125, 255]
    assert colour(81, 90, 240) == [254, 0, 0]  # pure red


def test_rows_of_a_frame_may_have_gaps() -> None:
    """At the C interface: only width * 3 bytes of each row count."""
    model, wide = camera(Preprocess(order="rgb"), (3, 4, 5)), noise(9, 11, 3)
    frame = lib.Frame(wide.ctypes.data, None, 7, 9, 33, lib.PIXELS["rgb"])
    assert lib.load().dmt_image(model._context, 0, frame) == lib.OK
    expected = reference(wide[:, :7], 4, 5).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(model._inputs[0].read(), expected)
    for field, value in (("row_stride", 20), ("width", 0), ("height", 16385), ("data", None)):
        broken = lib.Frame.from_buffer_copy(frame)
        setattr(broken, field, value)
        assert lib.load().dmt_image(model._context, 0, broken) == lib.E_IMAGE
    nv12 = lib.Frame(wide.ctypes.data, None, 6, 4, 33, lib.PIXELS["nv12"])
    assert lib.load().dmt_image(model._context, 0, nv12) == lib.E_IMAGE  # without chroma


def test_what_does_not_fit_is_said() -> None:
    model = camera(Preprocess(crop=True), (3, 8, 9))
    with pytest.raises(DataError, match="takes no 8x20 rgb frame"):
        model.image("data", noise(20, 8, 3))
    with pytest.raises(DataError, match="no input 'image'"):
        model.image("image", noise(20, 20, 3))
    with pytest.raises(DataError, match="unknown layout 'yuv'"):
        model.image("data", noise(20, 20, 3), "yuv")
    with pytest.raises(DataError, match="3 channels are not bgra"):
        model.image("data", noise(20, 20, 3), "bgra")
    with pytest.raises(DataError, match="no whole chroma plane"):
        model.image("data", noise(20, 20), "nv12")
    plain = Model(b.chain().build())
    with pytest.raises(DataError, match="compile with preprocessing"):
        plain.image("data", noise(20, 20, 3))
