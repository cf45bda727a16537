"""Networks made to be hard for a quantizer, compiled with the default options, against float.

They are calibrated on some images and judged on others. What each asks is what an even network of
its kind has: 30 dB and more, of 8 bits; where a difficulty has a remedy, the test sees it fail
without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import sqnr

import demitasse
from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.weights import BLOCK, WEIGHT_LIMITS

SIZE, CHANNELS = 12, 16
PADS = (1, 1, 1, 1)
RELU = ops.Relu()
LOSSLESS = 55.0  # dB of INT16

pytestmark = pytest.mark.filterwarnings("ignore::demitasse.errors.DemitasseWarning")


def images(count: int, seed: int) -> np.ndarray:
    """Smooth and positive, as pictures are; (count, 3, SIZE, SIZE)."""
    noise = np.random.default_rng(seed).uniform(0, 1, (count, 3, SIZE + 4, SIZE + 4))
    parts = [noise[:, :, i : i + SIZE, j : j + SIZE] for i in range(5) for j in range(5)]
    return np.asarray(np.abs(sum(parts) - 10) / 5, np.float32)


def convolution(
    b: Builder, x: str, channels: int, activation: Any = RELU, groups: int = 1, size: int = 3
) -> str:
    """With weights that neither grow nor shrink what goes through."""
    inputs = b.tensors[x].shape[1] // groups
    op = ops.Conv2d(channels, (size, size), pads=PADS if size == 3 else (0, 0, 0, 0), groups=groups)
    limit = np.sqrt(6 / (inputs * size * size))
    weights = {"weight": b.random(channels, inputs, size, size) * np.float32(limit)}
    if isinstance(activation, ops.PRelu):
        weights["slope"] = np.linspace(-0.5, 1.5, channels, dtype=np.float32)
    op = ops.Conv2d(channels, op.kernel, pads=op.pads, groups=groups, activation=activation)
    return b.add(op, x, bias=b.random(channels) / 5, **weights)


def finish(b: Builder, x: str) -> Graph:
    x = b.add(ops.Pool2d("average", (4, 4), (4, 4)), x)
    count = int(np.prod(b.tensors[x].shape[1:]))
    b.add(ops.InnerProduct(10), x, weight=b.random(10, count) / 5, bias=b.random(10))
    return b.graph()


def dead_channels() -> Graph:
    """Every third has no weights, every other third a bias that ReLU never lets through."""
    b = Builder(seed=11)
    x = convolution(b, b.input("data", 1, 3, SIZE, SIZE), CHANNELS)
    first = b.nodes[-1].weights
    first["weight"][::3], first["bias"][::3] = 0, 0
    first["bias"][1::3] = -100
    x = convolution(b, x, CHANNELS, groups=CHANNELS)
    b.nodes[-1].weights["weight"][::3] = 0
    return finish(b, convolution(b, x, CHANNELS, size=1))


def imbalanced() -> Graph:
    """A depthwise convolution whose channels span a factor of 100, each as important as any."""
    b = Builder(seed=12)
    factor = np.geomspace(0.1, 10, CHANNELS).astype(np.float32).reshape(-1, 1, 1, 1)
    x = convolution(b, b.input("data", 1, 3, SIZE, SIZE), CHANNELS)
    b.nodes[-1].weights["weight"] *= factor
    b.nodes[-1].weights["bias"] *= factor.ravel()
    x = convolution(b, x, CHANNELS, groups=CHANNELS)
    b.nodes[-1].weights["weight"] /= factor
    return finish(b, convolution(b, x, CHANNELS, size=1))


def plain() -> Graph:
    b = Builder(seed=13)
    x = convolution(b, b.input("data", 1, 3, SIZE, SIZE), CHANNELS)
    return finish(b, convolution(b, convolution(b, x, CHANNELS), CHANNELS))


def negative_slopes() -> Graph:
    """PReLU whose negative side is larger than the positive one, or turned around."""
    b = Builder(seed=14)
    x = convolution(b, b.input("data", 1, 3, SIZE, SIZE), CHANNELS, ops.PRelu())
    x = convolution(b, x, CHANNELS, ops.PRelu(), groups=CHANNELS)
    return finish(b, convolution(b, x, CHANNELS, ops.PRelu()))


def constant_blobs() -> Graph:
    """One that is the same everywhere, one that is zero, added and joined to others."""
    b = Builder(seed=15)
    data = b.input("data", 1, 3, SIZE, SIZE)
    x = convolution(b, data, CHANNELS)
    same, zero = (convolution(b, data, CHANNELS) for _ in range(2))
    for node, bias in zip(b.nodes[-2:], (3.0, -1.0), strict=True):
        node.weights["weight"][:], node.weights["bias"][:] = 0, bias
    x = b.add(ops.Eltwise("sum", activation=RELU), x, same)
    x = b.add(ops.Concat(), x, same, zero)
    return finish(b, convolution(b, x, CHANNELS))


def squeeze_and_excite() -> Graph:
    """EfficientNet's block: swish, depthwise, channels weighed by what all of them say, a sum."""
    b = Builder(seed=16)
    data = b.input("data", 1, 3, SIZE, SIZE)
    start = b.add(ops.Swish(), convolution(b, data, CHANNELS, None))
    wide = b.add(ops.Swish(), convolution(b, start, 4 * CHANNELS, None, size=1))
    wide = b.add(ops.Swish(), convolution(b, wide, 4 * CHANNELS, None, groups=4 * CHANNELS))
    said = b.add(ops.Pool2d("average", global_pooling=True), wide)
    said = b.add(ops.Swish(), convolution(b, said, CHANNELS // 4, None, size=1))
    said = b.add(ops.Sigmoid(), convolution(b, said, 4 * CHANNELS, None, size=1))
    said = b.add(ops.Reshape((0, -1)), said)
    weighed = b.add(ops.Scale(axis=0), wide, said)
    x = convolution(b, weighed, CHANNELS, None, size=1)
    return finish(b, b.add(ops.Eltwise("sum"), start, x))


def fidelity(
    graph: Graph, folder: Path, seen: np.ndarray, judged: np.ndarray, precision: str, **options: Any
) -> float:
    """dB of the output on the judged images."""
    path = folder / "net.demi"
    demitasse.compile(graph, path, precision, seen, judge=judged[:1], **options)
    (found,) = demitasse.Model.open(path).run({"data": judged}).values()
    (expected,) = evaluate(graph, {"data": judged}).values()
    return sqnr(expected, found)


@pytest.mark.parametrize(
    "make",
    [dead_channels, imbalanced, plain, negative_slopes, constant_blobs, squeeze_and_excite],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize(("precision", "least"), [("int8", 30.0), ("int16", LOSSLESS)])
def test_against_float(make: Any, precision: str, least: float, tmp_path: Path) -> None:
    found = fidelity(make(), tmp_path, images(40, 1), images(20, 2), precision)
    print(f"{make.__name__}, {precision}: {found:.1f} dB")
    assert found > least


def test_an_imbalance_needs_the_factors(tmp_path: Path) -> None:
    graph, seen, judged = imbalanced(), images(40, 1), images(20, 2)
    with_factors, without = (
        fidelity(graph, tmp_path, seen, judged, "int8", equalized=given) for given in (True, False)
    )
    assert with_factors > without + 6


@pytest.mark.parametrize(("precision", "least"), [("int8", 25.0), ("int16", LOSSLESS)])
def test_one_bright_image_in_fifty(precision: str, least: float, tmp_path: Path) -> None:
    """Four times as bright as the others: neither it nor they may be lost."""
    graph, bright = plain(), np.ones((50, 1, 1, 1), np.float32)
    bright[17] = 4
    seen, judged = images(50, 1) * bright, images(20, 2)
    for each in (judged, 4 * judged):
        found = fidelity(graph, tmp_path, seen, each, precision)
        print(f"{precision}: {found:.1f} dB")
        assert found > least


@pytest.mark.parametrize("kernels", [None, "generic"])
@pytest.mark.parametrize("inputs", [1, 3, 16, 200])
def test_no_input_makes_int16_overflow(inputs: int, kernels: str | None, tmp_path: Path) -> None:
    """All inputs and weights at the ends of their codes, -32768 and 13 bits, and of one sign or in
    blocks of 16 of one sign: a sum that wrapped would be far from float's."""
    b = Builder()
    x = b.input("data", 1, inputs, 5, 5)
    signs = np.ones((4, inputs, 3, 3), np.float32)
    signs[1] = -1
    signs[2].reshape(-1)[::2] = -1
    signs[3].reshape(-1)[16:] *= -1
    b.add(ops.Conv2d(4, (3, 3), pads=PADS), x, weight=signs, bias=b.random(4))
    graph, path = b.graph(), tmp_path / "net.demi"
    seen = np.stack([np.full((inputs, 5, 5), value, np.float32) for value in (1, -1)])
    demitasse.compile(graph, path, "int16", seen, judge=seen)
    ends = np.float32(2 + 1e-4) * seen  # what INT16 can say goes as far as twice what was seen
    model = demitasse.Model.open(path, kernels=kernels)
    (name,) = graph.outputs
    for each in ends:
        expected = evaluate(graph, {"data": each[None]})[name]
        found = model.run({"data": each[None]})[name]
        np.testing.assert_allclose(found, expected, atol=2e-3 * 2 * 9 * inputs)


def test_a_block_is_as_long_as_int32_allows() -> None:
    largest = {bits: 16 * (2 ** (bits - 1) - 1) * 2**15 for bits in (13, 14)}
    assert largest[13] < 2**31 <= largest[14]
    assert (BLOCK, WEIGHT_LIMITS["int16"]) == (16, 2**12 - 1)
