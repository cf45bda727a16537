"""Float graphs to integer graphs: conventions, and values close to float."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import both, calibrated, sqnr, table_of

from demitasse.converter import ops
from demitasse.converter.graph import Graph, Node
from demitasse.errors import DataError, DemitasseError, WeightsError
from demitasse.quantizer.integer import BUILDERS
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, store, to_real

PRECISIONS = ("int8", "int16")
LEAST = {"int8": 29.0, "int16": 60.0}  # dB for one operator on well-behaved data
SHAPE = (1, 8, 9, 10)


def convolution(net: Builder, op: ops.Conv2d, x: str, **more: np.ndarray) -> str:
    c = net.tensors[x].shape[1]
    weight = net.random(op.channels, c // op.groups, *op.kernel)
    return net.add(op, x, weight=weight, bias=net.random(op.channels), **more)


def single(
    op: ops.Operator, shape: tuple[int, ...] = SHAPE, inputs: int = 1, **weights: np.ndarray
) -> Graph:
    net = Builder(seed=3)
    net.add(op, *(net.input(f"x{i}", *shape) for i in range(inputs)), **weights)
    return net.graph()


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


CONV = {"weight": draw(6, 8, 3, 3), "bias": draw(6)}
ALL: dict[str, Graph] = {
    "convolution": single(ops.Conv2d(6, (3, 3), pads=(1, 0, 2, 1)), **CONV),
    "without bias": single(ops.Conv2d(6, (3, 3)), weight=CONV["weight"]),
    "relu": single(ops.Conv2d(6, (3, 3), (2, 1), activation=ops.Relu()), **CONV),
    "relu6": single(ops.Conv2d(6, (3, 3), activation=ops.Clip(0, 6)), **CONV),
    "clip": single(ops.Conv2d(6, (3, 3), activation=ops.Clip(-2, 3)), **CONV),
    "leaky": single(ops.Conv2d(6, (3, 3), activation=ops.Relu(0.1)), **CONV),
    "prelu": single(ops.Conv2d(6, (3, 3), activation=ops.PRelu()), **CONV, slope=draw(6) / 3),
    "one slope": single(
        ops.Conv2d(6, (3, 3), activation=ops.PRelu()), **CONV, slope=np.float32([0.2])
    ),
    "dilated": single(ops.Conv2d(6, (3, 3), dilation=(2, 3)), **CONV),
    "grouped": single(ops.Conv2d(6, (3, 3), groups=2), weight=draw(6, 4, 3, 3), bias=draw(6)),
    "depthwise": single(ops.Conv2d(8, (3, 3), groups=8), weight=draw(8, 1, 3, 3), bias=draw(8)),
    "deconvolution": single(
        ops.Deconv2d(6, (4, 3), (2, 3), (1, 0, 1, 2), groups=2), weight=draw(8, 3, 4, 3)
    ),
    "inner product": single(ops.InnerProduct(7), weight=draw(7, 720) / 9, bias=draw(7)),
    "inner product, axis 2": single(ops.InnerProduct(7, axis=2), weight=draw(7, 90) / 9),
    "average": single(ops.Pool2d("average", (3, 3), (2, 2), (1, 1))),
    "global average": single(ops.Pool2d("average", global_pooling=True)),
    "max": single(ops.Pool2d("max", (3, 3), (2, 2))),
    "sum": single(ops.Eltwise("sum", activation=ops.Relu()), inputs=2),
    "weighted sum": single(ops.Eltwise("sum", (0.5, -1, 3)), inputs=3),
    "product": single(ops.Eltwise("prod"), inputs=2),
    "product of three": single(ops.Eltwise("prod"), inputs=3),
    "maximum": single(ops.Eltwise("max", activation=ops.Clip(0, 1)), inputs=3),
    "standing relu": single(ops.Relu()),
    "standing leaky": single(ops.Relu(0.3)),
    "standing clip": single(ops.Clip(-0.5, 0.25)),
    "standing prelu": single(ops.PRelu(), slope=draw(8)),
    "elu": single(ops.Elu(0.5)),
    "sigmoid": single(ops.Sigmoid()),
    "tanh": single(ops.Tanh()),
    "abs": single(ops.Abs()),
    "exp": single(ops.Exp(2, 0.5, -1)),
    "log": single(ops.Log(10, 0.1, 2)),
    "bnll": single(ops.Bnll()),
    "swish": single(ops.Swish(1.5)),
    "mish": single(ops.Mish()),
    "hard swish": single(ops.HardSwish()),
    "hard sigmoid": single(ops.HardSigmoid()),
    "sum over rows": single(ops.Reduce("sum", 2)),
    "sum of sizes": single(ops.Reduce("asum", 3, -0.5)),
    "sum of squares": single(ops.Reduce("sumsq", 1)),
    "mean over rows": single(ops.Reduce("mean", 2)),
    "reverse": single(ops.Reverse(1)),
    "factor": single(ops.Power(1, -0.4, 0)),
    "affine": single(ops.Power(1, 0.4, 3)),
    "affine, rank 3": single(ops.Power(1, 0.4, 3), (1, 4, 5)),
    "square": single(ops.Power(2, 0.4, 3)),
    "batch norm": single(ops.BatchNorm(), mean=draw(8), variance=np.abs(draw(8)) + 0.5),
    "batch norm, rank 2": single(
        ops.BatchNorm(), (1, 8), mean=draw(8), variance=np.abs(draw(8)) + 0.5
    ),
    "batch norm, rank 3": single(
        ops.BatchNorm(), (1, 8, 3), mean=draw(8), variance=np.abs(draw(8)) + 0.5
    ),
    "scale": single(ops.Scale(1), scale=draw(8), bias=draw(8)),
    "scalar scale": single(ops.Scale(0), scale=np.float32(0.3)),
    "scale of rows": single(ops.Scale(2), scale=draw(9)),
    "bias": single(ops.Bias(-3), bias=draw(8)),
    "lrn across": single(ops.Lrn("across", 5, 0.2, 0.75, 1.0)),
    "lrn within": single(ops.Lrn("within", 3, 0.2, 0.75)),
    "normalize": single(ops.Normalize(False), scale=np.abs(draw(8)) * 20),
    "normalize, one scale": single(ops.Normalize(True), scale=np.float32([-3])),
    "normalize, rank 2": single(ops.Normalize(False), (1, 40), scale=draw(40)),
    "larger": single(ops.Resize(size=(17, 24))),
    "smaller": single(ops.Resize(scale=(0.5, 0.7), rule="half_pixel")),
    "mvn": single(ops.Mvn()),
    "softmax": single(ops.Softmax(1)),
    "concat": single(ops.Concat(1), inputs=3),
    "slice": single(ops.Slice(1), outputs=1),
    "reshape": single(ops.Reshape((0, -1, 5))),
    "flatten": single(ops.Flatten()),
    "permute": single(ops.Permute((0, 2, 3, 1))),
}
IN_FLOAT = {"batch norm, rank 3", "scale of rows", "mvn", "softmax"}
IN_FLOAT_FOR = {"int8": IN_FLOAT, "int16": IN_FLOAT | {"sum of squares"}}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ALL)
def test_every_operator_stays_close_to_float(name: str, precision: str) -> None:
    graph = ALL[name]
    inputs = {name: draw(*graph.tensors[name].shape) * 2 for name in graph.inputs}
    integer, real, found = both(graph, inputs, precision)
    (output,) = graph.outputs
    assert sqnr(real[output], found[output]) > LEAST[precision]
    is_float = integer.tensors[output].dtype == "float32"
    assert is_float == (name in IN_FLOAT_FOR[precision])


@pytest.mark.parametrize("name", ALL)
def test_symmetric_tables_keep_every_zero_point_at_zero(name: str) -> None:
    graph = ALL[name]
    inputs = {name: draw(*graph.tensors[name].shape) for name in graph.inputs}
    integer, real, found = both(graph, inputs, "int8", symmetric=True)
    assert all(t.quant.zero_point == 0 for t in integer.tensors.values() if t.quant)
    (output,) = graph.outputs
    assert sqnr(real[output], found[output]) > 23


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_threshold_is_exact_for_every_code(precision: str) -> None:
    graph = single(ops.Threshold(0.5))
    x = draw(*SHAPE)
    integer, _, found = both(graph, {graph.inputs[0]: x}, precision)
    tensor = integer.tensors[graph.inputs[0]]
    expected = to_real(tensor, store(tensor, x)) > np.float32(0.5)
    np.testing.assert_allclose(found[graph.outputs[0]], expected, atol=0.004)


def test_every_builder_is_tested() -> None:
    tested = {type(node.op) for graph in ALL.values() for node in graph.nodes} | {ops.Threshold}
    assert set(BUILDERS) <= tested


def small_net() -> Graph:
    """Convolutions, a branch that is joined, and a head that ends in float."""
    net = Builder(seed=1)
    x = net.input("data", 1, 3, 16, 16)
    stem = convolution(net, ops.Conv2d(8, (3, 3), (1, 1), (1, 1, 1, 1), activation=ops.Relu()), x)
    left = convolution(net, ops.Conv2d(8, (1, 1), activation=ops.Relu()), stem)
    right = convolution(net, ops.Conv2d(4, (3, 3), pads=(1, 1, 1, 1)), stem)
    joined = net.add(ops.Concat(1), left, right)
    pooled = net.add(ops.Pool2d("max", (2, 2), (2, 2)), joined)
    head = net.add(ops.InnerProduct(10), pooled, weight=net.random(10, 768), bias=net.random(10))
    net.add(ops.Softmax(1), head)
    return net.graph()


@pytest.mark.parametrize(("precision", "least"), [("int8", 28), ("int16", 58)])
def test_a_net_stays_close_to_float_in_every_blob(precision: str, least: float) -> None:
    graph = small_net()
    _, real, found = both(graph, {"data": draw(1, 3, 16, 16)}, precision)
    noise = {name: sqnr(real[name], found[name]) for name in real}
    assert set(noise) == set(graph.tensors)
    assert min(noise.values()) > least, noise


def test_a_batch_runs_sample_by_sample() -> None:
    graph, data = small_net(), draw(3, 3, 16, 16)
    integer = quantize(graph, calibrated(graph, {"data": data[:1]}, "int8"))
    whole = run_integer(integer, {"data": data}, all_blobs=True)
    for i in range(3):
        alone = run_integer(integer, {"data": data[i : i + 1]}, all_blobs=True)
        for name, value in alone.items():
            np.testing.assert_array_equal(whole[name][i : i + 1], value)


def test_integers_are_taken_as_stored() -> None:
    graph, data = small_net(), draw(1, 3, 16, 16)
    integer = quantize(graph, calibrated(graph, {"data": data}, "int8"))
    first = run_integer(integer, {"data": data}, all_blobs=True)
    second = run_integer(integer, {"data": first["data"]}, all_blobs=True)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


# Sharing


def producer(graph: Graph, name: str) -> Node:
    return graph.producers()[name]


def quants(graph: Graph, precision: str = "int8") -> tuple[Graph, dict[str, object]]:
    """The integer graph for ranges that all differ."""
    ranges = {name: (-1.0 - i, 2.0 + i) for i, name in enumerate(graph.tensors)}
    integer = quantize(graph, table_of(ranges, precision))
    return integer, {name: t.quant for name, t in integer.tensors.items()}


def test_what_only_a_concat_reads_is_made_in_its_scale() -> None:
    net = Builder()
    x = net.input("data", 1, 3, 6, 6)
    a = convolution(net, ops.Conv2d(4, (1, 1)), x)
    pooled = net.add(ops.Pool2d("max", (2, 2), (2, 2)), a)
    b = net.add(ops.Pool2d("average", (2, 2), (2, 2)), x)
    joined = net.add(ops.Concat(1), pooled, b)
    integer, quant = quants(net.graph())
    assert quant[a] == quant[pooled] == quant[b] == quant[joined]
    assert len(integer.nodes) == len(net.nodes)


def test_what_others_read_too_is_rescaled_before_a_concat() -> None:
    net = Builder()
    x = net.input("data", 1, 3, 6, 6)
    a = convolution(net, ops.Conv2d(3, (1, 1)), x)
    b = convolution(net, ops.Conv2d(3, (1, 1)), a)
    joined = net.add(ops.Concat(1), x, a, b)
    integer, quant = quants(net.graph())
    concat = producer(integer, joined)
    assert [quant[name] for name in concat.inputs] == [quant[joined]] * 3
    assert [type(producer(integer, name).op) for name in concat.inputs] == [
        ops.Rescale,
        ops.Rescale,
        ops.Conv2d,
    ]
    assert len({quant[x], quant[a], quant[joined]}) == 3


def test_a_concat_inside_a_concat_takes_the_outer_scale() -> None:
    net = Builder()
    x = net.input("data", 1, 3, 6, 6)
    a, b, c = (convolution(net, ops.Conv2d(2, (1, 1)), x) for _ in range(3))
    inner = net.add(ops.Concat(1), a, b)
    outer = net.add(ops.Concat(1), inner, c)
    _, quant = quants(net.graph())
    assert {quant[name] for name in (a, b, c, inner)} == {quant[outer]}


def test_an_output_keeps_its_own_scale() -> None:
    net = Builder()
    x = net.input("data", 1, 3, 6, 6)
    a, b = (convolution(net, ops.Conv2d(2, (1, 1)), x) for _ in range(2))
    joined = net.add(ops.Concat(1), a, b)
    _, quant = quants(net.graph(joined, a))
    assert quant[a] != quant[joined] == quant[b]


# Float islands


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def test_a_chain_of_float_operators_stays_float() -> None:
    net = Builder()
    x = net.input("data", 1, 6)
    a = net.add(ops.Softmax(1), x)
    b = net.add(ops.Reshape((1, 2, 3)), a)
    c = net.add(ops.Softmax(2), b)
    integer, _ = quants(net.graph())
    assert kinds(integer) == ["Softmax", "Reshape", "Softmax"]
    assert {integer.tensors[name].dtype for name in (x, a, b, c)} == {"float32"}


def test_an_input_that_an_integer_operator_reads_is_an_integer() -> None:
    net = Builder()
    x = net.input("data", 1, 6)
    a = net.add(ops.Softmax(1), x)
    b = net.add(ops.Reshape((1, 6, 1, 1)), x)
    c = net.add(ops.Eltwise("sum"), b, net.add(ops.Reshape((1, 6, 1, 1)), a))
    integer, _ = quants(net.graph(c, a))
    assert integer.tensors[x].dtype == "int8"


def test_a_constant_is_stored_as_who_reads_it_computes() -> None:
    value = np.array([[0.5, -1.0, 0.25, 1.0]], np.float32)
    net = Builder()
    x = net.input("data", 1, 4)
    read_by_sum = net.add(ops.Constant(), value=value)
    read_by_softmax = net.add(ops.Constant(), value=value)
    total = net.add(ops.Eltwise("sum"), x, read_by_sum)
    soft = net.add(ops.Softmax(1), read_by_softmax)
    graph = net.graph(total, soft)
    integer, quant = quants(graph)
    assert integer.tensors[read_by_sum].dtype == "int8"
    assert integer.tensors[read_by_softmax].dtype == "float32"
    step = quant[read_by_sum]
    codes = producer(integer, read_by_sum).weights["value"].astype(np.float64)
    np.testing.assert_allclose(
        (codes - step.zero_point) * step.scale, value, atol=step.scale / 2 + 1e-7
    )


def test_integers_come_back_after_an_island() -> None:
    net = Builder()
    x = net.input("data", 1, 6)
    a = net.add(ops.Softmax(1), x)
    b = net.add(ops.InnerProduct(4), a, weight=net.random(4, 6))
    integer, quant = quants(net.graph(b, a))
    assert kinds(integer) == ["Softmax", "Quantize", "InnerProduct"]
    (back,) = producer(integer, b).inputs
    assert back.startswith("%")
    assert integer.tensors[back].dtype == "int8"
    assert quant[a] is None
    assert integer.outputs == (b, a)


@pytest.mark.parametrize("name", ["convolution", "depthwise", "deconvolution", "inner product"])
def test_no_convolution_stays_in_float32(name: str) -> None:
    """Kernels may sum float32 products in an order of their own; integer models keep every bit."""
    node = ALL[name].nodes[0]
    net = Builder()
    x = net.add(ops.Softmax(1), net.input("data", *SHAPE))
    y = net.add(node.op, x, **node.weights)
    net.add(ops.Softmax(1), y)
    integer, _ = quants(net.graph())
    assert kinds(integer) == [
        "Softmax",
        "Quantize",
        type(node.op).__name__,
        "Dequantize",
        "Softmax",
    ]
    assert integer.tensors[y].dtype == "int8"


def test_a_second_input_that_scales_is_an_island() -> None:
    net = Builder(seed=5)
    x, gate = net.input("data", 1, 4, 3, 3), net.input("gate", 1, 4)
    net.add(ops.Eltwise("sum"), net.add(ops.Scale(0), x, gate), x)
    graph = net.graph()
    integer, real, found = both(graph, net.feed(graph), "int16")
    assert kinds(integer) == ["Dequantize", "Dequantize", "Scale", "Quantize", "Eltwise"]
    assert min(sqnr(real[name], found[name]) for name in real) > 60


def test_a_concat_of_both_kinds_is_integer() -> None:
    net = Builder()
    x = net.input("data", 1, 6)
    joined = net.add(ops.Concat(1), net.add(ops.Softmax(1), x), x)
    integer, quant = quants(net.graph())
    concat = producer(integer, joined)
    assert {quant[name] for name in concat.inputs} == {quant[joined]}
    assert kinds(integer) == ["Dequantize", "Softmax", "Quantize", "Rescale", "Concat"]


def test_values_move_as_codes_and_masks_as_floats() -> None:
    net = Builder(seed=2)
    x = net.add(ops.Relu(), net.input("data", 1, 3, 6, 8))
    window = ((2, 2), (2, 2))
    mask = net.add(ops.PoolMask(*window), x)
    largest = net.add(ops.Pool2d("max", *window), x)
    back = net.add(ops.Unpool(), net.add(ops.Relu(0.5), largest), mask)
    graph = net.graph()
    integer, found_quants = quants(graph)
    assert kinds(integer) == ["Rescale", "PoolMask", "Pool2d", "Rescale", "Unpool"]
    assert integer.tensors[mask].dtype == "float32"
    assert integer.tensors[back].dtype == "int8"
    assert found_quants[back] == found_quants[producer(integer, back).inputs[0]]


def test_a_mask_of_floats_stays_among_floats() -> None:
    net = Builder(seed=2)
    x = net.add(ops.Softmax(1), net.input("data", 1, 3, 6, 8))
    window = ((2, 2), (2, 2))
    mask = net.add(ops.PoolMask(*window), x)
    net.add(ops.Unpool(), net.add(ops.PoolMask(*window), x), mask)
    assert kinds(quants(net.graph())[0])[-3:] == ["PoolMask", "PoolMask", "Unpool"]


def test_a_crop_needs_the_shape_of_its_reference_only() -> None:
    net = Builder()
    x, big = net.input("data", 1, 2, 4, 4), net.input("big", 1, 2, 6, 6)
    probability = net.add(ops.Softmax(1), x)
    net.add(ops.Crop(2, (1,)), big, probability)
    integer, real, found = both(net.graph(), net.feed(net.graph()), "int8")
    assert kinds(integer) == ["Softmax", "Crop"]
    assert min(sqnr(real[name], found[name]) for name in real) > 30


# Zero points, clamps, bad input


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_fused_clamp_is_exact_in_codes(precision: str) -> None:
    graph = ALL["relu6"]
    ranges = {name: (-3.0, 10.0) for name in graph.tensors}
    node = quantize(graph, table_of(ranges, precision)).nodes[0]
    quant = quantize(graph, table_of(ranges, precision)).tensors[node.outputs[0]].quant
    assert quant is not None
    assert node.weights["low"] == quant.zero_point
    assert node.weights["high"] == round(quant.zero_point + 6 / quant.scale)


def test_scales_are_float32_values() -> None:
    integer = quantize(small_net(), calibrated(small_net(), {"data": draw(1, 3, 16, 16)}, "int8"))
    for tensor in integer.tensors.values():
        if tensor.quant:
            assert float(np.float32(tensor.quant.scale)) == tensor.quant.scale


def test_the_same_graph_gives_the_same_integers() -> None:
    table = calibrated(small_net(), {"data": draw(1, 3, 16, 16)}, "int16")
    first, second = quantize(small_net(), table), quantize(small_net(), table)
    assert [n.name for n in first.nodes] == [n.name for n in second.nodes]
    assert list(first.tensors) == list(second.tensors)
    for a, b in zip(first.nodes, second.nodes, strict=True):
        for key, value in a.weights.items():
            np.testing.assert_array_equal(value, b.weights[key])


def test_weight_scales_of_the_table_are_used() -> None:
    graph = ALL["convolution"]
    table = table_of({name: (-3.0, 3.0) for name in graph.tensors}, "int8")
    scales = tuple(float(np.float32(0.05)) for _ in range(6))
    weights = {graph.nodes[0].name: scales}
    given = type(table)("int8", False, "", "", table.tensors, weights)
    found = quantize(graph, given).nodes[0].weights["weight"]
    np.testing.assert_array_equal(found, np.floor(CONV["weight"] / np.float32(0.05) + 0.5))


def test_a_table_without_a_tensor_is_refused() -> None:
    with pytest.raises(DataError, match="x0"):
        quantize(ALL["relu"], table_of({}, "int8"))


def test_missing_weights_are_refused() -> None:
    graph = single(ops.Conv2d(6, (3, 3)))
    with pytest.raises(DemitasseError, match="conv2d0"):
        quantize(graph, table_of({name: (0.0, 1.0) for name in graph.tensors}, "int8"))


def test_weights_that_are_no_numbers_are_refused() -> None:
    graph = single(ops.Conv2d(6, (3, 3)), weight=np.full((6, 8, 3, 3), np.nan, np.float32))
    with pytest.raises(WeightsError, match="conv2d0"):
        quantize(graph, table_of({name: (0.0, 1.0) for name in graph.tensors}, "int8"))


def test_wrong_inputs_are_refused() -> None:
    graph = small_net()
    integer = quantize(graph, calibrated(graph, {"data": draw(1, 3, 16, 16)}, "int8"))
    with pytest.raises(DemitasseError, match=r"\(1, 3, 16, 16\)"):
        run_integer(integer, {"data": draw(1, 3, 16, 17)})
    with pytest.raises(DataError, match="data"):
        run_integer(integer, {"other": draw(1, 3, 16, 16)})
