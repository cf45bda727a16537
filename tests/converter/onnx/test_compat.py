"""Models with the names of caffe2onnx and caffe-onnx, and what those packages got wrong.

Recorded values are real Caffe's; the others are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest

from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.converter.onnx.check import opened, run
from demitasse.converter.onnx.compat import (
    Caffe2Onnx,
    freeze,
    loadcaffemodel,
    loadonnxmodel,
    saveonnxmodel,
)
from demitasse.errors import DemitasseError, DemitasseWarning

Weights = Mapping[str, Sequence[Any]]
STYLES = ("caffe2onnx", "caffe-onnx")


@dataclass
class Converted:
    """A network converted under the older names."""

    converter: Caffe2Onnx
    model: onnx.ModelProto

    @property
    def inputs(self) -> list[str]:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return [info.name for info in self.model.graph.input if info.name not in constants]

    @property
    def outputs(self) -> list[str]:
        return [info.name for info in self.model.graph.output]

    @property
    def initializers(self) -> dict[str, np.ndarray]:
        return {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in self.model.graph.initializer
        }

    @property
    def kinds(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]

    def __call__(self, *inputs: Any) -> list[np.ndarray]:
        fed = {name: np.asarray(x, np.float32) for name, x in zip(self.inputs, inputs, strict=True)}
        return run(self.model, fed, self.outputs)


@pytest.fixture
def convert(tmp_path: Path) -> Any:
    def converted(
        text: str, weights: Weights | None = None, how: Mapping[str, Any] | None = None, **more: Any
    ) -> Converted:
        (tmp_path / "net.prototxt").write_text(text)
        layers = [
            WeightLayer(name, "", arrays=tuple(np.asarray(a, np.float32) for a in arrays))
            for name, arrays in (weights or {"none": []}).items()
        ]
        write_caffemodel(tmp_path / "net.caffemodel", layers)
        files = loadcaffemodel(
            tmp_path / "net.prototxt", tmp_path / "net.caffemodel", **(how or {})
        )
        converter = Caffe2Onnx(*files, "net", **more)
        model = converter.createOnnxModel()
        assert converter.check(model).good
        labels = [node.name for node in model.graph.node]
        assert len(set(labels)) == len(labels)
        return Converted(converter, model)

    return converted


def given(*dims: int, name: str = "data") -> str:
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return (
        f'layer {{ name: "{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {shape} }} }} }}\n"
    )


def layer(name: str, kind: str, bottoms: str, tops: str, fields: str = "") -> str:
    wires = "".join(f'bottom: "{b}" ' for b in bottoms.split())
    wires += "".join(f'top: "{t}" ' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} {fields} }}\n'


def numbers(*shape: int) -> np.ndarray:
    return np.linspace(-1, 2, int(np.prod(shape)), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "case", [case for case in oracle.cases() if case.caffemodel], ids=lambda case: case.name
)
@pytest.mark.filterwarnings("ignore:.*(no weights in fcn_head|works in place)")
def test_recorded_networks(case: oracle.Case, style: str) -> None:
    """Every value that has a name: the top where it is new, the layer where it works in place."""
    assert case.caffemodel is not None
    shapes = {key: x.shape for key, x in case.inputs.items()}
    files = loadcaffemodel(case.prototxt, case.caffemodel, input_shapes=shapes)
    converter = Caffe2Onnx(*files, "n", style=style)
    model = converter.createOnnxModel()
    inputs = [info.name for info in model.graph.input][: len(case.inputs)]
    fed = dict(zip(inputs, (case.inputs[key] for key in converter.graph.inputs), strict=True))
    names: dict[str, tuple[str, str]] = {}
    seen = set(case.inputs)
    for name, top in case.blobs:
        names.setdefault(name if top in seen else top, (name, top))
        seen.add(top)
    made = {output for node in model.graph.node for output in node.output}
    kept = [name for name in names if name in made]
    assert kept
    merged = {node.name for node in model.graph.node if node.op_type == "BatchNormalization"}
    for name, value in zip(kept, run(opened(model), fed, kept), strict=True):
        if name not in merged and names[name][0] not in merged:
            assert oracle.error(value, case.blobs[names[name]]) <= 1e-4, name
    outputs = {info.name for info in model.graph.output}
    assert outputs <= made


LENET = (
    given(1, 1, 4, 4)
    + layer("conv1", "Convolution", "data", "c", "convolution_param{num_output:2 kernel_size:2}")
    + layer("bn1", "BatchNorm", "c", "c")
    + layer("scale1", "Scale", "c", "c", "scale_param{bias_term:true}")
    + layer("relu1", "ReLU", "c", "c")
    + layer("pre", "PReLU", "c", "p")
    + layer("ip", "InnerProduct", "p", "ip", "inner_product_param{num_output:3}")
    + layer("prob", "Softmax", "ip", "prob")
)
LENET_WEIGHTS = {
    "conv1": [numbers(2, 1, 2, 2), [0.5, -0.5]],
    "bn1": [[2.0, 4.0], [8.0, 2.0], [2.0]],
    "scale1": [[1.5, 2.5], [0.1, 0.2]],
    "pre": [[0.25, 0.5]],
    "ip": [numbers(3, 18), [1.0, 2.0, 3.0]],
}


def test_names_of_caffe2onnx(convert) -> None:
    found = convert(LENET, LENET_WEIGHTS)
    assert [info.name for info in found.model.graph.input] == [
        "data_input",
        *found.initializers,
    ]
    assert found.outputs == ["prob"]
    assert [(n.name, n.op_type, n.output[0]) for n in found.model.graph.node] == [
        ("conv1", "Conv", "c"),
        ("bn1", "BatchNormalization", "bn1"),
        ("relu1", "Relu", "relu1"),
        ("pre", "PRelu", "p"),
        ("ip/flatten", "Flatten", "ip/flatten"),
        ("ip", "Gemm", "ip"),
        ("prob", "Softmax", "prob"),
    ]
    shapes = {name: value.shape for name, value in found.initializers.items()}
    assert shapes == {
        "conv1_W": (2, 1, 2, 2),
        "conv1_b": (2,),
        "scale1_scale": (2,),
        "scale1_b": (2,),
        "bn1_mean": (2,),
        "bn1_var": (2,),
        "pre_slope": (2, 1, 1),
        "ip_W": (3, 18),
        "ip_B": (3,),
    }
    assert found.initializers["bn1_var"].tolist() == [4.0, 1.0]
    assert found.model.graph.name == "net"
    assert found.model.opset_import[0].version == 11


def test_names_of_inputs(convert) -> None:
    relu = layer("r", "ReLU", "x", "y")
    top = 'input: "x" input_shape { dim: 1 dim: 2 }\n'
    named = given(1, 2).replace('top: "data"', 'top: "x"')
    for text, theirs, other in ((top, "input", "x"), (named, "x_input", "data")):
        assert convert(text + relu).inputs == [theirs]
        assert convert(text + relu, style="caffe-onnx").inputs == [other]
    with pytest.raises(DemitasseError, match="unknown style 'x'; use caffe2onnx or caffe-onnx"):
        convert(top + relu, style="x")


def test_an_output_made_in_place_is_called_by_its_layer(convert) -> None:
    found = convert(given(2, 2) + layer("t", "TanH", "data", "t") + layer("last", "ReLU", "t", "t"))
    assert found.outputs == ["last"]
    assert found([[-1, 0], [1, 2]])[0][1].tolist() == pytest.approx(np.tanh([1, 2]).tolist())


def test_outputs_in_the_order_of_nodes(convert) -> None:
    tops = layer("z", "TanH", "data", "z") + layer("a", "ReLU", "data", "a")
    assert convert(given(1, 2) + tops).outputs == ["z", "a"]


def test_freeze_takes_the_weights_out_of_the_inputs(convert, tmp_path: Path) -> None:
    model = convert(LENET, LENET_WEIGHTS).model
    freeze(model)
    assert [info.name for info in model.graph.input] == ["data_input"]
    saveonnxmodel(model, tmp_path / "net.onnx")
    assert loadonnxmodel(tmp_path / "net.onnx") == model


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DemitasseError, match="cannot read an ONNX model"):
        loadonnxmodel(tmp_path / "no.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 99)
    with pytest.raises(DemitasseError, match="cannot read an ONNX model"):
        loadonnxmodel(tmp_path / "bad.onnx")
    with pytest.raises(DemitasseError, match=r"x\.onnx: no valid model"):
        saveonnxmodel(onnx.ModelProto(), tmp_path / "x.onnx")
    (tmp_path / "net.prototxt").write_text(given(1))
    with pytest.raises(DemitasseError, match=r"no\.caffemodel: there is no such file"):
        loadcaffemodel(tmp_path / "net.prototxt", tmp_path / "no.caffemodel")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx", "net.prototxt"]


# What the packages got wrong, one test a finding.


def test_an_empty_caffemodel(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(LENET)
    (tmp_path / "net.caffemodel").write_bytes(b"")
    files = loadcaffemodel(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    with pytest.raises(DemitasseError, match=r"net\.caffemodel: "):
        Caffe2Onnx(*files, "net")


def test_v1_types(convert) -> None:
    text = """input: "data" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
        layers { name: "s" type: SIGMOID bottom: "data" top: "s" }
        layers { name: "t" type: TANH bottom: "s" top: "t" }
        layers { name: "a" type: ABSVAL bottom: "t" top: "a" }"""
    x = np.array([-1.0, 2.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(convert(text)(x)[0], np.tanh(1 / (1 + np.exp(-x))), rtol=1e-5)


def test_two_inputs_at_the_top(convert) -> None:
    text = """input: "a" input_shape { dim: 1 dim: 2 } input: "b" input_shape { dim: 1 dim: 2 }
        """ + layer("sub", "Eltwise", "a b", "y", "eltwise_param { coeff: 1 coeff: -1 }")
    found = convert(text)
    assert found.inputs == ["input", "b_input"]
    assert found([[5, 7]], [[1, 10]])[0].tolist() == [[4, -3]]


def test_strides_of_their_own(convert) -> None:
    fields = """convolution_param { num_output: 1 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1
        bias_term: false }"""
    text = given(1, 1, 5, 4) + layer("c", "Convolution", "data", "c", fields)
    (y,) = convert(text, {"c": [np.ones((1, 1, 3, 2))]})(np.ones((1, 1, 5, 4)))
    assert y.tolist() == [[[[6, 6, 6], [6, 6, 6]]]]


def test_repeated_fields_are_height_and_width(convert) -> None:
    fields = """convolution_param { num_output: 1 kernel_size: 3 kernel_size: 1 pad: 1 pad: 0
        stride: 2 stride: 1 dilation: 1 dilation: 2 bias_term: false }"""
    text = given(1, 1, 5, 2) + layer("c", "Convolution", "data", "c", fields)
    (y,) = convert(text, {"c": [np.ones((1, 1, 3, 1))]})(np.ones((1, 1, 5, 2)))
    assert y.tolist() == [[[[2, 2], [3, 3], [2, 2]]]]


@pytest.mark.parametrize("opset", [11, 13])
def test_the_last_window_of_a_padded_pooling(convert, opset: int) -> None:
    fields = "pooling_param { pool: AVE kernel_size: 2 stride: 2 pad: 1 }"
    text = given(1, 1, 12, 13) + layer("p", "Pooling", "data", "p", fields)
    (y,) = convert(text, opset=opset)(np.full((1, 1, 12, 13), 4.0))
    assert y.shape == (1, 1, 7, 7)
    assert y[0, 0, 0].tolist() == [1, 2, 2, 2, 2, 2, 2]  # of four pixels, padding counts as 0
    assert y[0, 0, 1].tolist() == [2, 4, 4, 4, 4, 4, 4]


def test_pooling_padded_on_one_axis(convert) -> None:
    fields = "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad_h: 1 pad_w: 0 }"
    text = given(1, 1, 3, 3) + layer("p", "Pooling", "data", "p", fields)
    (y,) = convert(text)(np.full((1, 1, 3, 3), 9.0))
    assert y.tolist() == [[[[6], [9], [6]]]]


NORM = {"bn": [[2.0], [6.0], [2.0]], "sc": [[10.0], [5.0]]}  # mean 1, variance 3


def norm_and_scale(tops: str, between: str = "") -> str:
    first, second = tops.split()
    return (
        given(1, 1, 1, 2)
        + layer("bn", "BatchNorm", "data", first, "batch_norm_param { eps: 1 }")
        + between
        + layer("sc", "Scale", first, second, "scale_param { bias_term: true }")
        + layer("r", "ReLU", second, "out")
    )


@pytest.mark.parametrize("tops", ["b b", "b s"])
def test_batch_norm_and_scale(convert, tops: str) -> None:
    """(x - 1) / 2 * 10 + 5, whatever their tops are called."""
    found = convert(norm_and_scale(tops), NORM)
    assert found([[[[3, 1]]]])[0].tolist() == [[[[15, 5]]]]
    assert found.kinds == ["BatchNormalization", "Relu"]
    assert found.model.graph.node[0].output[0] == tops.split()[1]


def test_what_stands_between_in_the_file_does_not_matter(convert) -> None:
    between = given(1, 3, name="w") + layer("other", "TanH", "w", "o")
    found = convert(norm_and_scale("b s", between), NORM)
    assert found([[[[3, 1]]]], [[0, 0, 0]])[1].tolist() == [[[[15, 5]]]]


def test_a_batch_norm_that_others_read_stays(convert) -> None:
    text = norm_and_scale("b s") + layer("more", "Power", "b", "more")
    found = convert(text, NORM)
    assert [y.tolist() for y in found([[[[3, 1]]]])] == [[[[[15, 5]]]], [[[[1, 0]]]]]


def test_batch_norm_alone(convert) -> None:
    text = given(1, 1, 1, 2) + layer("bn", "BatchNorm", "data", "b", "batch_norm_param { eps: 1 }")
    found = convert(text, NORM)
    assert found([[[[3, 1]]]])[0].tolist() == [[[[1, 0]]]]
    assert list(found.initializers) == ["bn_mean", "bn_var", "bn_scale", "bn_b"]


def test_a_factor_of_0_makes_the_statistics_0(convert) -> None:
    text = given(1, 1, 1, 2) + layer("bn", "BatchNorm", "data", "b", "batch_norm_param { eps: 4 }")
    assert convert(text, {"bn": [[2.0], [6.0], [0.0]]})([[[[3, 1]]]])[0].tolist() == [
        [[[1.5, 0.5]]]
    ]


def test_a_batch_norm_of_a_constant(convert) -> None:
    text = norm_and_scale("b s").replace('type: "Input" top: "data" input_param', "PARAMETER")
    text = text.replace("PARAMETER", 'type: "Parameter" top: "data" parameter_param')
    text = given(1, 1, 1, 2, name="x") + text + layer("sum", "Eltwise", "x out", "sum")
    found = convert(text, {**NORM, "data": [[[[[3, 1]]]]]})
    assert found([[[[100, 200]]]])[0].tolist() == [[[[115, 205]]]]
    assert found.kinds == ["Identity", "Add"]


def test_coefficients(convert) -> None:
    fields = "eltwise_param { operation: SUM coeff: 1 coeff: -1 }"
    text = given(1, 2) + layer("t", "Power", "data", "t", "power_param { scale: 3 }")
    found = convert(text + layer("e", "Eltwise", "data t", "e", fields))
    assert found([[5, -1]])[0].tolist() == [[-10, 2]]


@pytest.mark.parametrize(("kind", "expected"), [("SUM", 10), ("PROD", 18), ("MAX", 6)])
def test_three_terms(convert, kind: str, expected: float) -> None:
    text = given(1, 1)
    for name, scale in (("a", 3), ("b", 6)):
        text += layer(name, "Power", "data", name, f"power_param {{ scale: {scale} }}")
    text += layer("e", "Eltwise", "data a b", "e", f"eltwise_param {{ operation: {kind} }}")
    assert convert(text)([[1]])[0].tolist() == [[expected]]


def test_prelu_by_channel(convert) -> None:
    text = given(1, 2, 1, 2) + layer("p", "PReLU", "data", "p")
    found = convert(text, {"p": [[0.5, 0.25]]})
    assert found([[[[-4, 4]], [[-4, 4]]]])[0].tolist() == [[[[-2, 4]], [[-1, 4]]]]


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_is_along_one_axis(convert, opset: int) -> None:
    text = given(1, 2, 1, 2) + layer("s", "Softmax", "data", "s")
    (y,) = convert(text, opset=opset)(np.zeros((1, 2, 1, 2)))
    assert y.tolist() == [[[[0.5, 0.5]], [[0.5, 0.5]]]]


@pytest.mark.parametrize("opset", [11, 12, 13])
def test_dropout_is_nothing(convert, opset: int) -> None:
    text = given(1, 2) + layer("d", "Dropout", "data", "d") + layer("r", "ReLU", "d", "r")
    assert convert(text, opset=opset)([[-1, 3]])[0].tolist() == [[0, 3]]


def test_lrn_within_a_channel(convert) -> None:
    """x / (1 + the average of 3 x 3 squares, of which one is not padding)."""
    fields = "lrn_param { local_size: 3 alpha: 9 beta: 1 norm_region: WITHIN_CHANNEL }"
    text = given(1, 1, 1, 1) + layer("l", "LRN", "data", "l", fields)
    assert convert(text)([[[[3]]]])[0].tolist() == [[[[pytest.approx(0.3)]]]]


def test_slices_without_points_are_equal(convert) -> None:
    text = given(1, 4) + layer("s", "Slice", "data", "a b")
    found = convert(text)
    assert found.outputs == ["a", "b"]
    assert [y.tolist() for y in found([[1, 2, 3, 4]])] == [[[1, 2]], [[3, 4]]]


def test_inner_products_across(convert) -> None:
    fields = "inner_product_param { num_output: 2 axis: 2 transpose: true bias_term: false }"
    text = given(1, 2, 3) + layer("ip", "InnerProduct", "data", "ip", fields)
    found = convert(text, {"ip": [[[1, 0], [0, 1], [1, 1]]]})
    assert found([[[1, 2, 3], [4, 5, 6]]])[0].tolist() == [[[4, 5], [10, 11]]]


def test_upsample(convert) -> None:
    text = given(1, 1, 1, 2) + layer("u", "Upsample", "data", "u", "upsample_param { scale: 2 }")
    found = convert(text, how={"dialect": "caffe2onnx"})
    assert found([[[[1, 2]]]])[0].tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_shuffle_channel(convert) -> None:
    fields = "shuffle_channel_param { group: 2 }"
    text = given(1, 6, 1, 1) + layer("s", "ShuffleChannel", "data", "s", fields)
    (y,) = convert(text)(np.arange(6).reshape(1, 6, 1, 1))
    assert y.ravel().tolist() == [0, 3, 1, 4, 2, 5]


def test_interp(convert) -> None:
    fields = "interp_param { height: 1 width: 3 }"
    text = given(1, 1, 1, 2) + layer("i", "Interp", "data", "i", fields)
    assert convert(text)([[[[1, 2]]]])[0].tolist() == [[[[1, 1.5, 2]]]]


def test_crop(convert) -> None:
    text = given(1, 1, 1, 4) + given(1, 1, 1, 2, name="like")
    text += layer("c", "Crop", "data like", "c", "crop_param { axis: 3 offset: 1 }")
    assert convert(text)([[[[1, 2, 3, 4]]]], [[[[0, 0]]]])[0].tolist() == [[[[2, 3]]]]


def test_scale_by_another_blob(convert) -> None:
    text = given(1, 2, 1, 2) + given(1, 2, name="gate")
    text += layer("s", "Scale", "data gate", "s", "scale_param { axis: 0 }")
    assert convert(text)([[[[1, 2]], [[3, 4]]]], [[10, 100]])[0].tolist() == [
        [[[10, 20]], [[300, 400]]]
    ]


def test_one_layer_name_twice(convert) -> None:
    """Caffe allows it; onnxruntime wants names of their own."""
    text = given(1, 2) + layer("f", "TanH", "data", "a") + layer("f", "AbsVal", "a", "b")
    (y,) = convert(text)([[0, -3]])
    assert y.tolist() == [[0, pytest.approx(np.tanh(3))]]


def test_a_training_net(convert) -> None:
    text = """layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
        layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TEST } }
        """ + layer("r", "ReLU", "data", "r")
    text += layer("loss", "SoftmaxWithLoss", "r label", "loss") + layer("p", "Softmax", "r", "p")
    found = convert(text, how={"input_shapes": {"data": (1, 2)}})
    assert found.inputs == ["data_input"]
    assert found([[0, np.log(3)]])[0].tolist() == [[pytest.approx(0.25), pytest.approx(0.75)]]


def test_an_unknown_field(convert) -> None:
    text = given(1, 2) + layer("r", "ReLU", "data", "r", "new_field: 3")
    with pytest.warns(DemitasseWarning, match="unknown field new_field is ignored"):
        found = convert(text)
    assert found([[-1, 3]])[0].tolist() == [[0, 3]]


def test_what_no_model_can_hold(convert) -> None:
    text = given(1, 2) + layer("u", "NoSuchLayer", "data", "u")
    with pytest.raises(DemitasseError, match="unknown layer type 'NoSuchLayer'"):
        convert(text)
