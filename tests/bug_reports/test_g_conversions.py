"""Reports about activations, resizing, and what is printed where a conversion fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.everywhere import everywhere
from support.written import Load, answer, data_net, layer

import demitasse
from demitasse.converter.ops import PRelu, Relu
from demitasse.errors import DemitasseWarning
from demitasse.tools.main import main

RNG = np.random.default_rng(0)
TWICE = "upsample_param { scale: 2 %s }"


def nodes(graph, kind: str, opset: int = 13) -> list[onnx.NodeProto]:
    exported = demitasse.export_onnx(graph, opset)
    onnx.checker.check_model(exported, full_check=True)
    return [node for node in exported.graph.node if node.op_type == kind]


@pytest.mark.parametrize("shape", [(1, 3, 12, 12), (2, 3)], ids=["image", "vector"])
@pytest.mark.parametrize("shared", [False, True], ids=["per channel", "shared"])
def test_prelu_by_rank(load: Load, tmp_path: Path, shape: tuple[int, ...], shared: bool) -> None:
    """79 (caffe-onnx#21, TNN#252): the slopes [C] were exported as they are, and onnxruntime
    refused the model or spread them over the wrong axis."""
    slope = [0.5] if shared else [0.1, 0.2, -0.3]
    more = f"prelu_param {{ channel_shared: {str(shared).lower()} }}"
    graph = load(data_net(*shape) + layer("p", "PReLU", "data", more=more), {"p": [slope]})
    assert isinstance(graph.nodes[0].op, PRelu)
    x = RNG.normal(size=shape)
    factor = np.reshape(slope if not shared else slope * 3, (1, 3, *(1,) * (len(shape) - 2)))
    expected = np.where(x < 0, x * factor, x)
    np.testing.assert_allclose(everywhere(graph, tmp_path, x), expected, rtol=1e-6)


@pytest.mark.parametrize("opset", [11, 13])
def test_upsampling_at_a_pinned_opset(load: Load, opset: int) -> None:
    """80 (caffe-onnx#1): the operator depended on which onnx was installed, and was one that no
    longer existed. The opset is what is asked for."""
    with pytest.warns(DemitasseWarning, match="Upsample"):
        graph = load(data_net(1, 2, 3, 4) + layer("up", "Upsample", "data", more=TWICE % ""))
    exported = demitasse.export_onnx(graph, opset)
    assert [one.version for one in exported.opset_import] == [opset]
    assert not nodes(graph, "Upsample", opset)


@pytest.mark.parametrize("slope", ["0.1", "0", "1", ""])
def test_relu_with_a_slope(load: Load, tmp_path: Path, slope: str) -> None:
    """82, 83 (tensorRTWrapper#1, caffe2onnx#4): a leaky ReLU is a ReLU with a parameter; and the
    attribute was written as an integer where the text said 0 or nothing."""
    more = f"relu_param {{ negative_slope: {slope} }}" if slope else ""
    graph = load(data_net(1, 2, 3, 4) + layer("r", "ReLU", "data", more=more))
    assert graph.nodes[0].op == Relu(float(slope or 0))
    x = RNG.normal(size=(1, 2, 3, 4)).astype(np.float32)
    expected = np.where(x < 0, x * np.float32(slope or 0), x)
    np.testing.assert_allclose(everywhere(graph, tmp_path, x), expected, rtol=1e-6)
    for node in nodes(graph, "LeakyRelu"):
        assert [a.type for a in node.attribute] == [onnx.AttributeProto.FLOAT]


def test_two_meanings_of_upsample(load: Load) -> None:
    """84 (brocolli#43): nearest in one fork, bilinear in another. The meaning that is taken is
    said, and the text or an option decides."""
    text = data_net(1, 1, 2, 2) + layer("up", "Upsample", "data", more=TWICE)
    x = np.array([[[[0.0, 4.0], [8.0, 12.0]]]])
    with pytest.warns(DemitasseWarning, match="Upsample is read as YOLO's, which repeats pixels"):
        guessed = load(text % "")
    told = load(text % "", dialect="yolo")
    for graph in (guessed, told):
        np.testing.assert_array_equal(answer(graph, x)[0, 0], x[0, 0].repeat(2, 0).repeat(2, 1))
    smooth = answer(load(text % "mode: BILINEAR"), x)[0, 0]
    # pixel centres at -0.25, 0.25, 0.75 and 1.25, held at the borders
    np.testing.assert_allclose(smooth[0], [0, 1, 3, 4], atol=1e-5)
    np.testing.assert_allclose(smooth[:, 0], [0, 2, 6, 8], atol=1e-5)


def test_success_is_printed_after_the_model_has_run(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """86 (TNN#266): the converter printed success and the next tool failed. A model that does not
    compute what the network does is not written, and the status is not 0."""
    load(data_net(1, 2, 3, 4) + layer("r", "TanH", "data"))
    out = tmp_path / "net.onnx"
    command = ["convert", str(tmp_path / "net.prototxt"), "--to", "onnx", "-o", str(out)]
    assert main(command) == 0
    assert "largest error" in capsys.readouterr().out
    out.unlink()
    wrong = demitasse.export_onnx

    def sabotaged(*arguments: object, **named: object) -> onnx.ModelProto:
        model = wrong(*arguments, **named)
        model.graph.node[0].op_type = "Sigmoid"
        return model

    monkeypatch.setattr("demitasse.converter.onnx.export.export_onnx", sabotaged)
    assert main(command) == 1
    told = capsys.readouterr().out
    assert "is not written" in told
    assert "layer 'r'" in told
    assert not out.exists()
