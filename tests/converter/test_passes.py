"""Every pass keeps the value of every output; some must also make nodes disappear."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import Builder

from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.converter.ops import (
    BatchNorm,
    Bias,
    Clip,
    Concat,
    Constant,
    Conv2d,
    Deconv2d,
    Eltwise,
    Flatten,
    Identity,
    InnerProduct,
    Permute,
    Pool2d,
    Power,
    PRelu,
    Relu,
    Reshape,
    Resize,
    Scale,
    Slice,
    Softmax,
)
from demitasse.converter.passes import (
    cancel_layout,
    clamp_before_pooling,
    drop_identities,
    fold_affine,
    fold_constants,
    fuse_activations,
    optimize,
    single_sample,
)


def same_outputs(before: Graph, after: Graph, builder: Builder) -> None:
    x = builder.feed(before)
    expected, found = evaluate(before, x), evaluate(after, x)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(
            found[key], value, rtol=0, atol=2e-5 * max(1, np.abs(value).max()), err_msg=key
        )


def ops(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def conv(b: Builder, x: str, channels: int = 6, groups: int = 1, pad: int = 0, k: int = 3) -> str:
    c = b.tensors[x].shape[1]
    return b.add(
        Conv2d(channels, (k, k), pads=(pad,) * 4, groups=groups),
        x,
        weight=b.random(channels, c // groups, k, k),
        bias=b.random(channels),
    )


def batch_norm(b: Builder, x: str) -> str:
    c = b.tensors[x].shape[1]
    return b.add(BatchNorm(), x, mean=b.random(c), variance=b.random(c, low=0.5, high=2.0))


def scale(b: Builder, x: str, axis: int = 1) -> str:
    c = b.tensors[x].shape[axis]
    return b.add(Scale(axis), x, scale=b.random(c), bias=b.random(c))


@pytest.mark.parametrize("groups", [1, 2])
def test_batch_norm_and_scale_fold_into_the_convolution_before(groups: int) -> None:
    b = Builder()
    scale(b, batch_norm(b, conv(b, b.input("data", 2, 4, 7, 8), groups=groups, pad=1)))
    graph = b.graph()
    folded = fold_affine(graph)
    assert ops(folded) == ["Conv2d"]
    assert folded.nodes[0].origin == ("conv2d0", "batchnorm1", "scale2")
    same_outputs(graph, folded, b)


def test_batch_norm_folds_into_deconvolution_with_groups() -> None:
    b = Builder()
    x = b.input("data", 1, 4, 5, 5)
    y = b.add(Deconv2d(6, (3, 3), (2, 2), (1, 1, 1, 1), groups=2), x, weight=b.random(4, 3, 3, 3))
    scale(b, batch_norm(b, y))
    graph = b.graph()
    assert ops(fold_affine(graph)) == ["Deconv2d"]
    same_outputs(graph, fold_affine(graph), b)


def test_batch_norm_folds_into_inner_product() -> None:
    b = Builder()
    y = b.add(InnerProduct(5), b.input("data", 2, 3, 4, 4), weight=b.random(5, 48))
    scale(b, batch_norm(b, y))
    graph = b.graph()
    assert ops(fold_affine(graph)) == ["InnerProduct"]
    same_outputs(graph, fold_affine(graph), b)


@pytest.mark.parametrize("pad", [0, 1])
def test_affine_before_a_convolution_folds_only_without_padding(pad: int) -> None:
    b = Builder()
    conv(b, batch_norm(b, b.input("data", 1, 4, 7, 8)), groups=2, pad=pad)
    graph = b.graph()
    folded = fold_affine(graph)
    assert ops(folded) == (["Scale", "Conv2d"] if pad else ["Conv2d"])
    same_outputs(graph, folded, b)


def test_scale_without_bias_folds_before_a_padded_convolution() -> None:
    b = Builder()
    y = b.add(Scale(), b.input("data", 1, 4, 7, 8), scale=b.random(4))
    conv(b, y, pad=1)
    graph = b.graph()
    assert ops(fold_affine(graph)) == ["Conv2d"]
    same_outputs(graph, fold_affine(graph), b)


def test_affine_before_inner_product_repeats_over_the_image() -> None:
    b = Builder()
    y = b.add(Power(1.0, 0.5, 2.0), scale(b, b.input("data", 2, 3, 4, 5)))
    b.add(InnerProduct(4), y, weight=b.random(4, 60), bias=b.random(4))
    graph = b.graph()
    assert ops(fold_affine(graph)) == ["InnerProduct"]
    same_outputs(graph, fold_affine(graph), b)


def test_a_second_reader_of_the_convolution_keeps_it_as_it_is() -> None:
    b = Builder()
    y = conv(b, b.input("data", 1, 4, 6, 6))
    b.add(Eltwise(), y, scale(b, batch_norm(b, y)))
    graph = b.graph()
    folded = fold_affine(graph)
    assert ops(folded) == ["Conv2d", "Scale", "Eltwise"]
    same_outputs(graph, folded, b)


def test_a_convolution_that_is_an_output_keeps_its_value() -> None:
    b = Builder()
    y = conv(b, b.input("data", 1, 4, 6, 6))
    graph = b.graph(y, batch_norm(b, y))
    assert ops(fold_affine(graph)) == ["Conv2d", "Scale"]
    same_outputs(graph, fold_affine(graph), b)


def test_batch_norm_with_two_readers_folds_into_its_convolution() -> None:
    b = Builder()
    y = batch_norm(b, conv(b, b.input("data", 1, 4, 6, 6)))
    b.add(Eltwise("max"), scale(b, y), b.add(Relu(), y))
    graph = b.graph()
    folded = fold_affine(graph)
    assert ops(folded) == ["Conv2d", "Scale", "Relu", "Eltwise"]
    same_outputs(graph, folded, b)


def test_scale_along_another_axis_stays() -> None:
    b = Builder()
    scale(b, conv(b, b.input("data", 1, 4, 6, 6)), axis=2)
    assert ops(fold_affine(b.graph())) == ["Conv2d", "Scale"]


def test_lone_batch_norm_and_bias_merge_into_one_scale() -> None:
    b = Builder()
    y = batch_norm(b, b.input("data", 1, 4, 6, 6))
    b.add(Relu(), b.add(Bias(), y, bias=b.random(4)))
    graph = b.graph()
    assert ops(fold_affine(graph)) == ["Scale", "Relu"]
    same_outputs(graph, fold_affine(graph), b)


@pytest.mark.parametrize(
    "activation", [Relu(), Relu(0.1), Clip(0, 6), PRelu()], ids=["relu", "leaky", "clip", "prelu"]
)
def test_activation_fuses_into_a_convolution(activation: Relu | Clip | PRelu) -> None:
    b = Builder()
    y = conv(b, b.input("data", 1, 4, 6, 6))
    weights = {"slope": b.random(6)} if isinstance(activation, PRelu) else {}
    b.add(activation, y, **weights)
    graph = b.graph()
    assert ops(fuse_activations(graph)) == ["Conv2d"]
    same_outputs(graph, fuse_activations(graph), b)


@pytest.mark.parametrize("clamp", [Relu(), Clip(-0.25, 0.5)])
def test_a_clamp_behind_a_max_pooling_fuses_into_the_convolution(clamp: Relu | Clip) -> None:
    b = Builder()
    b.add(clamp, b.add(Pool2d("max", (3, 3), (2, 2)), conv(b, b.input("data", 1, 4, 9, 9))))
    graph = b.graph()
    ordered = fuse_activations(clamp_before_pooling(graph))
    assert ops(ordered) == ["Conv2d", "Pool2d"]
    same_outputs(graph, ordered, b)


@pytest.mark.parametrize(
    ("pool", "activation"),
    [
        (Pool2d("average", (2, 2), (2, 2)), Relu()),  # of clamped values the mean is another
        (Pool2d("max", (2, 2), (2, 2)), Relu(-0.5)),  # falls below zero
        (Pool2d("max", (1, 1), (9, 9)), Relu()),  # the second window is empty
    ],
)
def test_other_activations_stay_behind_their_pooling(pool: Pool2d, activation: Relu) -> None:
    b = Builder()
    b.add(activation, b.add(pool, conv(b, b.input("data", 1, 4, 9, 9))))
    graph = b.graph()
    assert ops(fuse_activations(clamp_before_pooling(graph))) == ["Conv2d", "Pool2d", "Relu"]
    same_outputs(graph, optimize(graph), b)


def test_a_pooled_value_that_others_read_stays() -> None:
    b = Builder()
    pooled = b.add(Pool2d("max", (2, 2), (2, 2)), conv(b, b.input("data", 1, 4, 9, 9)))
    b.add(Relu(), pooled)
    b.add(Clip(0, 1), pooled)
    graph = b.graph()
    assert ops(clamp_before_pooling(graph)) == ["Conv2d", "Pool2d", "Relu", "Clip"]


def test_only_a_clamp_fuses_into_eltwise_and_only_one_activation_fuses() -> None:
    b = Builder()
    x = b.input("data", 1, 4, 6, 6)
    b.add(Relu(0.1), b.add(Eltwise(), x, x))
    b.add(Relu(), b.add(Clip(-1, 1), b.add(Eltwise("prod"), x, x)))
    graph = b.graph()
    assert ops(fuse_activations(graph)) == ["Eltwise", "Relu", "Eltwise", "Relu"]
    same_outputs(graph, fuse_activations(graph), b)


def test_identities_disappear_even_as_outputs() -> None:
    b = Builder()
    x = b.input("data", 1, 4, 6, 6)
    first = b.add(Identity(2), b.add(Relu(), x), outputs=2)
    b.add(Relu(), first)
    b.add(Identity(), f"{first}.1")
    graph = b.graph()
    assert ops(drop_identities(graph)) == ["Relu", "Relu"]
    same_outputs(graph, drop_identities(graph), b)


def test_a_copy_stays_where_a_value_is_two_outputs() -> None:
    b = Builder()
    value = b.add(Relu(), b.input("data", 1, 3, 4, 4))
    copy = b.add(Identity(2), value, outputs=2)
    graph = b.graph(value, copy, f"{copy}.1")
    after = drop_identities(graph)
    assert len(set(after.outputs)) == 3
    same_outputs(graph, after, b)
    assert ops(drop_identities(after)) == ops(after) == ["Relu", "Identity", "Identity"]


def test_an_output_keeps_its_name_before_that_of_its_copy() -> None:
    b = Builder()
    value = b.add(Relu(), b.input("data", 1, 3, 4, 4))
    last = b.add(Relu(), b.add(Identity(), value))
    graph = b.graph(value, last)
    assert ops(drop_identities(graph)) == ["Relu", "Relu"]
    assert list(drop_identities(graph).output_keys()) == [value, last]


def test_layout_changes_cancel_and_merge() -> None:
    b = Builder()
    x = b.input("data", 2, 4, 5, 6)
    y = b.add(Permute((0, 3, 1, 2)), b.add(Permute((0, 2, 3, 1)), x))
    z = b.add(Flatten(), b.add(Reshape((0, 2, -1)), b.add(Relu(), y)))
    b.add(Relu(), b.add(Reshape((0, 120)), z))
    graph = b.graph()
    cancelled = cancel_layout(graph)
    assert ops(cancelled) == ["Relu", "Reshape", "Relu"]
    same_outputs(graph, cancelled, b)


def test_batch_becomes_one_unless_a_layer_mixes_samples() -> None:
    b = Builder()
    x = b.input("data", 64, 4, 6, 6)
    b.add(Softmax(), b.add(Flatten(), conv(b, x)))
    assert single_sample(b.graph()).tensors["data"].shape == (1, 4, 6, 6)

    for op in (Reshape((32, -1, 6, 6)), Permute((1, 0, 2, 3)), Softmax(0), Slice(2, axis=0)):
        b = Builder()
        x = b.input("data", 64, 4, 6, 6)
        b.add(op, x, outputs=2 if isinstance(op, Slice) else 1)
        assert single_sample(b.graph()).tensors["data"].shape == (64, 4, 6, 6), op


def test_what_no_input_changes_is_computed_once() -> None:
    b = Builder()
    left = b.add(Constant(), value=b.random(1, 2, 4, 4))
    right = b.add(Relu(), b.add(Constant(), value=b.random(1, 1, 4, 4)))
    joined = b.add(Concat(), left, right)
    b.add(Eltwise(), b.input("data", 1, 3, 4, 4), joined)
    graph = b.graph()
    folded = fold_constants(graph)
    assert ops(folded) == ["Constant", "Eltwise"]
    same_outputs(graph, folded, b)


def test_a_constant_with_several_readers_stays() -> None:
    b = Builder()
    value = b.add(Constant(), value=b.random(1, 3, 4, 4))
    b.add(Eltwise(), b.input("data", 1, 3, 4, 4), value)
    after = fold_constants(b.graph(b.add(Relu(), value), "eltwise1"))
    assert ops(after) == ["Constant", "Eltwise", "Constant"]
    same_outputs(b.graph(b.nodes[-1].outputs[0], "eltwise1"), after, b)


def test_a_size_that_another_tensor_gives_becomes_a_number() -> None:
    b = Builder()
    x, other = b.input("data", 1, 2, 4, 5), b.input("other", 1, 3, 8, 9)
    b.add(Resize(crop=(1, 0)), x, b.add(Relu(), other))
    before = b.graph()
    after = optimize(before)
    assert [node.op for node in after.nodes] == [Resize(size=(8, 9), crop=(1, 0))]
    assert after.inputs == ("data", "other")
    same_outputs(before, after, b)


def test_optimize_folds_a_residual_network_to_its_weighted_layers() -> None:
    b = Builder()
    x = b.input("data", 1, 4, 9, 9)
    y = b.add(Relu(), scale(b, batch_norm(b, conv(b, x, pad=1))))
    z = scale(b, batch_norm(b, conv(b, y, 6, groups=6, pad=1)))
    z = b.add(Relu(), b.add(Eltwise(), y, z))
    z = b.add(
        Concat(),
        b.add(Pool2d("max", (3, 3), (2, 2)), z),
        b.add(Pool2d("average", (3, 3), (2, 2)), z),
    )
    b.add(Softmax(), b.add(InnerProduct(3), b.add(Flatten(), z), weight=b.random(3, 12 * 16)))
    graph = b.graph()
    done = optimize(graph)
    assert ops(done).count("Conv2d") == 2
    assert not {"BatchNorm", "Scale", "Relu"} & set(ops(done))
    same_outputs(graph, done, b)
