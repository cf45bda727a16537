"""Repaired weights: by hand, never worse on what they were repaired on, and all in the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.graphs import Builder
from support.integers import calibrated, sqnr

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.differences import decode, encode
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.repair.patches import sample_patches
from demitasse.quantizer.repair.rounding import errors, round_adaptively
from demitasse.quantizer.repair.weights import repair_weights
from demitasse.quantizer.table import ScaleTable, from_text, to_text
from demitasse.quantizer.weight_plans import with_small_weights

FOURTHS = st.integers(-40, 40).map(lambda n: n / 4 + 0.1)


def test_errors_of_inputs_that_go_together_cancel() -> None:
    """x1 = x2 always: 0.4 + 0.4 is nearer to 1 than to 0."""
    steps, moments = np.array([[[0.4, 0.4]]]), np.array([[[1.0, 1.0], [1.0, 1.0]]])
    assert round_adaptively(steps, moments, 7).sum() == 1


def test_inputs_that_have_nothing_in_common_are_rounded_to_the_nearest() -> None:
    steps = np.array([[[0.4, -1.6, 9.0]], [[0.4, 2.5, -8.0]]])
    moments = np.stack([np.diag([1.0, 9.0, 4.0]), np.zeros((3, 3))])
    assert round_adaptively(steps, moments, 7).tolist() == [[[0, -2, 7]], [[0, 3, -7]]]


@given(
    arrays(np.float64, (2, 3, 5), elements=FOURTHS),
    arrays(np.float64, (2, 5, 4), elements=st.integers(-9, 9).map(float)),
    st.sampled_from([7, 127]),
)
def test_rounding_is_never_worse_than_the_nearest_codes(
    steps: np.ndarray, patches: np.ndarray, limit: int
) -> None:
    moments = patches @ patches.swapaxes(1, 2)
    codes = round_adaptively(steps, moments, limit)
    assert np.abs(codes).max() <= limit
    assert np.array_equal(codes, np.rint(codes))
    nearest = np.clip(np.floor(steps + 0.5), -limit, limit)
    lost = [((c - steps) @ patches).__pow__(2).sum(-1) for c in (codes, nearest)]
    assert (lost[0] <= lost[1] * (1 + 1e-9) + 1e-9).all()
    np.testing.assert_allclose(errors(codes - steps, moments), lost[0], atol=1e-6)


@pytest.mark.parametrize(
    "op",
    [
        ops.Conv2d(6, (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2),
        ops.Conv2d(4, (3, 3), groups=4, pads=(1, 1, 1, 1)),
    ],
)
def test_patches_give_the_convolution(op: ops.Conv2d) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(-9, 9, (1, 4, 7, 8)).astype(np.float32) for _ in range(2)]
    weight = rng.integers(-9, 9, (op.channels, 4 // op.groups, *op.kernel)).astype(np.float32)
    patches = sample_patches(op, images, 10**6)
    rows = weight.reshape(op.groups, -1, patches.shape[1])
    found = (rows @ patches).reshape(op.channels, -1)
    expected = [op.reference([x], {"weight": weight})[0].reshape(op.channels, -1) for x in images]
    assert np.array_equal(found, np.concatenate(expected, 1))
    few = sample_patches(op, images, 10)
    assert few.shape[2] == 10
    columns = {tuple(c) for c in patches[0].T}
    assert all(tuple(c) in columns for c in few[0].T)


def net() -> Graph:
    """Inputs of a layer that go together, biases that quantization moves, every kind of layer."""
    b = Builder(seed=5)
    x = b.input("data", 1, 3, 6, 6)
    pads = (1, 1, 1, 1)
    x = b.add(
        ops.Conv2d(16, (3, 3), pads=pads, activation=ops.Relu()),
        x,
        weight=b.random(16, 3, 3, 3),
        bias=b.random(16),
    )
    x = b.add(
        ops.Conv2d(16, (3, 3), pads=pads, groups=16, activation=ops.Relu()),
        x,
        weight=b.random(16, 1, 3, 3),
        bias=b.random(16),
    )
    x = b.add(ops.Deconv2d(8, (2, 2), (2, 2)), x, weight=b.random(16, 8, 2, 2), bias=b.random(8))
    x = b.add(ops.Conv2d(8, (3, 3), groups=2), x, weight=b.random(8, 4, 3, 3))
    b.add(ops.InnerProduct(10), x, weight=b.random(10, 8 * 10 * 10) / 20, bias=b.random(10))
    return b.graph()


def images(count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
    """Smooth ones, as pictures are."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        noise = rng.normal(size=(1, 3, 8, 8))
        smooth = sum(noise[:, :, i : i + 6, j : j + 6] for i in range(3) for j in range(3))
        found.append({"data": np.asarray(smooth, np.float32)})
    return found


def means_of(graph: Graph, inputs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    runs = [evaluate(graph, image, all_blobs=True) for image in inputs]
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def table_for(graph: Graph, inputs: list[dict[str, np.ndarray]], bits: int) -> ScaleTable:
    batch = {"data": np.concatenate([image["data"] for image in inputs])}
    table = calibrated(graph, batch, "int8")
    small = [n.name for n in graph.nodes if isinstance(n.op, ops.Conv2d) and n.op.groups < 16]
    return with_small_weights(graph, table, small if bits == 4 else [])


def lost(graph: Graph, table: ScaleTable, inputs: list[dict[str, np.ndarray]]) -> float:
    """dB of the output on images."""
    integer = quantize(graph, table)
    (name,) = integer.outputs
    batch = {"data": np.concatenate([image["data"] for image in inputs])}
    (expected,) = evaluate(graph, batch).values()
    (found,) = run_integer(integer, batch).values()
    return sqnr(expected, to_real(integer.tensors[name], found))


@pytest.mark.parametrize("repairs", [["bias"], ["rounding"], ["bias", "rounding"]], ids="+".join)
def test_four_bits_lose_less_when_repaired_on_images_that_were_not_seen(repairs: list[str]) -> None:
    graph, inputs = net(), images(12)
    table = table_for(graph, inputs, 4)
    better = repair_weights(graph, table, inputs, means_of(graph, inputs), repairs)
    gain = lost(graph, better, images(6, seed=9)) - lost(graph, table, images(6, seed=9))
    print(f"{repairs}: {gain:.1f} dB")
    assert gain > (0.0 if repairs == ["bias"] else 1.5)
    assert set(better.biases) == (
        {node.name for node in graph.nodes} if "bias" in repairs else set()
    )
    assert bool(better.rounding) == ("rounding" in repairs)


def test_biases_keep_the_means_of_the_channels() -> None:
    graph, inputs = net(), images(8)
    graph = replace(graph, nodes=graph.nodes[:1], outputs=graph.nodes[0].outputs)
    plain = replace(graph.nodes[0].op, activation=None)
    graph = replace(graph, nodes=(replace(graph.nodes[0], op=plain),))
    name = graph.outputs[0]
    graph = replace(
        graph,
        tensors={key: graph.tensors[key] for key in ("data", name)},
        blobs={"data": "data", name: name},
    )
    table = table_for(graph, inputs, 4)
    means = means_of(graph, inputs)

    def off(table: ScaleTable) -> np.ndarray:
        integer = quantize(graph, table)
        runs = [run_integer(integer, image)[name] for image in inputs]
        mean = np.mean([to_real(integer.tensors[name], run) for run in runs], axis=0)
        return np.asarray(np.abs((mean - means[name]).mean((0, 2, 3))))

    better = repair_weights(graph, table, inputs, means, ["bias"])
    step = table.tensors[name].scale
    assert off(table).max() > 0.5 * step
    assert off(better).max() < 0.15 * step  # of rounding to codes alone


@pytest.mark.parametrize("bits", [4, 8])
def test_the_table_says_it_all_and_the_order_of_images_does_not_matter(bits: int) -> None:
    graph, inputs = net(), images(5)
    means = means_of(graph, inputs)
    table = repair_weights(graph, table_for(graph, inputs, bits), inputs, means)
    again = repair_weights(graph, table_for(graph, inputs, bits), inputs[::-1], means)
    assert to_text(table) == to_text(again)
    read = from_text(to_text(table))
    assert read == table
    for one, other in zip(quantize(graph, table).nodes, quantize(graph, read).nodes, strict=True):
        assert one.weights.keys() == other.weights.keys()
        assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_hand_edits_are_honoured_and_checked() -> None:
    graph, inputs = net(), images(2)
    node = graph.nodes[0]
    table = table_for(graph, inputs, 8)
    change = np.zeros(node.weights["weight"].shape, np.int8)
    change[3, 1, 2, 0] = -2
    edited = replace(
        table, rounding={node.name: encode(change)}, biases={node.name: tuple([0.0] * 16)}
    )
    plain, found = (quantize(graph, t).nodes[0].weights for t in (table, edited))
    assert found["weight"][3, 1, 2, 0] == max(int(plain["weight"][3, 1, 2, 0]) - 2, -127)
    assert np.count_nonzero(found["weight"] != plain["weight"]) == 1
    assert not found["bias"].any()
    for wrong, message in (
        ({"biases": {node.name: (0.0,)}}, "the table has 1 biases, expected 16"),
        ({"rounding": {node.name: encode(np.zeros(3, np.int8))}}, "3 roundings, expected 432"),
        ({"biases": {"nix": ()}}, "layer 'nix' biases"),
        ({"weight_bits": {"nix": 4}}, "layer 'nix' weight bits"),
        ({"weight_bits": {graph.nodes[1].name: 4}}, "cannot have four bits"),
    ):
        with pytest.raises(Exception, match=message):
            quantize(graph, replace(table, **wrong))


def test_text_of_differences() -> None:
    values = np.array([-128, -1, 0, 1, 127], np.int8)
    assert decode(encode(values)).tolist() == values.tolist()
    for text in ("", "é", "AAAA", encode(values)[:-4], encode(values) + "AAAA"):
        with pytest.raises(ValueError, match=r"^is (no zlib|cut short)"):
            decode(text)


def test_an_unknown_repair_is_refused() -> None:
    graph, inputs = net(), images(1)
    with pytest.raises(DataError, match="unknown repair 'x'; bias, rounding"):
        repair_weights(graph, table_for(graph, inputs, 8), inputs, {}, ["x"])


def test_a_layer_that_is_raised_to_int16_has_its_own_weights() -> None:
    graph, inputs = net(), images(2)
    name = graph.nodes[0].name
    plain = replace(table_for(graph, inputs, 8), layers={name: "int16"})
    small = with_small_weights(graph, plain, [name])
    edited = replace(
        small,
        biases={name: tuple([9.0] * 16)},
        rounding={name: encode(np.ones(432, np.int8))},
    )
    expected, found = (quantize(graph, table).nodes for table in (plain, edited))
    for one, other in zip(expected, found, strict=True):
        assert one.weights.keys() == other.weights.keys()
        assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)
