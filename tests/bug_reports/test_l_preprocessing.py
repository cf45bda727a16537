"""Reports about preprocessing, and the last of reading: rules, and empty results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.written import Load, data_net, layer

import demitasse
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.preprocess import Preprocess, from_transform_param
from demitasse.tools.main import main

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)  # RGB


def test_the_mean_goes_before_the_scale() -> None:
    """130 (caffe#867, #2373): is it x * scale - mean or (x - mean) * scale? Caffe's data layers
    do the latter."""
    made = from_transform_param({"scale": 1 / 256, "mean_value": [104.0, 117.0, 123.0]})
    blob = made.to_blob(PIXELS, (1, 3, 6, 8))
    expected = (PIXELS[:, :, ::-1].astype(np.float64) - [104, 117, 123]) / 256
    np.testing.assert_allclose(blob[0], expected.transpose(2, 0, 1), rtol=1e-6)


def test_a_transform_param_in_a_deploy_text_counts(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """131 (caffe#4321, MobileNet-Caffe#24): Caffe's Input layer ignores it, so 0.017 was forgotten.
    It is taken, said, and stored in the model: the board does it to the camera's pixels."""
    load(
        'layer { name: "data" type: "Input" top: "data"\n'
        "  input_param { shape { dim: 1 dim: 3 dim: 6 dim: 8 } }\n"
        "  transform_param { scale: 0.017\n"
        "    mean_value: 103.94 mean_value: 116.78 mean_value: 123.68 } }\n"
        + layer("out", "Power", "data")
    )
    path, picture = tmp_path / "net.demi", tmp_path / "x.png"
    Image.fromarray(PIXELS).save(picture)
    arguments = ["--to", "demi", "-o", str(path), "--json"]
    assert main(["convert", str(tmp_path / "net.prototxt"), *arguments]) == 0
    said = json.loads(capsys.readouterr().out)["preprocess"]
    assert said["origin"] == "transform_param, line 3"
    assert main(["run", str(path), "--input", str(picture), "-o", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as arrays:
        found = arrays["out"]
    expected = (PIXELS[:, :, ::-1].astype(np.float64) - [103.94, 116.78, 123.68]) * 0.017
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), atol=1e-5)


def test_a_mean_image_is_cut_like_the_picture(tmp_path: Path) -> None:
    """132 (deep-parking#9, deep-residual-networks#5): RGB or BGR, a mean image of 256 for an input
    of 227? Channels are BGR, the centre of both is cut, and the model says so."""
    mean = np.random.default_rng(1).uniform(0, 255, (3, 6, 8)).astype(np.float32)  # BGR
    np.save(tmp_path / "mean.npy", mean)
    made = from_transform_param({"mean_file": "mean.npy", "crop_size": 4}, tmp_path)
    blob = made.to_blob(PIXELS, (1, 3, 4, 4))
    bgr = PIXELS[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(blob[0], (bgr - mean)[:, 1:5, 2:6])
    assert made.describe() != Preprocess(mean_image=mean, order="rgb", crop=True).describe()


def test_pictures_are_read_in_the_networks_order(tmp_path: Path) -> None:
    """132: a red picture fills the last channel of a BGR network, the first of an RGB one."""
    Image.fromarray(np.full((4, 4, 3), (200, 0, 0), np.uint8)).save(tmp_path / "red.png")
    (sample,) = open_dataset(tmp_path)
    for order, red in (("bgr", 2), ("rgb", 0)):
        blob = Preprocess(order=order).apply(sample, (1, 3, 4, 4))
        assert [float(channel.max()) for channel in blob[0]] == [
            200.0 if channel == red else 0.0 for channel in range(3)
        ]


def test_a_wrong_blob_is_found(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """134 (caffe-onnx#35): "the output is wrong", and no way to see where it begins. Blob by blob
    the first bad layer is named."""
    text = data_net(1, 1, 4, 4)
    for i in range(3):
        bottom = f"c{i - 1}" if i else "data"
        more = "convolution_param { num_output: 1 kernel_size: 1 bias_term: false }"
        text += layer(f"c{i}", "Convolution", bottom, more=more)
    right = {f"c{i}": [[[[1.5]]]] for i in range(3)}
    wrong = load(text, {**right, "c1": [[[[-1]]]]})
    demitasse.compile(wrong, tmp_path / "x.demi", precision="fp32")
    load(text, right)
    images = np.random.default_rng(0).normal(size=(4, 1, 4, 4))
    np.save(tmp_path / "x.npy", images.astype(np.float32))
    files = [str(tmp_path / name) for name in ("x.demi", "net.prototxt", "net.caffemodel")]
    main(["compare", *files, "--data", str(tmp_path / "x.npy"), "--json"])
    comparison = json.loads(capsys.readouterr().out)["comparison"]
    assert comparison["first_bad"]["layer"] == "c1"


@pytest.mark.parametrize(
    ("rule", "phases"),
    [
        ("exclude { phase: TEST }", ["TRAIN"]),
        ("exclude { phase: TRAIN }", ["TEST"]),
        ("exclude { phase: TRAIN } exclude { phase: TEST }", []),
        ("exclude { stage: 'deploy' }", ["TRAIN", "TEST"]),
    ],
)
def test_layers_with_only_exclude_rules(load: Load, rule: str, phases: list[str]) -> None:
    """135 (X2Paddle): include[0] was read where only `exclude` stood."""
    text = data_net(1, 1, 2, 2) + layer("a", "TanH", "data") + layer("b", "ReLU", "a", more=rule)
    for phase in ("TRAIN", "TEST"):
        names = [node.name for node in load(text, phase=phase).nodes]
        assert names == (["a", "b"] if phase in phases else ["a"])


@pytest.mark.parametrize("target", ["onnx", "caffe", "demi"])
def test_an_unsupported_layer_is_no_empty_success(
    load: Load, tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """136 (caffe-onnx 0.1.2): layers that the tool did not know were skipped, and an empty graph
    was saved with a line of success."""
    (tmp_path / "net.prototxt").write_text(
        data_net(1, 1, 2, 2) + layer("odd", "NobodyKnowsMe", "data")
    )
    out = tmp_path / ("out" if target == "caffe" else f"out.{target}")
    command = ["convert", str(tmp_path / "net.prototxt"), "--to", target, "-o", str(out)]
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "unknown layer type 'NobodyKnowsMe' (layer odd)" in said.err
    assert not out.exists() or not list(out.iterdir())


def test_elu_is_a_layer(load: Load) -> None:
    """136: the layer of that report."""
    graph = load(data_net(1, 1, 2, 2) + layer("e", "ELU", "data", more="elu_param { alpha: 0.3 }"))
    assert "Elu" in {node.op_type for node in demitasse.export_onnx(graph).graph.node}
