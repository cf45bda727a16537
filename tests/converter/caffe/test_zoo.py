"""Public networks of many dialects: Caffe's verdicts and shapes, and what only forks can read."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demitasse.converter.caffe.reader import Reading, load_caffe, read_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.flat import write_model
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize, single_sample
from demitasse.errors import DemitasseError, DemitasseWarning, UnsupportedError
from demitasse.runtime.model import Model

# What Caffe (BVLC's or SSD's) could read: all of it is recorded.
ACCEPTED_NAMES = """
bvlc__models__bvlc_alexnet__deploy bvlc__models__bvlc_reference_caffenet__deploy
bvlc__models__bvlc_reference_rcnn_ilsvrc13__deploy bvlc__models__finetune_flickr_style__deploy
caffe2onnx__test__caffemodel__mobilenet__mobilenet caffe2onnx__test__caffemodel__resnet18__resnet-18
caffe2onnx__test__caffemodel__resnet50__resnet-50-model
caffe2onnx__test__caffemodel__yolov5__yolov5s-4.0-not-focus-deconv
intel__examples__LRCN_activity_recognition__deploy_lstm
intel__models__intel_optimized_models__benchmark__alexnet__deploy
intel__models__intel_optimized_models__benchmark__googlenet__deploy
intel__models__intel_optimized_models__benchmark__googlenet_v3__deploy
intel__models__intel_optimized_models__benchmark__mobilenet_v2__deploy
intel__models__intel_optimized_models__benchmark__resnet_50__deploy mssd__deploy
mssd__voc__MobileNetSSD_deploy myolo__models__convert__darknet19_voc_deploy
myolo__models__pelee__VOC0712__SSD_304x304__deploy myolo__models__pelee__deploy
rknn__examples__caffe__mobilenet_v2__mobilenet_v2 segnet__models__bvlc_alexnet__deploy
segnet__models__bvlc_googlenet__deploy segnet__models__bvlc_reference_caffenet__deploy
segnet__models__bvlc_reference_rcnn_ilsvrc13__deploy
"""
ACCEPTED = ACCEPTED_NAMES.split()

# What only a fork could read: shapes from the papers and by hand from the texts. SSD300 has 8732
# priors; YOLOv2 at 416 joins 1024 channels and 64 that Reorg makes 256; the YOLO heads of VOC have
# 3 * (20 + 5) channels or, of version 2, 5 * 25.
FORKS: dict[str, dict[str, tuple[int, ...]]] = {
    "kmfn__proto__deploy": {"conv1": (1, 64, 56, 48), "conv4_dw": (1, 512, 7, 6), "fc5": (1, 128)},
    "myolo__benchmark__yolov3_lite_deploy_inference": {
        "conv1": (1, 32, 176, 176),
        "yolo/conv5": (1, 75, 22, 22),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__convert__darknet19_deploy": {
        "reorg1": (1, 256, 13, 13),
        "concat2": (1, 1280, 13, 13),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__darknet__darknet19_deploy": {
        "concat2": (1, 1280, 13, 13),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__mobilenetv2_voc__ssd_lite__deploy": {
        "conv1": (1, 32, 168, 168),
        "mbox_conf": (1, 77112),
        "mbox_priorbox": (1, 2, 14688),
    },
    "myolo__models__mobilenetv2_voc__yolo_lite__yolov3_lite_deploy_pruned": {
        "conv1": (1, 32, 176, 176),
        "yolo/conv5": (1, 75, 22, 22),
    },
    "myolo__models__tusimple__mobilenet_yolov3_lite_deploy": {
        "upsample": (1, 256, 64, 64),
        "sigmoid": (1, 1, 128, 128),
    },
    "myolo__models__yolov2__mobilenet_yolo_deploy": {
        "conv0": (1, 32, 208, 208),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__yolov2__mobilenet_yolo_lite_deploy": {
        "conv0": (1, 32, 160, 160),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__yolov3__mobilenet_yolov3_lite_bn_deploy": {
        "conv13/dw": (1, 1024, 10, 10),
        "detection_out": (1, 1, 1, 7),
    },
    "myolo__models__yolov3__mobilenet_yolov3_lite_deploy": {
        "conv13/dw": (1, 1024, 10, 10),
        "detection_out": (1, 1, 1, 7),
    },
    "nv__examples__TensorRT__deploy_trt": {"conv1": (1, 64, 112, 112), "prob": (1, 1000)},
    "nv__models__VGGNet__coco__SSD_300x300__deploy": {
        "conv4_3_norm": (1, 512, 38, 38),
        "mbox_loc": (1, 8732 * 4),
        "mbox_conf": (1, 8732 * 81),
        "mbox_priorbox": (1, 2, 8732 * 4),
    },
    "nv__models__bvlc_alexnet__deploy_fp16": {"pool5": (10, 256, 6, 6), "prob": (10, 1000)},
    "shufflenet__shufflenet_1x_g3_deploy": {
        "resx4_conv3": (1, 240, 28, 28),
        "shuffle16": (1, 240, 7, 7),
        "fc1000": (1, 1000, 1, 1),
    },
    "shufflenet__shufflenet_v2_1x_deploy": {
        "concat4": (1, 116, 28, 28),
        "concat16": (1, 464, 7, 7),
        "fc1000": (1, 1000, 1, 1),
    },
}

ENET = "enet__prototxts__enet_deploy"
RCNN = "intel__models__intel_optimized_models__benchmark__faster-rcnn__deploy"
TEMPLATE = "mssd__template__MobileNetSSD_deploy_template"

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
FED = {"Input", "DummyData"}  # layers that are inputs of the graph


@pytest.fixture(scope="module")
def zoo(models_dir: Path) -> Path:
    return models_dir / "zoo"


@pytest.fixture(scope="module")
def recorded(zoo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((zoo / "shapes_from_caffe.json").read_text())
    return {name.removesuffix(".prototxt"): record for name, record in found.items()}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """These texts are full of unknown fields."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemitasseWarning)
        yield


def test_every_text_is_judged(zoo: Path, recorded: dict[str, Any]) -> None:
    named = [*ACCEPTED, *FORKS, ENET, RCNN, TEMPLATE]
    assert sorted(named) == sorted(path.stem for path in zoo.glob("*.prototxt"))
    accepted = [n for n, record in recorded.items() if "OK" in (record["bvlc"], record["ssd"])]
    assert sorted(ACCEPTED) == sorted(accepted)


@pytest.mark.parametrize("name", ACCEPTED)
def test_all_that_caffe_made_of_a_text(zoo: Path, recorded: dict[str, Any], name: str) -> None:
    """Inputs, layers with bottoms, tops and parameters, outputs, blobs."""
    net = recorded[name]["net"]
    reading = read_caffe(zoo / f"{name}.prototxt", None, **NOTHING)
    assert reading.problems.errors == []
    fed = [top for layer in net["layers"] if layer["type"] in FED for top in layer["tops"]]
    assert [value.blob for value in reading.wiring.inputs] == fed
    assert set(net["inputs"]) <= set(fed)
    layers = [layer for layer in net["layers"] if layer["type"] not in {*FED, "Split"}]
    assert [step.layer.name for step in reading.wiring.steps] == [one["name"] for one in layers]
    origin = splits(net)
    for step, layer in zip(reading.wiring.steps, layers, strict=True):
        assert step.layer.type == layer["type"]
        assert [value.blob for value in step.tops] == layer["tops"]
        bottoms = [value.blob for value in step.bottoms]
        read = (re.sub(r"_split_\d+$", "", blob) for blob in layer["bottoms"])
        assert bottoms == [origin.get(blob, blob) for blob in read]
        expected = reading.builder.expected.get(step.name, {})
        assert [list(shape) for shape in expected.values()] == layer["params"], step.name
    check_blobs(reading, net)


def splits(net: Any) -> dict[str, str]:
    """The blob that each of Caffe's own Splits copies: to `<blob>_<layer>_<top>_split_<copy>`."""
    return {
        f"{top}_{layer['name']}_{index}": top
        for layer in net["layers"]
        for index, top in enumerate(layer["tops"])
    }


def check_blobs(reading: Reading, net: Any) -> None:
    graph = reading.graph
    found = {key: list(graph.tensors[t].shape) for key, t in graph.blobs.items() if "@" not in key}
    shapes = {key: shape for key, shape in net["shapes"].items() if "_split_" not in key}
    assert found == shapes
    assert sorted(graph.output_keys()) == sorted(net["outputs"])


@pytest.mark.parametrize("name", FORKS)
def test_what_only_forks_can_read(zoo: Path, recorded: dict[str, Any], name: str) -> None:
    assert not {"OK"} & {recorded[name]["bvlc"], recorded[name]["ssd"]}
    graph = load_caffe(zoo / f"{name}.prototxt")
    found = {blob: graph.tensors[graph.blobs[blob]].shape for blob in FORKS[name]}
    assert found == FORKS[name]


def test_a_template(zoo: Path, recorded: dict[str, Any]) -> None:
    """Its placeholders are no numbers, as Caffe says of the first."""
    assert "2397:17: Expected integer, got: cls3x" in recorded[TEMPLATE]["ssd"]
    with pytest.raises(DemitasseError) as caught:
        load_caffe(zoo / f"{TEMPLATE}.prototxt")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("6 problems:")
    told = "layer 'conv11_mbox_conf_new': num_output should be an integer, found 'cls3x'"
    assert lines[1].strip() == f"2397: {told}"


def test_python_layers_are_refused_by_name(zoo: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_caffe(zoo / f"{RCNN}.prototxt")
    for part in (
        "deploy.prototxt:453: layer type 'Python' runs rpn.proposal_layer.ProposalLayer",
        "(layer proposal)",
        "end the network before it, --outputs rpn_cls_prob_reshape,rpn_bbox_pred, or",
        "--plugin",
    ):
        assert part in str(caught.value)


def test_the_cut_that_the_error_names(zoo: Path) -> None:
    outputs = ["rpn_cls_prob_reshape", "rpn_bbox_pred"]
    graph = load_caffe(zoo / f"{RCNN}.prototxt", outputs=outputs)
    assert graph.inputs == ("data",)
    shapes = [graph.tensors[name].shape for name in graph.outputs]
    assert shapes == [(1, 18, 38, 50), (1, 36, 38, 50)]  # 9 anchors, 600x800 by 16, rounded up


PYTHON = """
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Identity

@caffe_layer("Python")
def spatial_dropout(context):
    context.expect()
    assert context.params("python_param").string("module") == "spatial_dropout"
    context.params("python_param").ignore("layer", "param_str")
    context.emit(Identity())
"""


def test_python_layers_by_a_plug_in(zoo: Path, tmp_path: Path) -> None:
    """ENet's dropout, which is the identity when the network is used."""
    with pytest.raises(UnsupportedError, match=r"runs spatial_dropout.SpatialDropoutLayer"):
        load_caffe(zoo / f"{ENET}.prototxt")
    graph = load_caffe(zoo / f"{ENET}.prototxt", outputs="bn1_0_2")
    assert graph.tensors["bn1_0_2"].shape == (1, 64, 128, 256)
    (tmp_path / "dropout.py").write_text(PYTHON)
    graph = load_caffe(zoo / f"{ENET}.prototxt", plugins=[tmp_path / "dropout.py"])
    assert graph.tensors[graph.outputs[0]].shape == (1, 19, 512, 1024)  # Cityscapes' classes


# Quick ones of different kinds; all are swept with the slow tests.
QUICK = [
    "caffe2onnx__test__caffemodel__mobilenet__mobilenet",
    "mssd__voc__MobileNetSSD_deploy",
    "myolo__models__yolov2__mobilenet_yolo_lite_deploy",
    "nv__examples__TensorRT__deploy_trt",
    "shufflenet__shufflenet_v2_1x_deploy",
    "kmfn__proto__deploy",
]
SWEPT = [pytest.param(n, marks=pytest.mark.slow) for n in [*ACCEPTED, *FORKS] if n not in QUICK]


def random_net(zoo: Path, name: str) -> tuple[Graph, dict[str, np.ndarray]]:
    graph = single_sample(load_caffe(zoo / f"{name}.prototxt", random_weights=1))
    rng = np.random.default_rng(0)
    shapes = {key: graph.tensors[key].shape for key in graph.inputs}
    return graph, {k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("name", [*QUICK, *SWEPT])
def test_random_weights(zoo: Path, tmp_path: Path, name: str) -> None:
    """Every blob is finite and none explodes; compiled, the network says the same."""
    graph, x = random_net(zoo, name)
    blobs = evaluate(graph, x, all_blobs=True)
    largest = {key: float(np.abs(value).max()) for key, value in blobs.items()}
    assert all(np.isfinite(size) for size in largest.values())
    assert max(largest.values()) < 1e4
    write_model(optimize(graph), tmp_path / "net.demi")
    found = Model.open(tmp_path / "net.demi").run(x)
    for key in graph.output_keys():
        if "detection" not in key:  # of equal scores, the last bit decides which boxes stay
            np.testing.assert_allclose(found[key], blobs[key], rtol=0, atol=1e-3 * largest[key])
