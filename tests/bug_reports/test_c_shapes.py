"""Reports about shapes: rounding, global pooling, and messages about shapes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from support.written import answer, data_net, layer

from demitasse.errors import ShapeError

POOLS = [
    # 44 (caffe#1318 and its many duplicates): pooling rounds up, convolution down
    ("44", 112, "kernel_size: 3 stride: 2", 56),
    ("44 clip", 3, "kernel_size: 2 stride: 2 pad: 1", 2),  # the third window is all padding
    ("44 no clip", 4, "kernel_size: 2 stride: 2 pad: 1", 3),
    # 46 (caffe-onnx#6)
    ("46", 112, "kernel_size: 3 stride: 2 round_mode: FLOOR", 55),
    ("46 number", 112, "kernel_size: 3 stride: 2 round_mode: 1", 55),
    ("46 ceil", 112, "kernel_size: 3 stride: 2 round_mode: CEIL", 56),
    # 48 (netscope#25, DenseNet-Caffe#20)
    ("48", 64, "kernel_size: 3 stride: 2 pad: 1 ceil_mode: false", 32),
    ("48 default", 64, "kernel_size: 3 stride: 2 pad: 1", 33),
    # 51 (onnx2caffe#3): the same stem in PyTorch's rounding has 56
    ("51", 112, "kernel_size: 3 stride: 2 pad: 1", 57),
    # 52 (darknet2caffe#2): tiny-yolo's pooling of stride 1 shrinks by one
    ("52", 13, "kernel_size: 2 stride: 1", 12),
    ("47", 7, "global_pooling: true", 1),
]


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("case", POOLS, ids=lambda case: case[0])
def test_pooled_sizes(load, case: tuple[str, int, str, int], method: str) -> None:
    """44, 46, 47, 48, 51, 52: sizes one off, so that a Concat or Eltwise further on failed."""
    _, size, fields, expected = case
    more = f"pooling_param {{ pool: {method} {fields} }}"
    graph = load(data_net(1, 1, size, size) + layer("p", "Pooling", "data", more=more))
    assert graph.tensors["p"].shape == (1, 1, expected, expected)
    assert answer(graph, np.zeros((1, 1, size, size))).shape == (1, 1, expected, expected)


def test_convolution_rounds_down(load) -> None:
    """44: the other half of that report."""
    more = "convolution_param { num_output: 1 kernel_size: 3 stride: 2 }"
    graph = load(data_net(1, 1, 112, 112) + layer("c", "Convolution", "data", more=more))
    assert graph.tensors["c"].shape == (1, 1, 55, 55)


def test_the_tail_of_a_resnet(load) -> None:
    """47 (caffe-onnx#4): global pooling had a wrong size and Gemm the wrong transposition."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(5, 4)), rng.normal(size=5)
    graph = load(
        data_net(2, 4, 7, 7)
        + layer("pool", "Pooling", "data", more="pooling_param { pool: AVE global_pooling: true }")
        + layer("fc", "InnerProduct", "pool", more="inner_product_param { num_output: 5 }"),
        {"fc": [weight, bias]},
    )
    x = rng.normal(size=(2, 4, 7, 7))
    np.testing.assert_allclose(answer(graph, x), x.mean((2, 3)) @ weight.T + bias, atol=1e-5)


def test_one_pixel_stays_an_image(load) -> None:
    """50 (ncnn#426): after global pooling a blob was 1-D, and a 1x1 convolution read it wrongly."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4, 1, 1))
    graph = load(
        data_net(1, 4, 5, 6)
        + layer("pool", "Pooling", "data", more="pooling_param { pool: AVE global_pooling: true }")
        + layer(
            "conv",
            "Convolution",
            "pool",
            more="convolution_param { num_output: 3 kernel_size: 1 bias_term: false }",
        ),
        {"conv": [weight]},
    )
    assert graph.tensors["pool"].shape == (1, 4, 1, 1)
    x = rng.normal(size=(1, 4, 5, 6))
    expected = weight[:, :, 0, 0] @ x.mean((2, 3))[0]
    np.testing.assert_allclose(answer(graph, x).ravel(), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["Concat", "Eltwise"])
def test_shapes_that_do_not_fit_are_both_told(load, kind: str) -> None:
    """51, 52 (onnx2caffe#9, darknet2caffe#2): "57 vs 56" without saying of what."""
    more = "pooling_param { kernel_size: 3 stride: 2 %s }"
    with pytest.raises(ShapeError) as caught:
        load(
            data_net(1, 1, 48, 48)
            + layer("up", "Pooling", "data", more=more % "")
            + layer("down", "Pooling", "data", more=more % "round_mode: FLOOR")
            + layer("join", kind, "up down")
        )
    told = str(caught.value)
    for words in ("net.prototxt:4", "layer 'join'", "(1, 1, 24, 24)", "(1, 1, 23, 23)"):
        assert words in told
