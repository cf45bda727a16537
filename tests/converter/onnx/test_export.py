"""What an exported model looks like, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import oracle
import pytest
from support.graphs import Builder

import demitasse
from demitasse.converter.graph import Graph
from demitasse.converter.onnx import check as checking
from demitasse.converter.onnx import versions
from demitasse.converter.onnx.check import check
from demitasse.converter.onnx.export import export_onnx, serialise
from demitasse.converter.ops import Concat, InnerProduct, Operator, Relu, Sigmoid, Threshold
from demitasse.converter.passes import simplify
from demitasse.errors import DemitasseError, UnsupportedError

TWICE = """
name: "twice"
input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 }
input: "image" input_shape { dim: 1 dim: 3 }
layer { name: "relu" type: "ReLU" bottom: "data" top: "a" }
layer { name: "relu" type: "ReLU" bottom: "a" top: "b" relu_param { negative_slope: 0.1 } }
layer { name: "relu/add" type: "Power" bottom: "b" top: "b" power_param { shift: 2 power: 2 } }
layer { name: "" type: "TanH" bottom: "b" top: "c" }
layer { name: "half" type: "Power" bottom: "image" top: "image" power_param { scale: 0.5 } }
"""


def loaded(name: str) -> Graph:
    case = oracle.case(name)
    return demitasse.load_caffe(case.prototxt, case.caffemodel)


def test_values_keep_the_names_of_blobs_and_nodes_those_of_layers(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(TWICE)
    model = export_onnx(demitasse.load_caffe(tmp_path / "net.prototxt"))
    assert model.graph.name == "twice"
    assert [value.name for value in model.graph.input] == ["data", "image"]
    assert [value.name for value in model.graph.output] == ["c", "image@half"]
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "" not in names
    assert {"relu", "relu_1", "relu/add", "c", "half"} <= set(names)
    values = {name for node in model.graph.node for name in node.output}
    assert {"a", "b", "b@relu_1", "c"} <= values


def test_an_output_that_a_pass_renamed_keeps_its_name() -> None:
    graph = loaded("dropout")
    folded = simplify(graph)
    outputs = [value.name for value in export_onnx(folded).graph.output]
    assert outputs == list(graph.output_keys())


def test_an_input_that_is_an_output_too() -> None:
    net = Builder()
    x = net.input("x", 1, 2)
    net.add(Sigmoid(), x)
    graph = net.graph("x", "sigmoid0")
    verdict = check(export_onnx(graph), graph)
    assert verdict.good, verdict.first


def test_two_outputs_of_one_value(tmp_path: Path) -> None:
    text = """
    input: "data" input_shape { dim: 1 dim: 2 }
    layer { name: "act" type: "Sigmoid" bottom: "data" top: "act" }
    layer { name: "copy" type: "Split" bottom: "act" top: "one" top: "two" }
    """
    (tmp_path / "net.prototxt").write_text(text)
    graph = demitasse.load_caffe(tmp_path / "net.prototxt")
    for variant in (graph, simplify(graph)):
        model = export_onnx(variant)
        assert [value.name for value in model.graph.output] == ["one", "two"]
        assert check(model, variant).good


def test_weights_are_initializers_and_no_inputs() -> None:
    model = export_onnx(loaded("lenet"))
    assert [value.name for value in model.graph.input] == ["data"]
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"conv1.weight", "conv1.bias", "ip2.weight"} <= names
    read = {name for node in model.graph.node for name in node.input}
    assert names <= read


@pytest.mark.parametrize("opset", [11, 13, versions.newest()])
def test_versions_are_pinned(opset: int) -> None:
    model = demitasse.export_onnx(loaded("lenet"), opset=opset)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert model.ir_version == {11: 6, 13: 7}.get(opset, model.ir_version)
    assert (model.producer_name, model.producer_version) == ("demitasse", demitasse.__version__)


def test_the_same_network_gives_the_same_bytes() -> None:
    first, second = (serialise(export_onnx(loaded("residual"))) for _ in range(2))
    assert first == second


def test_shapes_and_batch_stay() -> None:
    model = export_onnx(loaded("lenet"))
    graph = loaded("lenet")
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert tuple(dims) == graph.tensors["data"].shape


@pytest.mark.parametrize("opset", [-1, 0, 10, versions.newest() + 1])
def test_opsets_outside_are_refused(opset: int) -> None:
    with pytest.raises(UnsupportedError, match=f"opset {opset} is not one of 11 to "):
        export_onnx(loaded("lenet"), opset)


def test_every_layer_without_a_form_is_named() -> None:
    class Strange(Operator):
        def reference(self, inputs: object, weights: object) -> tuple[np.ndarray, ...]:
            raise AssertionError

    net = Builder()
    x = net.input("x", 1, 2)
    net.add(Concat(), net.add(Strange(), x), net.add(Strange(), x))
    with pytest.raises(UnsupportedError, match=r"'strange0' \(Strange\), 'strange1' \(Strange\)"):
        export_onnx(net.graph())


def test_missing_weights_are_named() -> None:
    case = oracle.case("lenet")
    with pytest.raises(DemitasseError, match="without weights: conv1, conv2"):
        export_onnx(demitasse.load_caffe(case.prototxt))


def test_a_model_that_differs_is_told_by_its_first_layer() -> None:
    graph = loaded("lenet")
    model = export_onnx(graph)
    assert check(model, graph).error < 1e-5
    for tensor in model.graph.initializer:
        if tensor.name == "conv2.bias":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(tensor.dims, "f"), tensor.name))
    verdict = check(model, graph)
    assert not verdict.good
    assert verdict.error > 1e-3
    assert verdict.first.startswith("layer 'conv2' (Conv2d): conv2 is off by ")


def test_the_last_bit_may_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that are 0 in NumPy's order of addition, and by onnxruntime either a little more or not:
    the step behind them makes it 1 or 0."""
    net = Builder()
    weight = net.random(64, 1000)
    x = net.random(1, 1000)
    (y,) = InnerProduct(64).reference([x], {"weight": weight})
    bias = -y[0]
    bias[0] = 1e3  # gives the others a range to be small in
    inner = net.add(InnerProduct(64), net.input("x", 1, 1000), weight=weight, bias=bias)
    net.add(Threshold(), inner)
    graph = net.graph()
    monkeypatch.setattr(checking, "sample", lambda *_: {"x": x})
    verdict = check(export_onnx(graph), graph)
    assert verdict.error == 1
    assert verdict.good
    assert "though every layer agrees" in str(verdict)


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(
    "name", ["branches", "deconv_groups", "ip_bn_scale_relu", "lrn_across", "pool_mask", "ssd_head"]
)
def test_without_onnxruntime_the_evaluator_of_onnx_runs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, opset: int
) -> None:
    monkeypatch.setattr(checking, "runtime", lambda: None)
    graph = loaded(name)
    verdict = check(export_onnx(graph, opset), graph)
    assert verdict.good, verdict.first
    assert verdict.engine == f"onnx {onnx.__version__}'s evaluator"


def test_difference_counts_lost_values() -> None:
    nothing, numbers = np.float32([np.nan, 1]), np.float32([0, 2])
    assert checking.difference(nothing, nothing) == 0
    assert checking.difference(nothing, numbers) == np.inf
    assert checking.difference(numbers[:1], numbers) == np.inf
    assert checking.difference(np.float32([0, 1]), numbers) == 0.5


def test_relu_by_its_slope() -> None:
    net = Builder()
    net.add(Relu(0.25), net.add(Relu(), net.input("x", 2)))
    assert [node.op_type for node in export_onnx(net.graph()).graph.node] == ["Relu", "LeakyRelu"]
