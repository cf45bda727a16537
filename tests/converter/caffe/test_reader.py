"""`load_caffe`: weights, fillers, remarks, plug-ins, and everything wrong at once."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.converter.ops import Clip, Deconv2d
from demitasse.errors import (
    DemitasseError,
    DemitasseWarning,
    ParseError,
    ShapeError,
    UnsupportedError,
    WeightsError,
)

INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }\n'
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"\n'
    "  convolution_param { num_output: 2 kernel_size: 3 %s } }\n"
)
FC = (
    'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"\n'
    "  inner_product_param { num_output: 4 %s } }\n"
)
WEIGHT, BIAS = np.arange(54.0).reshape(2, 3, 3, 3), np.array([1.0, 2.0])


def test_weights_arrive_unchanged(load) -> None:
    graph = load(INPUT + CONV % "", {"other": [[1]], "conv": [WEIGHT, BIAS]})
    weights = graph.nodes[0].weights
    np.testing.assert_array_equal(weights["weight"], np.float32(WEIGHT))
    np.testing.assert_array_equal(weights["bias"], np.float32(BIAS))
    assert not weights["weight"].flags.owndata


def test_without_a_caffemodel_nodes_have_no_weights(load) -> None:
    text = INPUT + CONV % 'weight_filler { type: "xavier" } bias_filler { value: 1 }'
    graph = load(text)
    assert graph.nodes[0].weights == {}
    assert graph.tensors["conv"].shape == (1, 2, 4, 4)


def test_legacy_shapes(load) -> None:
    weights = {"fc": [np.ones((1, 1, 4, 108)), np.ones((1, 1, 1, 4))]}
    weights_of = load(INPUT + FC % "", weights).nodes[0].weights
    assert weights_of["weight"].shape == (4, 108)
    assert weights_of["bias"].shape == (4,)


def test_transposed_inner_product(load) -> None:
    stored = np.arange(432.0).reshape(108, 4)
    node = load(INPUT + FC % "transpose: true bias_term: false", {"fc": [stored]}).nodes[0]
    np.testing.assert_array_equal(node.weights["weight"], stored.T.astype(np.float32))


def test_batch_norm_statistics_are_divided_by_the_factor(load) -> None:
    text = INPUT + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "y" }'
    mean, variance = np.array([1, 2, 3]), np.array([4, 5, 6])
    for factor, expected in ((10, mean / 10), (0, mean * 0)):
        node = load(text, {"bn": [mean, variance, [factor]]}).nodes[0]
        np.testing.assert_allclose(node.weights["mean"], expected, rtol=1e-6)
    without_factor = load(text, {"bn": [mean.reshape(1, 3, 1, 1), variance]}).nodes[0]
    np.testing.assert_array_equal(without_factor.weights["variance"], variance)


def test_bilinear_filler_is_a_weight(load) -> None:
    """The kernel of FCN's upsampling by 2: outer product of (1, 3, 3, 1) / 4."""
    graph = load(
        INPUT + 'layer { name: "up" type: "Deconvolution" bottom: "data" top: "up"\n'
        "convolution_param { num_output: 3 group: 3 kernel_size: 4 stride: 2 pad: 1\n"
        'bias_term: false weight_filler { type: "bilinear" } } }'
    )
    row = np.array([1, 3, 3, 1]) / 4
    expected = np.broadcast_to(np.outer(row, row), (3, 1, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(graph.nodes[0].weights["weight"], expected)
    assert graph.nodes[0].op == Deconv2d(3, (4, 4), (2, 2), (1, 1, 1, 1), groups=3)
    assert graph.tensors["up"].shape == (1, 3, 12, 12)


def test_a_filler_in_place_of_a_missing_layer_is_said(load) -> None:
    text = INPUT + CONV % "weight_filler { value: 2 } bias_term: false"
    with pytest.warns(DemitasseWarning, match=":2: layer 'conv': no weights in net.caffemodel"):
        graph = load(text, {"other": [[1]]})
    assert (graph.nodes[0].weights["weight"] == 2).all()


def test_shared_weights(load) -> None:
    share = 'layer { name: "%s" type: "PReLU" bottom: "%s" top: "%s" param { name: "slope" } }\n'
    text = INPUT + share % ("a", "data", "y") + share % ("b", "y", "z")
    graph = load(text, {"a": [[1, 2, 3]], "b": [[7, 8, 9]]})
    for node in graph.nodes:
        np.testing.assert_array_equal(node.weights["slope"], [1, 2, 3])


def test_repeated_names_in_the_file(tmp_path: Path) -> None:
    text = INPUT
    for bottom, top in (("data", "y"), ("y", "z")):
        text += f'layer {{ name: "p" type: "PReLU" bottom: "{bottom}" top: "{top}" }}\n'
    (tmp_path / "n.prototxt").write_text(text)
    slopes = [np.float32([i, i, i]) for i in (1, 2)]
    write_caffemodel(
        tmp_path / "n.caffemodel", [WeightLayer("p", "PReLU", arrays=(s,)) for s in slopes]
    )
    graph = load_caffe(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    for node, slope in zip(graph.nodes, slopes, strict=True):
        np.testing.assert_array_equal(node.weights["slope"], slope)


BAD_WEIGHTS = [
    (
        {"conv": [WEIGHT[:, :2], BIAS]},
        "weight has shape (2, 2, 3, 3) in net.caffemodel, expected (2, 3, 3, 3); check that",
    ),
    ({"conv": [WEIGHT]}, "expected 2 blobs (weight, bias), found 1 in net.caffemodel"),
    ({"conv": [WEIGHT, BIAS, BIAS]}, "expected 2 blobs (weight, bias), found 3"),
    ({"conv_": [WEIGHT, BIAS]}, "no weights in net.caffemodel; it has 'conv_'; check that"),
    ({"other": [[1]]}, "no weights in net.caffemodel; check that prototxt and caffemodel belong"),
]


@pytest.mark.parametrize(("weights", "message"), BAD_WEIGHTS)
def test_weights_that_do_not_fit(load, weights: dict, message: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load(INPUT + CONV % "", weights)
    assert f"net.prototxt:2: layer 'conv': {message}" in str(caught.value)


BAD_LAYERS = [
    ("Convolution", "convolution_param { num_output: 2 }", "has no kernel_size"),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 3 kernel_h: 3 kernel_w: 3 }",
        "has both kernel_size and kernel_h/kernel_w",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 3 pad: 1 pad_h: 1 }",
        "has both pad and pad_h/pad_w",
    ),
    ("Convolution", "convolution_param { kernel_size: 3 }", "num_output 0 and group 1 must be"),
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 9 }", "the kernel (9, dil"),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 1 group: 2 }",
        "3 input channels and num_output 2 must be multiples of group 2",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 1 kernel_size: 1 kernel_size: 1 }",
        "kernel_size has 3 values for 2 spatial axes",
    ),
    ("Convolution", "convolution_param { num_output: 2.5 }", "num_output should be an integer"),
    (
        "Convolution",
        "convolution_param { num_output: 4294967296 kernel_size: 3 bias_filler { value: 1 } }",
        "has more than 2147483647 elements",
    ),
    ("Pooling", "", "has no kernel_size"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "pooling pad 2 must be smaller"),
    (
        "Pooling",
        "pooling_param { global_pooling: true kernel_size: 2 }",
        "global_pooling takes the input's size, a kernel is given too",
    ),
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 pad: 1 }", "MAX and AVE pooling"),
    ("Pooling", "pooling_param { pool: MEAN kernel_size: 2 }", "one of MAX, AVE, STOCHASTIC"),
    ("InnerProduct", "", "num_output 0 must be positive"),
    ("InnerProduct", "inner_product_param { num_output: 1 axis: 4 }", "axis 4 is outside"),
    ("LRN", "lrn_param { local_size: 4 }", "local_size must be odd"),
    ("Concat", "concat_param { axis: 1 concat_dim: 1 }", "has both axis and concat_dim"),
    ("Slice", "slice_param { slice_point: 1 }", "1 slice points for 1 tops"),
    ("Reshape", "reshape_param { shape { dim: 5 dim: -1 } }", "cannot reshape (1, 3, 6, 6)"),
    ("Scale", "scale_param { axis: 3 num_axes: 2 }", "2 axes from axis 3 exceed shape"),
    ("Softmax", "softmax_param { axis: -5 }", "axis -5 is outside a blob of 4 axes"),
    ("Eltwise", "", "Eltwise takes at least 2 bottoms, found 1"),
    ("ReLU", 'bottom: "data"', "ReLU takes 1 bottom, found 2"),
    ("Crop", "", "Crop takes 2 bottoms, found 1"),
]


@pytest.mark.parametrize(("kind", "param", "message"), BAD_LAYERS)
def test_layers_that_caffe_refuses(load, kind: str, param: str, message: str) -> None:
    text = f'layer {{ name: "l" type: "{kind}" bottom: "data" top: "y"\n{param} }}'
    with pytest.raises(DemitasseError) as caught:
        load(INPUT + text)
    assert "layer 'l': " in str(caught.value)
    assert message in str(caught.value)


def test_everything_wrong_is_told_at_once(load) -> None:
    text = (
        INPUT
        + 'layer { name: "o1" type: "Odd" bottom: "data" top: "o1" }\n'
        + 'layer { name: "s" type: "Strange" bottom: "data" top: "s" }\n'
        + 'layer { name: "o2" type: "Odd" bottom: "o1" top: "o2" }\n'
        + 'layer { name: "p" type: "PReLU" bottom: "data" top: "p" }\n'
        + 'layer { name: "q" type: "PReLU" bottom: "o2" top: "q" }\n'
        + 'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" }\n'
        + FC % "bias_term: false"
    )
    with pytest.raises(DemitasseError) as caught:
        load(text, {"fc": [np.ones((4, 107))]})
    message = str(caught.value)
    assert message.splitlines()[0].endswith("net.prototxt: 6 problems:")
    for part in (
        "2: unknown layer type 'Odd' (layers o1, o2)\n",
        "3: unknown layer type 'Strange' (layer s); read it with --plugin",
        "5: layer 'p': no weights in net.caffemodel",
        "6: layer 'q': no weights in net.caffemodel",
        "7: layer 'pool': has no kernel_size",
        "8: layer 'fc': weight has shape (4, 107) in net.caffemodel, expected (4, 108)",
    ):
        assert part in message


def test_one_kind_of_problem_keeps_its_class(load) -> None:
    with pytest.raises(UnsupportedError, match="2 problems"):
        load(
            INPUT
            + 'layer { name: "a" type: "A" bottom: "data" top: "a" }\n'
            + 'layer { name: "b" type: "B" bottom: "data" top: "b" }\n'
        )


def test_unknown_fields_are_said_once(load) -> None:
    relu = 'layer { name: "%s" type: "ReLU" bottom: "data" top: "%s" relu_param { fuse: true } }\n'
    text = "mem_param { optimize_train: true }\n" + INPUT + relu % ("a", "a") + relu % ("b", "b")
    with pytest.warns(DemitasseWarning) as caught:
        load(text)
    messages = [str(warning.message).partition("net.prototxt:")[2] for warning in caught]
    assert messages == [
        "1: unknown field mem_param is ignored",
        "3: layer 'a': unknown field relu_param.fuse is ignored (and 1 more); "
        "it may change the result",
    ]
    assert Path(caught[0].filename).name == "written.py"  # that is who called load_caffe


def test_strict_makes_them_errors(load) -> None:
    relu = 'layer { name: "a" type: "ReLU" bottom: "data" top: "a" foo: 3 }'
    with pytest.raises(ParseError, match=":2: layer 'a': unknown field foo is ignored"):
        load(INPUT + relu, strict=True)


def test_a_field_given_twice(load) -> None:
    text = INPUT + CONV % "group: 3 group: 1"
    with pytest.raises(ParseError, match=r"convolution_param.group is given twice"):
        load(text)


def test_known_fields_are_no_remark(load) -> None:
    text = INPUT + CONV % "engine: CAFFE weight_filler { type: 'msra' std: 1 }"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(text)


def test_input_shapes(load) -> None:
    pool = (
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p"'
        " pooling_param { global_pooling: true pool: AVE } }"
    )
    graph = load(INPUT + pool, input_shapes={"data": [2, 5, 7, 9]})
    assert graph.tensors["p"].shape == (2, 5, 1, 1)
    with pytest.raises(
        ShapeError, match="no input 'image' to give a shape to; the inputs are data"
    ):
        load(INPUT + pool, input_shapes={"image": (1, 3, 6, 6)})
    with pytest.raises(ShapeError, match=r"input 'data' cannot have shape \(1, 0, 6, 6\)"):
        load(INPUT + pool, input_shapes={"data": (1, 0, 6, 6)})
    with pytest.raises(ShapeError, match="input 'data' has no shape; give it with --input-shape"):
        load('input: "data"\n' + pool)


def test_shapes_and_tops_of_an_input_layer(load) -> None:
    text = (
        'layer { name: "in" type: "Input" top: "a" top: "b" top: "c" input_param {'
        " shape { dim: 1 } shape { dim: 2 } } }"
        'layer { name: "r" type: "ReLU" bottom: "a" top: "y" }'
    )
    with pytest.raises(ShapeError, match="2 shapes for 3 tops"):
        load(text)


def test_swapped_and_wrong_files(tmp_path: Path, load) -> None:
    load(INPUT + CONV % "", {"conv": [WEIGHT, BIAS]})
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    with pytest.raises(ParseError, match="expected a prototxt, found binary data; were the"):
        load_caffe(model, prototxt)
    with pytest.raises(ParseError, match="expected a caffemodel, found text; were the"):
        load_caffe(prototxt, prototxt)
    with pytest.raises(DemitasseError, match=r"none.prototxt: cannot read: no such file"):
        load_caffe(tmp_path / "none.prototxt")
    with pytest.raises(ParseError, match=r"a solver, which .*; give its net, train.prototxt"):
        load("net: 'train.prototxt'\nbase_lr: 0.01")
    with pytest.raises(DemitasseError, match="unknown dialect 'cafe'; use one of bvlc"):
        load(INPUT, dialect="cafe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_lr: 0.01\nnet: 'train.prototxt'", ":2: a solver, .*; give its net, train.prototxt"),
        ("train_net: 'a.prototxt'\ntest_net: 'b.prototxt'", ":2: a solver, .*; .* b.prototxt"),
        ("base_lr: 0.01\nlr_policy: 'step'", ":1: a solver, which has no layers; give its net"),
        ("name: 'empty'", ": a net without layers"),
    ],
)
def test_solvers(load, text: str, message: str) -> None:
    with pytest.raises(ParseError, match=f"net.prototxt{message}"):
        load(text)


def test_a_net_inside_a_solver(load) -> None:
    net = INPUT + CONV % ""
    assert load(f"base_lr: 0.1\nnet_param {{ {net} }}").outputs == ("conv",)
    two = f"train_net_param {{ name: 'none' }} test_net_param {{ {net} }}"
    assert load(two).outputs == ("conv",)


PLUGIN = """
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Clip

@caffe_layer("Odd", "ReLU")
def odd(context):
    context.expect()
    context.emit(Clip(0.0, context.params("odd_param").real("limit", 1.0)))
"""


def test_plugin(tmp_path: Path, load) -> None:
    plugin = tmp_path / "odd.py"
    plugin.write_text(PLUGIN)
    text = (
        INPUT
        + 'layer { name: "o" type: "Odd" bottom: "data" top: "o" odd_param { limit: 2 } }\n'
        + 'layer { name: "r" type: "ReLU" bottom: "o" top: "r" }'
    )
    graph = load(text, plugins=[plugin])
    assert [node.op for node in graph.nodes] == [Clip(0, 2), Clip(0, 1)]
    with pytest.raises(UnsupportedError, match="unknown layer type 'Odd'"):
        load(text)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\ny = z\n", "plug.py:2: the plug-in fails: NameError: name 'z' is not defined"),
        ("def f(:\n", "plug.py:1: the plug-in fails: SyntaxError"),
        ("x = 1\n", "plug.py: the plug-in registers no layer; decorate"),
        (None, "plug.py: cannot read the plug-in: No such file"),
    ],
)
def test_plugins_that_fail(tmp_path: Path, load, code: str | None, message: str) -> None:
    if code is not None:
        (tmp_path / "plug.py").write_text(code)
    with pytest.raises(DemitasseError) as caught:
        load(INPUT, plugins=[tmp_path / "plug.py"])
    assert message in str(caught.value)
