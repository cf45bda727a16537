"""Reports about BatchNorm and Scale, and about folding them into what stands before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.everywhere import everywhere
from support.written import Load, answer, data_net, layer

import demitasse
from demitasse.converter.ops import Conv2d
from demitasse.converter.passes import optimize

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(1, 3, 4, 4)).astype(np.float32)
CONV = "convolution_param { num_output: 3 kernel_size: 1 %s }"
BIASED = "scale_param { bias_term: true }"


def norm(name: str, bottom: str, top: str | None = None, more: str = "") -> str:
    return layer(name, "BatchNorm", bottom, top, more)


def channels(values: object) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("factor", "mean", "variance"), [(10, 1, 4), (1, 10, 40), (999.982, 10 / 999.982, 40 / 999.982)]
)
def test_the_third_blob_divides_mean_and_variance(
    load: Load, factor: float, mean: float, variance: float
) -> None:
    """59, 60 (caffe#4885, mxnet#6176): the results did not match (x - mean) / sqrt(var + eps), or
    the third blob was taken for a momentum."""
    blobs = [[10] * 3, [40] * 3, [factor]]
    graph = load(data_net(1, 3, 4, 4) + norm("bn", "data"), {"bn": blobs})
    expected = (IMAGE - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(answer(graph, IMAGE), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("more", "eps"), [("", 1e-5), ("batch_norm_param { eps: 1e-3 }", 1e-3)])
def test_eps_is_kept(load: Load, more: str, eps: float) -> None:
    """60: eps of the text was dropped; it tells where variances are small."""
    blobs = [[0] * 3, [1e-4] * 3, [1]]
    graph = load(data_net(1, 3, 4, 4) + norm("bn", "data", more=more), {"bn": blobs})
    np.testing.assert_allclose(answer(graph, IMAGE), IMAGE / np.sqrt(1e-4 + eps), rtol=1e-5)


def test_a_factor_of_zero(load: Load, tmp_path: Path) -> None:
    """66: a division by zero. Caffe takes mean and variance as 0 then."""
    graph = load(data_net(1, 3, 4, 4) + norm("bn", "data"), {"bn": [[7] * 3, [9] * 3, [0]]})
    found = everywhere(graph, tmp_path, IMAGE)
    np.testing.assert_allclose(found, IMAGE / np.sqrt(1e-5), rtol=1e-5)


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
def test_every_layer_has_a_top_of_its_own(load: Load, tmp_path: Path, biased: bool) -> None:
    """62, 63 (TNN#160, Vitis-AI#182): BatchNorm, Scale and ReLU with tops of their own; the Scale
    was folded and its name lost, so that the ReLU had no bottom. Without bias_term, beta is 0."""
    weight, bias = RNG.normal(size=(3, 3, 1, 1)), RNG.normal(size=3)
    mean, variance = RNG.normal(size=3), RNG.uniform(0.5, 2, 3)
    gamma, beta = RNG.normal(size=3), RNG.normal(size=3) if biased else np.zeros(3)
    graph = load(
        data_net(1, 3, 4, 4)
        + layer("conv", "Convolution", "data", more=CONV % "")
        + norm("bn", "conv")
        + layer("sc", "Scale", "bn", more=BIASED if biased else "")
        + layer("relu", "ReLU", "sc"),
        {
            "conv": [weight, bias],
            "bn": [mean, variance, [1]],
            "sc": [gamma, beta][: 1 + biased],
        },
    )
    conv = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], IMAGE) + channels(bias)
    normal = (conv - channels(mean)) / np.sqrt(channels(variance) + 1e-5)
    expected = np.maximum(normal * channels(gamma) + channels(beta), 0)
    np.testing.assert_allclose(everywhere(graph, tmp_path, IMAGE), expected, atol=1e-4)
    assert [type(node.op) for node in optimize(graph).nodes] == [Conv2d]


@pytest.mark.parametrize("before", ["Convolution", "InnerProduct", "Eltwise", "ReLU"])
def test_a_scale_without_a_batch_norm(load: Load, tmp_path: Path, before: str) -> None:
    """64 (Paddle#6693): "the layer before Scale must be BatchNorm"."""
    gamma, beta = RNG.normal(size=3), RNG.normal(size=3)
    weights = {"sc": [gamma, beta]}
    flat = before == "InnerProduct"
    if before == "Convolution":
        text = layer("x", before, "data", more=CONV % "bias_term: false")
        weights["x"] = [np.eye(3).reshape(3, 3, 1, 1)]
        value = IMAGE
    elif flat:
        text = layer("x", before, "data", more="inner_product_param { num_output: 3 axis: 1 }")
        weights["x"] = [np.ones((3, 48)), np.zeros(3)]
        value = np.full((1, 3), IMAGE.sum())
    else:
        text = layer("x", before, "data data" if before == "Eltwise" else "data")
        value = 2 * IMAGE if before == "Eltwise" else np.maximum(IMAGE, 0)
    text += layer("sc", "Scale", "x", more=BIASED)
    found = everywhere(load(data_net(1, 3, 4, 4) + text, weights), tmp_path, IMAGE)
    shape = (1, 3) if flat else (1, 3, 1, 1)
    expected = value * gamma.reshape(shape) + beta.reshape(shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_another_branch_stands_between(load: Load, tmp_path: Path) -> None:
    """67: the fold looked at the layer before in the file, not at the blob; and the BatchNorm's
    value has a second reader."""
    graph = load(
        data_net(1, 3, 4, 4)
        + layer("conv", "Convolution", "data", more=CONV % "bias_term: false")
        + norm("bn", "conv")
        + layer("other", "Convolution", "data", more=CONV % "bias_term: false")
        + layer("sc", "Scale", "bn")
        + layer("both", "Eltwise", "bn sc other"),
        {
            "conv": [np.eye(3).reshape(3, 3, 1, 1)],
            "other": [2 * np.eye(3).reshape(3, 3, 1, 1)],
            "bn": [[1, 1, 1], [4, 4, 4], [1]],
            "sc": [[10, 20, 30]],
        },
    )
    normal = (IMAGE - 1) / np.sqrt(4 + 1e-5)
    expected = normal * (1 + channels([10, 20, 30])) + 2 * IMAGE
    np.testing.assert_allclose(everywhere(graph, tmp_path, IMAGE), expected, atol=1e-4)


def test_a_batch_norm_behind_a_classifier(load: Load, tmp_path: Path) -> None:
    """68 (NVIDIA/caffe#506): a 2-D bottom crashed it; axis 1 is the channel at any rank."""
    weight, mean = RNG.normal(size=(5, 48)), RNG.normal(size=5)
    graph = load(
        data_net(1, 3, 4, 4)
        + layer(
            "fc",
            "InnerProduct",
            "data",
            more="inner_product_param { num_output: 5 bias_term: false }",
        )
        + norm("bn", "fc"),
        {"fc": [weight], "bn": [mean, [4] * 5, [1]]},
    )
    expected = (IMAGE.reshape(1, -1) @ weight.T - mean) / np.sqrt(4 + 1e-5)
    np.testing.assert_allclose(everywhere(graph, tmp_path, IMAGE), expected, atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_the_folded_bias_is_an_integer_of_the_accumulator(
    load: Load, tmp_path: Path, precision: str
) -> None:
    """70 (caffe-int8-convert-tools#27, #44): a convolution without bias gets one by folding, and
    nobody knew how it is quantized. It is added in units of both scales: the result follows it,
    however large it is beside the products."""
    graph = load(
        data_net(1, 3, 4, 4)
        + layer("conv", "Convolution", "data", more=CONV % "bias_term: false")
        + norm("bn", "conv")
        + layer("sc", "Scale", "bn", more=BIASED),
        {
            "conv": [RNG.normal(size=(3, 3, 1, 1))],
            "bn": [[0.5, -1, 3], [1, 2, 0.1], [1]],
            "sc": [[1, 2, 0.5], [100, -7, 0.25]],
        },
    )
    images = RNG.normal(size=(48, 3, 4, 4)).astype(np.float32)
    demitasse.compile(graph, tmp_path / "net.demi", precision=precision, data=images)
    model = demitasse.Model.open(tmp_path / "net.demi")
    found, expected = model.run({"data": images})["sc"], demitasse.evaluate(graph, {"data": images})
    offsets = (found - expected["sc"]).mean((0, 2, 3))
    step = np.ptp(expected["sc"]) / (255 if precision == "int8" else 65535)
    assert np.abs(offsets).max() < step  # less than one step of the output, on the average
    assert np.abs(found - expected["sc"]).max() < 4 * step


@pytest.mark.parametrize("dilation", [2, 4])
def test_a_dilated_convolution_alone(load: Load, tmp_path: Path, dilation: int) -> None:
    """71 (ncnn#64): reported as a BatchNorm's fault, but the dilated taps were read at wrong
    places."""
    weight, x = RNG.normal(size=(2, 1, 3, 3)), RNG.normal(size=(1, 1, 13, 12))
    more = f"num_output: 2 kernel_size: 3 bias_term: false dilation: {dilation}"
    text = data_net(1, 1, 13, 12) + layer(
        "c", "Convolution", "data", more=f"convolution_param {{ {more} }}"
    )
    found = everywhere(load(text, {"c": [weight]}), tmp_path, x)
    expected = np.zeros((1, 2, 13 - 2 * dilation, 12 - 2 * dilation))
    for (o, _, i, j), w in np.ndenumerate(weight):
        top, left = i * dilation, j * dilation
        part = x[0, 0, top : top + expected.shape[2], left : left + expected.shape[3]]
        expected[0, o] += w * part
    np.testing.assert_allclose(found, expected, atol=1e-4)
