"""What a network consists of, layer by layer, as far as it can be read."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.written import weight_layer

from demitasse.converter.caffe.survey import Survey, survey_caffe
from demitasse.converter.caffe.writer import write_caffemodel
from demitasse.errors import DemitasseError, DemitasseWarning, ParseError

INPUT = 'input: "data" input_shape { dim: 4 dim: 3 dim: 8 dim: 8 }\n'
NOTHING: dict[str, Any] = {
    "input_shapes": None,
    "outputs": None,
    "plugins": (),
    "phase": "TEST",
    "level": 0,
    "stages": (),
    "dialect": None,
    "strict": False,
}
# Two towers, as published: output channels, kernel, stride, pad, groups, and what follows.
ALEXNET = (
    (96, 11, 4, 0, 1, True),
    (256, 5, 1, 2, 2, True),
    (384, 3, 1, 1, 1, False),
    (384, 3, 1, 1, 2, False),
    (256, 3, 1, 1, 2, True),
)


@pytest.fixture
def survey(tmp_path: Path):
    def survey_text(text: str, **how: Any) -> Survey:
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return survey_caffe(path, None, **{**NOTHING, **how})

    return survey_text


def layer(name: str, kind: str, bottoms: str, tops: str, more: str = "") -> str:
    blobs = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {more} }}\n'


def alexnet() -> str:
    text, blob = 'input: "data" input_shape { dim: 10 dim: 3 dim: 227 dim: 227 }\n', "data"
    for i, (channels, kernel, stride, pad, groups, pooled) in enumerate(ALEXNET):
        param = f"num_output: {channels} kernel_size: {kernel} stride: {stride} pad: {pad}"
        more = f"convolution_param {{ {param} group: {groups} }}"
        text += layer(f"conv{i}", "Convolution", blob, f"conv{i}", more)
        text += layer(f"relu{i}", "ReLU", f"conv{i}", f"conv{i}")
        blob = f"conv{i}"
        if pooled:
            more = "pooling_param { kernel_size: 3 stride: 2 }"
            text += layer(f"pool{i}", "Pooling", blob, f"pool{i}", more)
            blob = f"pool{i}"
    for i, channels in enumerate((4096, 4096, 1000)):
        more = f"inner_product_param {{ num_output: {channels} }}"
        text += layer(f"fc{i}", "InnerProduct", blob, f"fc{i}", more)
        blob = f"fc{i}"
    return text


def test_alexnet_counts_as_published(survey) -> None:
    """724 M multiply-accumulates a picture, 60,965,224 parameters, from the text alone."""
    summary = survey(alexnet()).summary
    assert summary.parameters == 60_965_224
    assert round(summary.macs / 1e6) == 724
    assert summary.inputs == {"data": (1, 3, 227, 227)}
    assert [row.macs for row in summary.rows if row.kind == "ReLU"] == [0] * 5


PUBLISHED = {  # multiply-accumulates in M, parameters in M
    "bvlc__models__bvlc_alexnet__deploy": (724, 60.97),
    "segnet__models__bvlc_googlenet__deploy": (1583, 6.999),
    "caffe2onnx__test__caffemodel__resnet50__resnet-50-model": (3858, 25.56),
    "caffe2onnx__test__caffemodel__resnet18__resnet-18": (1827, 11.69),
    "caffe2onnx__test__caffemodel__mobilenet__mobilenet": (569, 4.232),
    "rknn__examples__caffe__mobilenet_v2__mobilenet_v2": (None, 3.505),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_public_nets_count_as_published(name: str, models_dir: Path) -> None:
    """Within the statistics of BatchNorms, which papers leave out and we count."""
    macs, parameters = PUBLISHED[name]
    summary = survey_caffe(models_dir / "zoo" / f"{name}.prototxt", None, **NOTHING).summary
    assert summary.parameters / 1e6 == pytest.approx(parameters, rel=0.011)
    if macs is not None:
        assert round(summary.macs / 1e6) == macs


def test_counts_follow_from_caffes_shapes(models_dir: Path) -> None:
    """Multiply-accumulates and parameters of whole nets, from shapes that real Caffe recorded."""
    recorded = json.loads((models_dir / "zoo" / "shapes_from_caffe.json").read_text())
    compared = 0
    for name, verdict in recorded.items():
        if verdict["bvlc"] != "OK":
            continue
        found = survey_caffe(models_dir / "zoo" / name, None, **NOTHING)
        if found.problems or "LSTM" in {row.kind for row in found.summary.rows}:
            continue
        net = verdict["net"]
        macs, parameters = counted(net)
        assert found.summary.parameters == parameters, name
        assert found.summary.macs == macs, name
        compared += 1
    assert compared >= 15


def counted(net: dict[str, Any]) -> tuple[int, int]:
    """Of one sample."""
    macs = parameters = 0
    for one in net["layers"]:
        shapes = one["params"][:2] if one["type"] == "BatchNorm" else one["params"]
        parameters += sum(prod(shape) for shape in shapes)
        blob = one["bottoms"] if one["type"] == "Deconvolution" else one["tops"]
        if one["type"] in ("Convolution", "Deconvolution"):
            macs += prod(shapes[0]) * prod(net["shapes"][blob[0]][2:])
        elif one["type"] == "InnerProduct":
            macs += prod(shapes[0])
    return macs, parameters


def test_a_layer_is_one_row_whatever_it_is_made_of(survey) -> None:
    more = "convolution_param { num_output: 6 kernel_size: 3 kernel_size: 1 stride: 2 group: 3 }"
    found = survey(
        INPUT
        + layer("c", "Convolution", "data", "c", more)
        + layer("r", "ReLU", "c", "c")
        + layer("s", "Slice", "c", "a b")
    ).summary
    rows = {row.name: row for row in found.rows}
    assert rows["c"].detail == "3x1 /2 in 3 groups"
    assert rows["c"].outputs[0].shape == (1, 6, 3, 4)
    assert rows["c"].memory == 4 * 6 * 3 * 4
    assert [rows[name].in_place for name in "crs"] == [False, True, False]
    assert [output.shape for output in rows["s"].outputs] == [(1, 3, 3, 4)] * 2
    assert rows["s"].inputs == ("c",)


def test_shared_parameters_count_once(survey) -> None:
    share = 'param { name: "w" } inner_product_param { num_output: 192 bias_term: false }'
    found = survey(
        INPUT
        + layer("a", "InnerProduct", "data", "a", share)
        + layer("b", "InnerProduct", "a", "b", share)
    ).summary
    assert found.parameters == 192 * 192
    assert [row.parameters for row in found.rows] == [192 * 192] * 2


def test_every_unsupported_layer_is_listed_beside_what_is_known(survey) -> None:
    found = survey(
        INPUT
        + layer("n1", "Nonsense", "data", "n1", "nonsense_param { x: 1 }")
        + layer(
            "c", "Convolution", "data", "c", "convolution_param { num_output: 2 kernel_size: 1 }"
        )
        + layer("r", "ReLU", "n1", "n1")
        + layer("n2", "Nonsense", "c", "n2")
        + layer("m", "Mystery", "c", "m")
        + layer("s", "Eltwise", "n2 m", "s")
    )
    assert found.unsupported == {"Nonsense": ("n1", "n2"), "Mystery": ("m",)}
    rows = {row.name: row for row in found.summary.rows}
    assert list(rows) == ["n1", "c", "r", "n2", "m", "s"]
    assert rows["c"].outputs[0].shape == (4, 2, 8, 8)
    assert rows["c"].macs == 4 * 2 * 3 * 64
    assert [rows[name].outputs[0].shape for name in ("n1", "r", "s")] == [None] * 3
    assert [bool(rows[name].problem) for name in rows] == [True, False, False, True, True, False]
    assert found.summary.outputs == {"n1": None, "s": None}
    assert len(found.problems) == 2
    assert "net.prototxt:2" in str(found.problems[0])


def test_other_problems_are_told_with_their_layer(survey) -> None:
    found = survey(
        INPUT
        + layer("c", "Convolution", "data", "c", "convolution_param { num_output: 2 }")
        + layer("r", "ReLU", "nowhere", "r")
        + layer("t", "TanH", "data", "t")
    )
    rows = {row.name: row for row in found.summary.rows}
    assert "kernel_size" in (rows["c"].problem or "")
    assert rows["t"].outputs[0].shape == (4, 3, 8, 8)
    assert [type(problem) for problem in found.problems] == [ParseError, ParseError]
    assert found.unsupported == {}


def test_a_net_without_a_shape_is_shown_without(survey) -> None:
    found = survey('input: "data"\n' + layer("t", "TanH", "data", "t"))
    assert found.summary.inputs == {"data": None}
    assert found.summary.rows[0].outputs[0].shape is None
    assert "--input-shape data=" in str(found.problems[0])


def test_weights_count_even_where_nothing_else_is_known(tmp_path: Path) -> None:
    text = layer("c", "Convolution", "data", "c", "convolution_param { num_output: 2 }")
    text += layer("n", "BatchNorm", "c", "n") + layer("o", "Odd", "n", "o")
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text('input: "data"\n' + text)
    arrays = {"c": [np.ones((2, 3, 3, 3)), np.ones(2)], "n": [np.ones(2), np.ones(2), np.ones(1)]}
    write_caffemodel(weights, [weight_layer(*item) for item in {**arrays, "o": [[7]]}.items()])
    found = survey_caffe(path, weights, **NOTHING).summary
    assert [row.parameters for row in found.rows] == [54 + 2, 4, 1]
    assert found.parameters == 61


def test_remarks_stay_warnings(survey) -> None:
    text = INPUT + layer("t", "TanH", "data", "t", "colour: 3")
    with pytest.warns(DemitasseWarning, match="unknown field colour"):
        assert survey(text).problems == ()
    assert "unknown field colour" in str(survey(text, strict=True).problems[0])


def test_nothing_to_show_is_an_error(survey) -> None:
    with pytest.raises(ParseError, match="without layers"):
        survey('name: "empty"')
    with pytest.raises(DemitasseError, match="unknown dialect"):
        survey(INPUT, dialect="klingon")
