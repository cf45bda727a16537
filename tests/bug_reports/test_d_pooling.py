"""Reports about what poolings and strided convolutions compute at borders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.everywhere import everywhere
from support.written import data_net, layer


def pooled(load, tmp_path: Path, size: int, fields: str, x: np.ndarray) -> np.ndarray:
    more = f"pooling_param {{ pool: AVE {fields} }}"
    graph = load(data_net(1, 1, size, size) + layer("p", "Pooling", "data", more=more))
    return everywhere(graph, tmp_path, x)[0, 0]


def test_the_divisor_counts_padding(load, tmp_path: Path) -> None:
    """54 (ncnn#924): average pooling with padding differed at the borders. Caffe divides by the
    window clipped to the padded image: ones give 4/9 in the corner."""
    found = pooled(load, tmp_path, 4, "kernel_size: 3 stride: 2 pad: 1", np.ones((1, 1, 4, 4)))
    # rows -1..1, 1..3, 3..5 of which 5 is beyond the padding: 2 of 3, 3 of 3, 1 of 2 are real
    row = np.array([2 / 3, 1, 1 / 2])
    np.testing.assert_allclose(found, np.outer(row, row), rtol=1e-6)
    assert found[0, 0] == pytest.approx(4 / 9)


def test_the_divisor_does_not_count_what_is_beyond(load, tmp_path: Path) -> None:
    """55 (oneDNN#513): rounding up was emulated by more padding, which changed the last row."""
    found = pooled(load, tmp_path, 6, "kernel_size: 3 stride: 2", np.ones((1, 1, 6, 6)))
    np.testing.assert_array_equal(found, np.ones((3, 3)))


def test_a_window_of_the_whole_image_is_the_mean(load, tmp_path: Path) -> None:
    """56 (ncnn#604): 7x7 average pooling in place of a classifier's layer was wrong."""
    x = np.random.default_rng(0).normal(size=(1, 1, 7, 7)).astype(np.float32)
    window = pooled(load, tmp_path, 7, "kernel_size: 7", x)
    whole = pooled(load, tmp_path, 7, "global_pooling: true", x)
    np.testing.assert_allclose(window, [[x.mean(dtype=np.float64)]], rtol=1e-5)
    np.testing.assert_array_equal(window, whole)


@pytest.mark.parametrize("size", [7, 8, 9])
def test_a_stride_that_leaves_a_rest(load, tmp_path: Path, size: int) -> None:
    """58 (ncnn#996, #20): without padding, stride 2 differed at the border where the last pixels
    fill no window: they are dropped."""
    rng = np.random.default_rng(size)
    weight, x = rng.normal(size=(2, 3, 3, 3)), rng.normal(size=(1, 3, size, size))
    more = "convolution_param { num_output: 2 kernel_size: 3 stride: 2 bias_term: false }"
    text = data_net(1, 3, size, size) + layer("c", "Convolution", "data", more=more)
    found = everywhere(load(text, {"c": [weight]}), tmp_path, x)
    side = (size - 3) // 2 + 1
    assert found.shape == (1, 2, side, side)
    for i in range(side):
        for j in range(side):
            window = x[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(
                found[0, :, i, j], (weight * window).sum((1, 2, 3)), atol=1e-4
            )
