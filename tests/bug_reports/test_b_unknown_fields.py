"""Reports about fields and types of forks: one unknown field killed the whole parse."""

from __future__ import annotations

import warnings

import pytest
from support.written import data_net, layer

from demitasse.converter.caffe.survey import survey_caffe
from demitasse.converter.ops import Pool2d
from demitasse.errors import DemitasseWarning, UnsupportedError

# Number and report, layer type, the message that readers choked on.
FORKS = [
    ("26 rknn-toolkit#343", "MatMul", "matmul_param { dim_1: 2 }"),
    ("27 MNN#29", "Reverse", "reverse_param { axis: 1 }"),
    ("28 MMdnn#137, 30 TensorRT#346", "Region", "region_param { classes: 20 coords: 4 num: 5 }"),
    ("29 TensorRT#969", "Reorg", "reorg_param { stride: 2 }"),
    ("31 TensorRT#8", "ROIPooling", "roi_pooling_param { pooled_h: 2 pooled_w: 2 }"),
    ("32 TensorRT-Yolov3#2", "Upsample", "upsample_param { scale: 2 }"),
    ("33 jetson-inference#601", "Pooling", "pooling_param { kernel_size: 2 ceil_mode: false }"),
    ("34 opencv#10718", "BatchNorm", "batch_norm_param { scale_filler { value: 1 } }"),
    ("35 opencv_contrib#830", "Crop", "crop_param { axis: 2 offset: 0 }"),
    ("36 caffe-onnx#11, 37 openvino#8391", "BN", "bn_param { scale_filler { } shift_filler { } }"),
    ("38 caffe2onnx#2", "DeephiResize", "deephi_resize_param { new_height: 8 new_width: 8 }"),
    ("39 sceneReco#33", "Transpose", "transpose_param { dim: 0 dim: 1 dim: 3 dim: 2 }"),
    ("40 RCF#49", "Convolution", "convolution_param { num_output: 4 kernel_size: 3 dilation: 2 }"),
    ("any", "TanH", "brand_new_param { a: 1 b { c: SOME } d: [1, 2] e: <f: 'g'> }"),
]
ALL = {
    "dialect": None,
    "input_shapes": None,
    "outputs": None,
    "plugins": (),
    "phase": "TEST",
    "level": 0,
    "stages": (),
    "strict": False,
}


@pytest.mark.parametrize("param", [row[1:] for row in FORKS], ids=[row[0] for row in FORKS])
def test_fields_of_forks_never_kill_the_parse(load, tmp_path, param: tuple[str, str]) -> None:
    """26 to 40: the advice was always to edit caffe.proto and rebuild. Texts are read without a
    schema; at most the layer's type is unknown, and then type, layer and line are named."""
    kind, more = param
    text = data_net(1, 4, 8, 8) + layer("before", "TanH", "data")
    text += layer("fork", kind, "before" if kind != "Crop" else "before data", more=more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemitasseWarning)
        (tmp_path / "net.prototxt").write_text(text)
        found = survey_caffe(tmp_path / "net.prototxt", None, **ALL)
    assert found.summary.rows[0].outputs[0].shape == (1, 4, 8, 8)
    for problem in found.problems:
        told = str(problem)
        assert "net.prototxt:3: " in told
        assert "fork" in told
        if kind in ("MatMul",):
            assert isinstance(problem, UnsupportedError)
            assert f"unknown layer type '{kind}'" in told
    if kind not in ("MatMul", "ROIPooling", "Region"):  # the latter need more bottoms or a region
        assert not found.problems


def test_a_field_that_nobody_knows_is_said_once_with_its_place(load) -> None:
    """Any: kept, and told with line and layer; that it may change the result if the layer's own."""
    text = data_net(1, 4, 4, 4)
    for i in range(3):
        text += layer(f"p{i}", "Pooling", "data", more="pooling_param { kernel_size: 2 odd: 1 }")
    with pytest.warns(DemitasseWarning) as said:
        load(text)
    (warning,) = said
    told = str(warning.message)
    for words in ("net.prototxt:2", "layer 'p0'", "pooling_param.odd", "2 more", "may change"):
        assert words in told


def test_33_and_48_are_obeyed(load) -> None:
    """33: the field is not only survived, it decides the rounding."""
    more = "pooling_param { kernel_size: 3 stride: 2 ceil_mode: %s }"
    graph = load(
        data_net(1, 1, 6, 6)
        + layer("up", "Pooling", "data", more=more % "true")
        + layer("down", "Pooling", "data", more=more % "false")
    )
    assert [node.op.ceil_mode for node in graph.nodes if isinstance(node.op, Pool2d)] == [
        True,
        False,
    ]
    assert [graph.tensors[name].shape[2] for name in ("up", "down")] == [3, 2]


def test_all_unsupported_layers_in_one_pass(load) -> None:
    """42, 43 (openvino#2658, MMdnn#29, #57): the first unknown layer ended the run, or a KeyError
    did. Every type is named, with its layers."""
    text = (
        data_net(1, 4, 4, 4)
        + layer("m1", "MatMul", "data")
        + layer("t", "TanH", "m1")
        + layer("m2", "MatMul", "t")
        + layer("g", "GridSampler", "data")
    )
    with pytest.raises(UnsupportedError) as caught:
        load(text)
    told = str(caught.value)
    for words in ("MatMul", "m1, m2", "GridSampler", "layer g", "--plugin"):
        assert words in told
    assert "'t'" not in told


def test_interp_and_bn_are_layers_like_others(load) -> None:
    """43 (MMdnn#57, #191): `KeyError: None` on PSPNet, whose Interp and BN had no name."""
    graph = load(
        data_net(1, 2, 3, 3)
        + layer("bn", "BN", "data", more="bn_param { frozen: true }")
        + layer("up", "Interp", "bn", more="interp_param { height: 6 width: 6 }")
    )
    assert graph.tensors["up"].shape == (1, 2, 6, 6)
