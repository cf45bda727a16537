"""Forks' layers that make images larger or smaller, against loops written from their definitions.

Caffe itself has none of them. Every case runs through the reader, the NumPy reference and the
float32 C runtime.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import demitasse
from demitasse.errors import DemitasseError, DemitasseWarning

Array = np.ndarray
rng = np.random.default_rng(5)
DATA = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)


@pytest.fixture
def run(load, tmp_path: Path) -> Callable[..., Array]:
    """run(text, x, ...) gives the net's only output, proven to be the C runtime's too."""

    def run_text(text: str, *arrays: Array, **options) -> Array:
        names = [f"x{i}" for i in range(len(arrays))]
        inputs = dict(zip(names, arrays, strict=True))
        heads = ""
        for name, array in inputs.items():
            dims = "".join(f" dim: {n}" for n in array.shape)
            heads += f'input: "{name}" input_shape {{{dims} }}\n'
        graph = load(heads + text, **options)
        (found,) = demitasse.evaluate(graph, inputs).values()
        demitasse.compile(graph, tmp_path / "net.demi", precision="fp32")
        (same,) = demitasse.Model.open(tmp_path / "net.demi").run(inputs).values()
        np.testing.assert_allclose(same, found, rtol=1e-5, atol=1e-5)
        return found

    return run_text


def layer(kind: str, params: str = "", bottoms: int = 1) -> str:
    reads = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    return f'layer {{ name: "l" type: "{kind}" {reads} top: "y" {params} }}'


# --- Upsample, the first: pixels repeat ---


def repeated(x: Array, height: int, width: int) -> Array:
    y = np.zeros((*x.shape[:2], x.shape[2] * height, x.shape[3] * width), np.float32)
    for at in np.ndindex(y.shape):
        y[at] = x[at[0], at[1], at[2] // height, at[3] // width]
    return y


@pytest.mark.parametrize(
    ("params", "factors"),
    [
        ("scale: 2", (2, 2)),
        ("scale: 3", (3, 3)),
        ("", (1, 1)),
        ("scale_h: 2 scale_w: 4", (2, 4)),
        ("scale: 1 stride: 2", (2, 2)),
        ("stride_h: 3 stride_w: 2", (3, 2)),
        ("upsample_h: 10 upsample_w: 7", (2, 1)),
        ("scale: 2 mode: NEAREST", (2, 2)),
    ],
)
def test_upsample_repeats_pixels(run, params: str, factors: tuple[int, int]) -> None:
    found = run(layer("Upsample", f"upsample_param {{ {params} }}"), DATA, dialect="yolo")
    np.testing.assert_array_equal(found, repeated(DATA, *factors))


def test_what_upsample_means_is_said(run) -> None:
    text = layer("Upsample", "upsample_param { scale: 2 }")
    with pytest.warns(DemitasseWarning, match=r"layer 'l': Upsample is read as YOLO's"):
        run(text, DATA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(text, DATA, dialect="yolo")
        run(text.replace("scale: 2", "scale: 2 mode: BILINEAR"), DATA)


@pytest.mark.parametrize(
    "params",
    ["scale: 0", "scale: -1", "scale: 1.5", "upsample_h: 9 upsample_w: 7", "scale: 2 stride: 2"],
)
def test_upsample_refuses(load, params: str) -> None:
    head = 'input: "x0" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }\n'
    with pytest.raises(DemitasseError, match="layer 'l'"):
        load(head + layer("Upsample", f"upsample_param {{ {params} }}"))
    with pytest.raises(DemitasseError, match="mask as second bottom"):
        load(head + layer("Upsample"), dialect="segnet")


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_nn_upsample(run, factor: int) -> None:
    found = run(layer("NNUpsample", f"nn_upsample_param {{ resize: {factor} }}"), DATA)
    np.testing.assert_array_equal(found, repeated(DATA, factor, factor))


# --- Upsample, the second, and MaxUnpool: back to where the maxima were ---


def scattered(x: Array, mask: Array, height: int, width: int) -> Array:
    y = np.zeros((*x.shape[:2], height * width), np.float32)
    for n, c, row, column in np.ndindex(x.shape):
        at = int(mask[n, c, row, column])
        if 0 <= at < height * width:
            y[n, c, at] = x[n, c, row, column]
    return y.reshape(*x.shape[:2], height, width)


UNPOOLS = {
    "Upsample": [
        ("upsample_param { }", (10, 14)),
        ("upsample_param { scale: 3 }", (15, 21)),
        ("upsample_param { scale_h: 2 scale_w: 3 }", (10, 21)),
        ("upsample_param { upsample_h: 9 upsample_w: 11 }", (9, 11)),
        ("upsample_param { upsample_h: 9 upsample_w: 11 scale: 7 }", (9, 11)),
        ("upsample_param { scale: 2 pad_out_h: true }", (9, 14)),
        ("upsample_param { scale: 2 pad_out_h: true pad_out_w: true }", (9, 13)),
    ],
    "MaxUnpool": [
        ("max_unpool_param { dst_h: 9 dst_w: 15 }", (9, 15)),
        ("upsample_param { scale: 2 }", (10, 14)),
        ("pooling_param { pool: MAX kernel_size: 2 stride: 2 }", (10, 14)),
        ("pooling_param { kernel_size: 3 stride: 2 pad: 1 }", (9, 13)),
        ("pooling_param { kernel_h: 3 kernel_w: 2 stride: 2 }", (11, 14)),
    ],
}


@pytest.mark.parametrize(
    ("kind", "params", "size"),
    [(kind, *case) for kind, cases in UNPOOLS.items() for case in cases],
)
def test_unpooling(run, kind: str, params: str, size: tuple[int, int]) -> None:
    # places repeat: the last value in row order stands
    mask = rng.integers(-1, size[0] * size[1], DATA.shape).astype(np.float32)
    found = run(layer(kind, params, bottoms=2), DATA, mask)
    np.testing.assert_array_equal(found, scattered(DATA, mask, *size))


def test_pooling_and_back(run) -> None:
    text = (
        'layer { name: "pool" type: "Pooling" bottom: "x0" top: "pool" top: "mask" '
        "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
        'layer { name: "back" type: "Upsample" bottom: "pool" bottom: "mask" top: "y" '
        "upsample_param { scale: 2 pad_out_h: true pad_out_w: true } }"
    )
    expected = np.zeros_like(DATA)
    for n, c, row, column in np.ndindex(2, 3, 3, 4):
        window = DATA[n, c, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        y, x = np.unravel_index(window.argmax(), window.shape)
        expected[n, c, 2 * row + y, 2 * column + x] = window[y, x]
    np.testing.assert_array_equal(run(text, DATA), expected)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("scale: 1", "more than 1"),
        ("scale: 2 scale_h: 2 scale_w: 2", "needs one of"),
        ("scale_h: 2", "needs one of"),
        ("upsample_h: 1 upsample_w: 9", "above 1"),
        ("scale: 3 pad_out_h: true", "pad_out_h needs scale 2"),
        ("scale_h: 2 scale_w: 3 pad_out_w: true", "pad_out_w needs scale 2"),
    ],
)
def test_unpooling_refuses(load, params: str, said: str) -> None:
    head = 'input: "x%d" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }\n'
    with pytest.raises(DemitasseError, match=said):
        load(head % 0 + head % 1 + layer("Upsample", f"upsample_param {{ {params} }}", 2))
    other = head.replace("7", "6") % 1
    with pytest.raises(DemitasseError, match="the mask has shape"):
        load(head % 0 + other + layer("Upsample", "upsample_param { scale: 2 }", 2))


# --- Interp ---


def aligned(x: Array, height: int, width: int) -> Array:
    """Corner to corner, as DeepLab's and PSPNet's code computes it."""
    y = np.zeros((*x.shape[:2], height, width), np.float32)
    rows = (x.shape[2] - 1) / (height - 1) if height > 1 else 0.0
    columns = (x.shape[3] - 1) / (width - 1) if width > 1 else 0.0
    for row, column in np.ndindex(height, width):
        r, c = min(int(row * rows), x.shape[2] - 1), min(int(column * columns), x.shape[3] - 1)
        down, right = int(r < x.shape[2] - 1), int(c < x.shape[3] - 1)
        b, d = row * rows - r, column * columns - c
        y[:, :, row, column] = (1 - b) * (
            (1 - d) * x[:, :, r, c] + d * x[:, :, r, c + right]
        ) + b * ((1 - d) * x[:, :, r + down, c] + d * x[:, :, r + down, c + right])
    return y


INTERPS = [  # the sizes are worked out by hand for 5 x 7
    ("zoom_factor: 2", (0, 0), (9, 13)),
    ("zoom_factor: 8", (0, 0), (33, 49)),
    ("zoom_factor: 1", (0, 0), (5, 7)),
    ("shrink_factor: 2", (0, 0), (3, 4)),
    ("shrink_factor: 4", (0, 0), (2, 2)),
    ("shrink_factor: 2 zoom_factor: 3", (0, 0), (7, 10)),
    ("height: 9 width: 4", (0, 0), (9, 4)),
    ("height: 1 width: 1", (0, 0), (1, 1)),
    ("height: 5 width: 7", (0, 0), (5, 7)),
    ("height: 9 width: 4 zoom_factor: 2", (0, 0), (9, 13)),
    ("height: 9 width: 4 shrink_factor: 2", (0, 0), (3, 4)),
    ("height: 9 width: 4 shrink_factor: 2 zoom_factor: 3", (0, 0), (9, 4)),
    ("height: 9 shrink_factor: 2 zoom_factor: 3", (0, 0), (7, 10)),
    ("zoom_factor: 2 pad_beg: -1", (1, 0), (7, 11)),
    ("zoom_factor: 2 pad_end: -2", (0, 2), (5, 9)),
    ("height: 8 width: 8 pad_beg: -1 pad_end: -1", (1, 1), (8, 8)),
    ("shrink_factor: 3 pad_beg: 0 pad_end: -4", (0, 4), (1, 1)),
]


@pytest.mark.parametrize(("params", "crop", "size"), INTERPS)
def test_interp(run, params: str, crop: tuple[int, int], size: tuple[int, int]) -> None:
    found = run(layer("Interp", f"interp_param {{ {params} }}"), DATA)
    inside = DATA[:, :, crop[0] : 5 - crop[1], crop[0] : 7 - crop[1]]
    assert found.shape == (2, 3, *size)
    np.testing.assert_allclose(found, aligned(inside, *size), rtol=1e-5, atol=1e-5)


def test_interp_to_the_size_of_another_blob(run) -> None:
    other = np.zeros((1, 9, 11, 4), np.float32)
    found = run(layer("Interp", "interp_param { pad_beg: -1 }", 2), DATA[:1], other)
    np.testing.assert_allclose(found, aligned(DATA[:1, :, 1:, 1:], 11, 4), rtol=1e-5, atol=1e-5)


def test_interp_follows_other_input_shapes(load) -> None:
    head = 'input: "x0" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }\n'
    graph = load(head + layer("Interp", "interp_param { zoom_factor: 2 pad_end: -1 }"))
    x = rng.normal(size=(1, 3, 4, 9)).astype(np.float32)
    (found,) = demitasse.evaluate(graph, {"x0": x}).values()
    np.testing.assert_allclose(found, aligned(x[:, :, :-1, :-1], 5, 15), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "bottoms"),
    [
        ("", 1),
        ("height: 9", 1),
        ("zoom_factor: 0", 1),
        ("shrink_factor: -1", 1),
        ("height: 0 width: 4", 1),
        ("zoom_factor: 2 pad_beg: 1", 1),
        ("zoom_factor: 2 pad_beg: -3 pad_end: -2", 1),
        ("zoom_factor: 2", 2),
    ],
)
def test_interp_refuses(load, params: str, bottoms: int) -> None:
    heads = "".join(
        f'input: "x{i}" input_shape {{ dim: 1 dim: 3 dim: 5 dim: 7 }}\n' for i in range(bottoms)
    )
    with pytest.raises(DemitasseError, match="layer 'l'"):
        load(heads + layer("Interp", f"interp_param {{ {params} }}", bottoms))


# --- Other forks' interpolation, which is OpenCV's ---


def opencv(x: Array, height: int, width: int, how: int = cv2.INTER_LINEAR) -> Array:
    planes = [
        cv2.resize(plane, (width, height), interpolation=how) for plane in x.reshape(-1, 5, 7)
    ]
    return np.reshape(planes, (*x.shape[:2], height, width))


HALF_PIXELS = {
    "DeephiResize": [
        ("deephi_resize_param { scale_h: 2 scale_w: 3 resize_type: BILINEAR }", (10, 21)),
        ("deephi_resize_param { scale_h: 0.5 scale_w: 1.5 resize_type: 0 }", (2, 10)),
        ("deephi_resize_param { new_height: 9 new_width: 4 resize_type: BILINEAR }", (9, 4)),
    ],
    "BilinearInterpolate": [
        ("bilinear_interpolate_param { scale_factor: 2 }", (10, 14)),
        ("bilinear_interpolate_param { scale_factor: 1.5 }", (7, 10)),
        ("bilinear_interpolate_param { dst_h: 12 }", (12, 7)),
        ("bilinear_interpolate_param { dst_h: 3 dst_w: 5 }", (3, 5)),
    ],
    "Upsample": [("upsample_param { scale: 2 mode: BILINEAR }", (10, 14))],
}


@pytest.mark.parametrize(
    ("kind", "params", "size"),
    [(kind, *case) for kind, cases in HALF_PIXELS.items() for case in cases],
)
def test_half_pixels(run, kind: str, params: str, size: tuple[int, int]) -> None:
    found = run(layer(kind, params), DATA)
    np.testing.assert_allclose(found, opencv(DATA, *size), rtol=1e-4, atol=1e-5)


def test_bilinear_interpolate_may_align_corners(run) -> None:
    params = "bilinear_interpolate_param { dst_h: 9 dst_w: 11 align_corners: true }"
    found = run(layer("BilinearInterpolate", params), DATA)
    np.testing.assert_allclose(found, aligned(DATA, 9, 11), rtol=1e-5, atol=1e-5)


def test_deephi_repeats_pixels(run) -> None:
    params = "deephi_resize_param { scale_h: 2 scale_w: 3 resize_type: NEAREST }"
    found = run(layer("DeephiResize", params), DATA)
    np.testing.assert_array_equal(found, opencv(DATA, 10, 21, cv2.INTER_NEAREST))


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("DeephiResize", "deephi_resize_param { new_height: 9 }"),
        ("DeephiResize", "deephi_resize_param { scale_w: 2 }"),
        ("DeephiResize", "deephi_resize_param { scale_h: 1.5 scale_w: 1 resize_type: NEAREST }"),
        ("BilinearInterpolate", ""),
        ("BilinearInterpolate", "bilinear_interpolate_param { dst_h: 3 scale_factor: 2 }"),
        ("NNUpsample", "nn_upsample_param { resize: 0 }"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*read as bilinear")
def test_others_refuse(load, kind: str, params: str) -> None:
    head = 'input: "x0" input_shape { dim: 1 dim: 3 dim: 5 dim: 7 }\n'
    with pytest.raises(DemitasseError, match="layer 'l'"):
        load(head + layer(kind, params))
