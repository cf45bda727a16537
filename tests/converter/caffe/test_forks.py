"""Layers and fields of forks, against loops written from their definitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from support.written import Load, answer, data_net, layer

from demitasse.errors import DemitasseError, DemitasseWarning

F = np.float32
rng = np.random.default_rng(5)


def values(*shape: int) -> np.ndarray:
    return rng.normal(0, 2, shape).astype(F)


def one(load: Load, kind: str, param: str, x: np.ndarray, weights=None) -> np.ndarray:
    """What a net of one layer makes of x."""
    text = data_net(*x.shape) + layer("y", kind, "data", more=param)
    return answer(load(text, None if weights is None else {"y": weights}), x)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


X = values(2, 12, 4, 6)


@pytest.mark.parametrize(
    ("kind", "param", "function"),
    [
        ("Clip", "clip_param { min: -0.5 max: 1.25 }", lambda x: min(max(x, -0.5), 1.25)),
        ("Clip", "clip_param { min: 1 max: -1 }", lambda x: -1.0),
        ("ReLU6", "", lambda x: min(max(x, 0), 6)),
        ("ReLU6", "relu6_param { threshold: 1.5 }", lambda x: min(max(x, 0), 1.5)),
        (
            "ReLU6",
            "relu6_param { negative_slope: 0.1 threshold: 2 }",
            lambda x: min(x if x > 0 else 0.1 * x, 2),
        ),
        ("Mish", "", lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
        ("HardSwish", "", lambda x: x * min(max(x + 3, 0), 6) / 6),
        ("HardSigmoid", "hardsigmoid_param { }", lambda x: min(max(0.2 * x + 0.5, 0), 1)),
        (
            "HardSigmoid",
            "hardsigmoid_param { alpha: 0.3 beta: 0.4 }",
            lambda x: min(max(0.3 * x + 0.4, 0), 1),
        ),
        ("SiLU", "", lambda x: x / (1 + np.exp(-x))),
        ("SpatialDropout", "spatial_dropout_param { dropout_ratio: 0.3 }", lambda x: x),
    ],
)
def test_functions(load: Load, kind: str, param: str, function) -> None:
    expected = np.vectorize(function, otypes=[float])(X.astype(np.float64))
    close(one(load, kind, param, X), expected.astype(F))


def test_a_hard_sigmoid_without_parameter_is_half_a_hard_swish(load: Load) -> None:
    with pytest.warns(DemitasseWarning, match="x / 6"):
        found = one(load, "HardSigmoid", "", X)
    close(found, np.clip(X / F(6) + F(0.5), 0, 1))


@pytest.mark.parametrize("shape", [(2, 12), (2, 12, 1, 1)])
def test_axpy(load: Load, shape: tuple[int, ...]) -> None:
    text = data_net(*X.shape) + layer("y", "Axpy", "scale data other")
    text += data_net(*shape).replace("data", "scale") + data_net(*X.shape).replace("data", "other")
    graph = load(text)
    assert graph.inputs == ("data", "scale", "other")
    scale, other = values(*shape), values(*X.shape)
    close(answer(graph, X, scale, other), scale.reshape(2, 12, 1, 1) * X + other)


@pytest.mark.parametrize("operation", ["SUM", "PROD", "MAX"])
def test_eltwise_spreads_single_pixels(load: Load, operation: str) -> None:
    text = data_net(2, 12, 1, 1) + 'input: "x" input_shape { dim: 2 dim: 12 dim: 4 dim: 6 }'
    text += layer("y", "Eltwise", "data x", more=f"eltwise_param {{ operation: {operation} }}")
    with pytest.warns(DemitasseWarning, match="spread"):
        graph = load(text)
    pixel = values(2, 12, 1, 1)
    function = {"SUM": np.add, "PROD": np.multiply, "MAX": np.maximum}[operation]
    close(answer(graph, pixel, X), function(pixel, X))


def test_eltwise_spreads_nothing_else(load: Load) -> None:
    text = data_net(2, 12, 4, 1) + 'input: "x" input_shape { dim: 2 dim: 12 dim: 4 dim: 6 }'
    with pytest.raises(DemitasseError, match="differ in shape"):
        load(text + layer("y", "Eltwise", "data x"))


@pytest.mark.parametrize("name", ["shuffle_channel_param", "channel_shuffle_param"])
def test_shuffle(load: Load, name: str) -> None:
    for group in (1, 3, 4):
        found = one(load, "ShuffleChannel", f"{name} {{ group: {group} }}", X)
        expected = np.empty_like(X)
        size = 12 // group
        for g, c in product(range(group), range(size)):
            expected[:, c * group + g] = X[:, g * size + c]
        np.testing.assert_array_equal(found, expected)


def reorganized(x: np.ndarray, stride: int, reverse: bool) -> np.ndarray:
    """Darknet's loops over flat memory: the large image and the deep one."""
    n, c, h, w = x.shape
    few = c // stride**2
    out = np.zeros(x.size, F)
    flat = x.ravel()
    for b, k, j, i in product(range(n), range(c), range(h), range(w)):
        deep = i + w * (j + h * (k + c * b))
        offset = k // few
        column, row = i * stride + offset % stride, j * stride + offset // stride
        large = column + w * stride * (row + h * stride * (k % few + few * b))
        if reverse:
            out[large] = flat[deep]
        else:
            out[deep] = flat[large]
    if reverse:
        return out.reshape(n, few, h * stride, w * stride)
    return out.reshape(n, c * stride**2, h // stride, w // stride)


@pytest.mark.parametrize("reverse", [False, True])
def test_reorg_has_the_order_of_darknet(load: Load, reverse: bool) -> None:
    param = f"reorg_param {{ stride: 2 reverse: {str(reverse).lower()} }}"
    graph = load(data_net(*X.shape) + layer("y", "Reorg", "data", more=param))
    for x in (X, values(3, 12, 6, 10)):
        np.testing.assert_array_equal(answer(graph, x), reorganized(x, 2, reverse))


SIZES = {
    "Tile": "tile_param { axis: 2 tiles: 3 }",
    "ShuffleChannel": "shuffle_channel_param { group: 3 }",
    "PixelShuffle": "pixelshuffle_param { upscale_factor: 2 }",
    "Focus": "",
    "Pad": "pad_param { pad_u: 1 pad_r: 2 pad_value: 0.5 }",
    "Reverse": "reverse_param { axis: 3 }",
    "ArgMax": "argmax_param { top_k: 2 out_max_val: true }",
    "Reduction": "reduction_param { axis: 2 }",
    "Unsqueeze": "unsqueeze_param { dim: 2 }",
    "SPP": "spp_param { pyramid_height: 2 pool: AVE }",
    "Upsample": "upsample_param { scale: 2 }",
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.filterwarnings("ignore:.*YOLO")
def test_other_sizes_than_the_text_says(load: Load, kind: str) -> None:
    """Shapes are inferred anew from the input, as Caffe's Reshape does."""
    x = values(3, 12, 6, 10)
    graph = load(data_net(*X.shape) + layer("y", kind, "data", more=SIZES[kind]))
    np.testing.assert_array_equal(answer(graph, x), one(load, kind, SIZES[kind], x))


def test_pixel_shuffle(load: Load) -> None:
    found = one(load, "PixelShuffle", "pixelshuffle_param { upscale_factor: 2 }", X)
    expected = np.empty((2, 3, 8, 12), F)
    for c, i, j in product(range(3), range(2), range(2)):
        expected[:, c, i::2, j::2] = X[:, 4 * c + 2 * i + j]
    np.testing.assert_array_equal(found, expected)


def test_focus(load: Load) -> None:
    parts = [X[..., ::2, ::2], X[..., 1::2, ::2], X[..., ::2, 1::2], X[..., 1::2, 1::2]]
    np.testing.assert_array_equal(one(load, "Focus", "", X), np.concatenate(parts, 1))


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize(
    ("kind", "mode"), [("CONSTANT", "constant"), ("REPLICATE", "edge"), ("REFLECT", "reflect")]
)
def test_pad(load: Load, kind: str, mode: str, rank: int) -> None:
    x = values(*(2, 3, 5, 4)[4 - rank :])
    sizes = "pad_u: 1 pad_d: 2 pad_l: 3 pad_r: 0"
    more = {"constant_values": 1.5} if kind == "CONSTANT" else {}
    param = f"pad_param {{ pad_type: {kind} {sizes} pad_value: 1.5 }}"
    margins = [(0, 0)] * (rank - 2) + [(1, 2), (3, 0)]
    close(one(load, "Pad", param, x), np.pad(x, margins, mode, **more))


def test_pad_crops(load: Load) -> None:
    param = "pad_param { pad_u: -1 pad_d: -1 pad_l: -2 pad_r: -1 }"
    np.testing.assert_array_equal(one(load, "Pad", param, X), X[:, :, 1:-1, 2:-1])


@pytest.mark.parametrize(
    "param", ["dim: 0 dim: 3 dim: 1 dim: 2", "dim { dim: 0 dim: 3 dim: 1 dim: 2 }"]
)
def test_transpose(load: Load, param: str) -> None:
    found = one(load, "Transpose", f"transpose_param {{ {param} }}", X)
    np.testing.assert_array_equal(found, X.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("dim", "shape"), [(0, (1, 2, 3)), (1, (2, 1, 3)), (-1, (2, 3, 1))])
def test_unsqueeze(load: Load, dim: int, shape: tuple[int, ...]) -> None:
    x = values(2, 3)
    found = one(load, "Unsqueeze", f"unsqueeze_param {{ dim: {dim} }}", x)
    np.testing.assert_array_equal(found, x.reshape(shape))


def test_reverse(load: Load) -> None:
    np.testing.assert_array_equal(one(load, "Reverse", "", X), X[::-1])
    found = one(load, "Reverse", "reverse_param { axis: 1 axis: -1 }", X)
    np.testing.assert_array_equal(found, X[:, ::-1, :, ::-1])


@pytest.mark.parametrize(
    ("param", "rows", "columns"),
    [
        ("crop_h: 2 crop_w: 3 offset_h: 1 offset_w: 2", slice(1, 3), slice(2, 5)),
        ("crop_h: 2 crop_w: 4 center_crop: true", slice(1, 3), slice(1, 5)),
        ("type: CENTER crop_h: 4 crop_w: 2", slice(0, 4), slice(2, 4)),
        ("offset_h: 0 crop_w: 6 crop_h: 3", slice(0, 3), slice(0, 6)),
    ],
)
def test_crops_of_forks(load: Load, param: str, rows: slice, columns: slice) -> None:
    found = one(load, "Crop", f"crop_param {{ {param} }}", X)
    np.testing.assert_array_equal(found, X[:, :, rows, columns])


def test_stochastic_pooling(load: Load) -> None:
    x = np.maximum(values(1, 3, 5, 6), 0)
    x[0, 0, :3] = 0
    param = "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }"
    expected = np.zeros((1, 3, 3, 3), F)
    for c, i, j in product(range(3), range(3), range(3)):
        window = x[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].astype(np.float64)
        if window.sum() > 0:
            expected[0, c, i, j] = (window**2).sum() / window.sum()
    close(one(load, "Pooling", param, x), expected)


# --- BatchNorm ------------------------------------------------------------------------------------

MEAN, VARIANCE = values(12), rng.uniform(0.3, 2, 12).astype(F)
SCALE, BIAS = values(12), values(12)


def normalized(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float) -> np.ndarray:
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + F(eps))


def scaled(y: np.ndarray) -> np.ndarray:
    shape = (1, -1, *(1,) * (y.ndim - 2))
    return y * SCALE.reshape(shape) + BIAS.reshape(shape)


@pytest.mark.parametrize("x", [X, values(3, 12)], ids=["image", "row"])
@pytest.mark.parametrize(
    ("kind", "param", "blobs", "eps"),
    [
        ("BatchNorm", "", [MEAN * 4, VARIANCE * 4, [4], SCALE, BIAS], None),
        ("BatchNorm", "eps: 1e-7", [MEAN, VARIANCE, [0], SCALE, BIAS], 1e-5),
        ("BatchNorm", "eps: 0.1 scale_bias: true", [SCALE, BIAS, MEAN, VARIANCE, [9]], 0.1),
        ("BatchNorm", "use_weight_bias: true", [MEAN * 4, VARIANCE * 4, [4], SCALE, BIAS], 1e-5),
        ("CuDNNBatchNorm", "eps: 0.01", [MEAN * 4, VARIANCE * 4, [4]], 0.01),
        ("SyncBN", "", [MEAN, VARIANCE, [1]], 1e-5),
    ],
)
def test_batch_norms(load: Load, kind, param, blobs, eps, x) -> None:
    found = one(load, kind, f"batch_norm_param {{ {param} }}", x, blobs)
    mean, variance = (MEAN, VARIANCE) if eps is not None else (MEAN * 4, VARIANCE * 4)
    y = normalized(x, mean, variance, 1e-5 if eps is None else eps)
    close(found, scaled(y) if len(blobs) == 5 else y)


def test_bn_of_yjxiong(load: Load) -> None:
    blobs = [blob.reshape(1, 12) for blob in (SCALE, BIAS, MEAN, VARIANCE)]
    found = one(load, "BN", "bn_param { eps: 0.01 frozen: true }", X, blobs)
    close(found, scaled(normalized(X, MEAN, VARIANCE, 0.01)))


def test_bn_of_segnet(load: Load) -> None:
    blobs = [blob.reshape(1, 12, 1, 1) for blob in (SCALE, BIAS)]
    close(one(load, "BN", "bn_param { bn_mode: INFERENCE }", X, blobs), scaled(X))
    with pytest.raises(DemitasseError, match="LEARN"):
        one(load, "BN", "", X, blobs)


def test_fused_relu(load: Load) -> None:
    def leaky(y: np.ndarray, slope: float) -> np.ndarray:
        return np.where(y > 0, y, F(slope) * y)

    weight, bias = values(3, 12, 1, 1), values(3)
    param = "convolution_param { num_output: 3 kernel_size: 1 relu: true negative_slope: 0.25 }"
    plain = np.einsum("nchw,oc->nohw", X, weight[..., 0, 0]) + bias.reshape(1, 3, 1, 1)
    np.testing.assert_allclose(
        one(load, "Convolution", param, X, [weight, bias]), leaky(plain, 0.25), atol=1e-5
    )
    found = one(load, "BatchNorm", "batch_norm_param { relu: true }", X, [MEAN, VARIANCE, [1]])
    close(found, leaky(normalized(X, MEAN, VARIANCE, 1e-5), 0))
    flat = X.reshape(2, -1)
    weight = values(3, flat.shape[1])
    found = one(
        load,
        "InnerProduct",
        "inner_product_param { num_output: 3 relu: true bias_term: false }",
        X,
        [weight],
    )
    np.testing.assert_allclose(found, leaky(flat @ weight.T, 0), atol=2e-4)


def test_holes_are_dilation(load: Load) -> None:
    weight = [values(2, 12, 2, 2), values(2)]
    spread = "convolution_param { num_output: 2 kernel_size: 2 %s }"
    known = one(load, "Convolution", spread % "dilation: 2 dilation: 3", X, weight)
    for param in ("hole_h: 2 hole_w: 3", "dilation_h: 2 dilation_w: 3"):
        found = one(load, "Convolution", spread % param, X, weight)
        np.testing.assert_array_equal(found, known)


def test_depthwise_along_a_line(load: Load) -> None:
    x, weight = values(2, 3, 7), values(3, 1, 3)
    param = "convolution_param { num_output: 3 kernel_size: 3 bias_term: false }"
    expected = np.zeros((2, 3, 5), F)
    for c, i in product(range(3), range(5)):
        expected[:, c, i] = x[:, c, i : i + 3] @ weight[c, 0]
    close(one(load, "DepthwiseConvolution", param, x, [weight]), expected)


# --- Constants ------------------------------------------------------------------------------------

DUMMY = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { %s shape { dim: 2 } } }\n'


def test_dummy_data_beside_an_input_is_a_constant(load: Load) -> None:
    text = data_net(2) + DUMMY % "" + layer("y", "Eltwise", "data d")
    graph = load(text)
    assert graph.inputs == ("data",)
    np.testing.assert_array_equal(answer(graph, [3, 4]), [3, 4])
    graph = load(text.replace("shape { dim: 2 } }", "shape { dim: 2 } data_filler { value: 2 } }"))
    np.testing.assert_array_equal(answer(graph, [3, 4]), [5, 6])


def test_dummy_data_stands_for_inputs(load: Load) -> None:
    assert load(DUMMY % "" + layer("y", "ReLU", "d")).inputs == ("d",)
    random = DUMMY % 'data_filler { type: "gaussian" }'
    graph = load(data_net(2) + random + layer("y", "Eltwise", "data d"))
    assert graph.inputs == ("data", "d")


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "param", "message"),
    [
        ("Exp", "exp_param { base: 0 }", "base"),
        ("Log", "log_param { base: -2 }", "base"),
        ("Log", "log_param { base: 1 }", "base 1"),
        ("Clip", "clip_param { min: 1 }", "no max"),
        ("Tile", "", "no tiles"),
        ("Tile", "tile_param { axis: 4 tiles: 2 }", "axis 4"),
        ("Tile", "tile_param { tiles: 0 }", "positive"),
        ("ArgMax", "argmax_param { top_k: 0 }", "top_k"),
        ("ArgMax", "argmax_param { top_k: 289 }", "top_k 289"),
        ("ArgMax", "argmax_param { axis: 3 top_k: 7 }", "top_k 7"),
        ("Reduction", "reduction_param { axis: 5 }", "axis 5"),
        ("Embed", "embed_param { num_output: 3 }", "input_dim 0"),
        ("SPP", "spp_param { pyramid_height: 0 }", "pyramid_height"),
        ("SPP", "spp_param { pyramid_height: 4 }", "pad"),
        ("Im2col", "", "kernel_size"),
        ("ShuffleChannel", "shuffle_channel_param { group: 5 }", "group 5"),
        ("Reorg", "", "stride"),
        ("Reorg", "reorg_param { stride: 3 }", "stride 3"),
        ("PixelShuffle", "pixelshuffle_param { upscale_factor: 5 }", "upscale_factor 5"),
        ("Transpose", "transpose_param { dim: 0 dim: 1 }", "axes"),
        ("Pad", "pad_param { pad_u: 1 pad_l: -1 }", "sides"),
        ("Pad", "pad_param { pad_type: REFLECT pad_u: 4 }", "mirrored"),
        ("Crop", "crop_param { crop_h: 9 crop_w: 2 }", "cut"),
        ("Unsqueeze", "", "no dim"),
        ("Convolution", "convolution_param { num_output: 2 kernel_size: 1 axis: 4 }", "axis 4"),
        (
            "Convolution",
            "convolution_param { num_output: 2 kernel_h: 1 kernel_w: 1 axis: 2 }",
            "2 spatial axes",
        ),
    ],
)
def test_refusals(load: Load, kind: str, param: str, message: str) -> None:
    with pytest.raises(DemitasseError, match=message):
        one(load, kind, param, X)


def test_windows_over_four_axes_are_refused(load: Load) -> None:
    text = data_net(1, 2, 3, 3, 3, 3)
    more = "convolution_param { num_output: 2 kernel_size: 1 }"
    with pytest.raises(DemitasseError, match="4 axes"):
        load(text + layer("y", "Convolution", "data", more=more))
