"""Equalized channels: not a bit of the float result changes, and less is lost in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated, sqnr

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.repair import EQUALIZED, Loudness, choose_exponents, equalize, listen

LOUDNESS = np.float32([1, 40, 0.05, 3, 0.01, 1, 7, 0.3])


def net(activation: ops.Activation | None = None, reader: str = "depthwise") -> Graph:
    """A convolution of loud and quiet channels, and readers to which they matter alike."""
    b = Builder(seed=3)
    x = b.input("data", 1, 4, 9, 9)
    loud = LOUDNESS.reshape(-1, 1, 1, 1)
    weights = {"weight": b.random(8, 4, 3, 3) * loud, "bias": b.random(8) * LOUDNESS}
    if isinstance(activation, ops.PRelu):
        weights["slope"] = b.random(8)
    y = b.add(ops.Conv2d(8, (3, 3), activation=activation), x, **weights)
    if reader == "depthwise":
        b.add(ops.Conv2d(8, (3, 3), groups=8), y, weight=b.random(8, 1, 3, 3) / loud)
    elif reader == "grouped":
        grouped = b.random(6, 4, 3, 3) / loud.reshape(2, 1, 4, 1, 1).repeat(3, 1).reshape(
            6, 4, 1, 1
        )
        b.add(ops.Conv2d(6, (3, 3), groups=2), y, weight=grouped)
    elif reader == "deconvolution":
        b.add(ops.Deconv2d(6, (2, 2), groups=2), y, weight=b.random(8, 3, 2, 2) / loud)
    elif reader == "pooled":
        y = b.add(ops.Pool2d("max", (2, 2), (2, 2)), y)
        y = b.add(ops.Relu(), y)
        y = b.add(ops.Pool2d("average", (3, 3)), y)
        rows = b.random(5, 8, 4) / LOUDNESS.reshape(1, 8, 1)
        b.add(ops.InnerProduct(5), y, weight=rows.reshape(5, 32), bias=b.random(5))
    else:  # two of them
        b.add(ops.Conv2d(5, (1, 1)), y, weight=b.random(5, 8, 1, 1) / loud.reshape(1, 8, 1, 1))
        b.add(ops.InnerProduct(3), y, weight=b.random(3, 8 * 49) / 10)
    return b.graph()


def data(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=graph.tensors[name].shape).astype(np.float32) for name in graph.inputs
    }


class Evaluator:
    """Shows every tensor of a float run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def observe(self, inputs: Mapping[str, np.ndarray], callback) -> None:
        for name, value in evaluate(self.graph, inputs, all_blobs=True).items():
            callback(self.graph.blobs[name], value)


def exponents_of(graph: Graph) -> dict[str, str]:
    return choose_exponents(graph, listen(Evaluator(graph), [data(graph, seed) for seed in (1, 2)]))


def test_loudness_by_hand() -> None:
    b = Builder()
    b.add(ops.Relu(), b.input("data", 1, 2, 1, 2))
    images = [
        {"data": np.float32([[[[1, -2]], [[0, 0]]]])},
        {"data": np.float32([[[[3, 0]], [[0, 1]]]])},
    ]
    found = listen(Evaluator(b.graph()), images)["data"]
    assert found.largest.tolist() == [3.0, 1.0]
    assert found.square.tolist() == [(2.5 + 4.5) / 2, 0.25]


def test_channels_of_a_depthwise_reader_become_as_loud_as_the_loudest() -> None:
    """Its own scale serves each channel: nothing speaks against whole factors."""
    graph = net()
    name = graph.nodes[0].outputs[0]
    largest = np.array([1.0, 40.0, 0.05, 3.0, 0.0, 21.0, 40 * 2.0**-20, 20.0])
    found = choose_exponents(graph, {name: Loudness(largest, np.square(largest))})
    # 20 / r, rounded down to powers of two: 16, 1, 256 (of 400), 4, dead, 1, the most, 1
    assert found == {name: "40820" + "0c0"}


def test_weights_that_have_one_scale_speak_against_large_factors() -> None:
    """All channels matter to the one output by equal weights: factors on the quiet ones make their
    weights small beside the other's, in steps that the other's scale dictates."""
    b = Builder()
    x = b.add(ops.Conv2d(4, (1, 1)), b.input("data", 1, 2, 2, 2), weight=b.random(4, 2, 1, 1))
    b.add(ops.Conv2d(1, (1, 1)), x, weight=np.ones((1, 4, 1, 1), np.float32))
    graph = b.graph()
    loud = np.array([1.0, 2.0**-8, 2.0**-8, 2.0**-8])
    (digits,) = choose_exponents(graph, {x: Loudness(loud, np.square(loud))}).values()
    # Factors f = 1, 2, 8, 32, 128: 1 + 3 / f**2 of the step's square, and 1 + 3 * f**2 / 2**16 of
    # the weight scale's, which is (255 / 127)**2 times as much: 8.03, 5.78, 5.09, 5.22, 8.06.
    assert digits == "0333"


@pytest.mark.parametrize("reader", ["depthwise", "grouped", "deconvolution", "pooled", "two"])
@pytest.mark.parametrize("activation", [None, ops.Relu(0.25), ops.PRelu()], ids=str)
def test_float_results_stay_and_integers_lose_less(
    activation: ops.Activation | None, reader: str
) -> None:
    graph = net(activation, reader)
    inputs = data(graph, 7)
    exponents = exponents_of(graph)
    equal = equalize(graph, exponents)
    before, after = evaluate(graph, inputs, all_blobs=True), evaluate(equal, inputs, all_blobs=True)
    outputs = list(graph.output_keys())
    assert all(np.array_equal(before[name], after[name]) for name in outputs)
    (digits,) = exponents.values()
    factors = np.exp2([int(d, 16) for d in digits]).astype(np.float32)
    changed = [name for name in after if name.endswith(EQUALIZED)]
    assert len(changed) == (4 if reader == "pooled" else 1)
    for name in changed:
        plain = name.removesuffix(EQUALIZED)
        assert plain not in after
        assert np.array_equal(after[name], before[plain] * factors.reshape(1, -1, 1, 1))
    gain = []
    for name in outputs:
        lost = []
        for each in (graph, equal):
            integers = quantize(each, calibrated(each, data(each), "int8"))
            stored = run_integer(integers, inputs)[name]
            tensor = integers.tensors[integers.output_keys()[name]]
            lost.append(sqnr(before[name], to_real(tensor, stored)))
        gain.append(lost[1] - lost[0])
    print(f"{reader}: {gain} dB")
    assert max(gain) > 3.0


def clipped() -> Graph:
    return net(ops.Clip(0.0, 6.0))


def an_output() -> Graph:
    graph = net()
    return replace(graph, outputs=(graph.nodes[0].outputs[0], *graph.outputs))


def added() -> Graph:
    b = Builder()
    y = b.add(ops.Conv2d(4, (1, 1)), b.input("data", 1, 4, 5, 5), weight=b.random(4, 4, 1, 1))
    z = b.add(
        ops.Conv2d(4, (1, 1)),
        y,
        weight=b.random(4, 4, 1, 1) * 2.0 ** np.arange(4)[:, None, None, None],
    )
    b.add(ops.Eltwise("sum"), y, z)
    return b.graph()


@pytest.mark.parametrize("make", [clipped, an_output, added])
def test_what_cannot_be_scaled_stays(make) -> None:
    graph = make()
    exponents = exponents_of(graph)
    assert exponents == {}
    assert equalize(graph, exponents) is graph


@pytest.mark.parametrize("digits", ["0", "0123456701", "0000000g", 5, None])
def test_factors_that_do_not_fit_are_refused(digits: object) -> None:
    graph = net()
    with pytest.raises(DataError, match="cannot have the factors"):
        equalize(graph, {graph.nodes[0].outputs[0]: digits})
    with pytest.raises(DataError, match="tensor 'data' cannot"):
        equalize(graph, {"data": "0000"})
