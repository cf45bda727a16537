"""Reports about reading files: generations, training nets, wrong files, names, encodings."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from support.written import (
    answer,
    blob,
    data_net,
    layer,
    number,
    part,
    v1_model,
    v2_model,
    varint,
)

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.ops import BatchNorm, Conv2d, Eltwise
from demitasse.errors import DemitasseError, DemitasseWarning, ParseError, ShapeError, WeightsError
from demitasse.tools.main import main

WEIGHT, BIAS = np.arange(54.0).reshape(2, 3, 3, 3), np.array([1.0, 2.0])
ARRAYS = {"conv": [WEIGHT, BIAS]}
INPUT = data_net(1, 3, 6, 6)
CONV = "convolution_param { num_output: 2 kernel_size: 3 }"
V2_TEXT = INPUT + layer("conv", "Convolution", "data", more=CONV)
V1_TEXT = (
    'input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6\n'
    f'layers {{ name: "conv" type: CONVOLUTION bottom: "data" top: "conv" {CONV} }}'
)
V0_TEXT = (
    'input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6\n'
    'layers { layer { name: "conv" type: "conv" num_output: 2 kernelsize: 3 }'
    ' bottom: "data" top: "conv" }'
)
MODELS = {
    "V0": v1_model(ARRAYS, generation=0),
    "V1": v1_model(ARRAYS),
    "V2": v2_model({"conv": [blob(WEIGHT), blob(BIAS)]}),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("text", [V0_TEXT, V1_TEXT, V2_TEXT], ids=["V0", "V1", "V2"])
def test_generations_of_text_and_weights_are_independent(load, text: str, model: str) -> None:
    """1, 4 (ncnn#629, rknn-toolkit#431): a newer text with an older caffemodel crashed or was
    refused, and the message did not say which file. Every text goes with every caffemodel; layers
    match by name."""
    (node,) = load(text, MODELS[model]).nodes
    np.testing.assert_array_equal(node.weights["weight"], np.float32(WEIGHT))
    np.testing.assert_array_equal(node.weights["bias"], np.float32(BIAS))


def test_the_file_that_is_wrong_is_named(load) -> None:
    """4: nothing said whether the text or the weights were too old."""
    with pytest.raises(DemitasseError, match=r"net\.caffemodel: "):
        load(V2_TEXT, b"\x0a\x03net\x12\xff")


@pytest.mark.parametrize("kind", ["CONVOLUTION", "4"])
def test_enum_types_of_old_texts(load, kind: str) -> None:
    """2, 7 (ncnn#406, caffe-tensorflow#5): "expected identifier", or every layer "unknown type"."""
    (node,) = load(V1_TEXT.replace("CONVOLUTION", kind)).nodes
    assert node.op == Conv2d(2, (3, 3))


@pytest.mark.parametrize(("kind", "op"), [(18, "Relu"), (23, "Tanh"), (35, "Abs")])
def test_enum_types_of_old_weight_files(tmp_path: Path, kind: int, op: str) -> None:
    """7: in a V1 caffemodel the type is a number; it means the layer of that enum."""
    one = part(2, b"data") + part(3, b"y") + part(4, b"l") + number(5, kind)
    dims = b"".join(number(4, dim) for dim in (1, 3, 2, 2))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(part(2, one) + part(3, b"data") + dims)
    (node,) = load_caffe(path).nodes
    assert type(node.op).__name__ == op


def test_a_forks_text_with_old_weights_has_no_dangling_blobs(load) -> None:
    """3 (ncnn#440): blobs such as data_split were read that nobody made, and the run crashed."""
    text = (
        V1_TEXT.replace("layers", "layer").replace("CONVOLUTION", '"Convolution"')
        + layer(
            "perm", "Permute", "conv", more="permute_param { order: 0 order: 2 order: 3 order: 1 }"
        )
        + layer("flat", "Flatten", "perm")
        + layer("side", "TanH", "conv")
    )
    graph = load(text, MODELS["V1"])
    made = {*graph.inputs, *(name for node in graph.nodes for name in node.outputs)}
    assert {name for node in graph.nodes for name in node.inputs} <= made
    blobs = evaluate(graph, {"data": np.ones((1, 3, 6, 6), np.float32)})
    assert {name: value.shape for name, value in blobs.items()} == {
        "flat": (1, 32),
        "side": (1, 2, 4, 4),
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + V2_TEXT,
        V2_TEXT.replace("\n", "\r\n"),
        V2_TEXT.replace("\n", "\n# Größe\n"),
    ],
    ids=["BOM", "CRLF", "umlauts"],
)
def test_encodings_of_texts(load, text: str) -> None:
    """6 (opencv#13961): byte order marks, other line ends, comments in any language are text."""
    assert load(text).nodes[0].op == Conv2d(2, (3, 3))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (MODELS["V2"], "were the prototxt and the caffemodel swapped"),
        (V2_TEXT.encode("utf-16"), "save it as UTF-8"),
        (b"<!DOCTYPE html><html>", "download the raw file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    """6: "control characters at 2:1" does not tell that the arguments were swapped."""
    path, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    path.write_bytes(content)
    weights.write_text(V2_TEXT)
    with pytest.raises(ParseError, match=says):
        load_caffe(path, weights)


def test_training_fields_inside_layers(load) -> None:
    """8 (ncnn#342): `weight_decay` and `blobs_lr` inside a layer killed the parse. The rest of that
    text too: MemoryData as input, Slice without points, Eltwise MAX (the max-feature-map nets)."""
    text = (
        'layer { name: "data" type: "MemoryData" top: "data" top: "label" memory_data_param {'
        " batch_size: 1 channels: 3 height: 6 width: 6 } }\n"
        + layer(
            "conv",
            "Convolution",
            "data",
            more=f"{CONV} blobs_lr: 1 weight_decay: 1 weight_decay: 0",
        )
        + layer("cut", "Slice", "conv", "a b", "slice_param { slice_dim: 1 }")
        + layer("mfm", "Eltwise", "a b", more="eltwise_param { operation: MAX }")
    )
    with pytest.warns(DemitasseWarning) as said:
        graph = load(text, ARRAYS)
    assert all("blobs_lr" in str(m.message) or "weight_decay" in str(m.message) for m in said)
    assert graph.inputs == ("data",)
    assert isinstance(graph.nodes[-1].op, Eltwise)
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32)
    conv = evaluate(graph, {"data": x}, all_blobs=True)["conv"]
    np.testing.assert_array_equal(answer(graph, x), conv.max(1, keepdims=True))


def test_one_name_for_training_and_for_test(load) -> None:
    """10 (ncnn#437): two BatchNorms of one name, one for each phase; both were kept."""
    text = INPUT
    for phase, flag in (("TRAIN", "false"), ("TEST", "true")):
        rule = f"include {{ phase: {phase} }} batch_norm_param {{ use_global_stats: {flag} }}"
        text += layer("bn1", "BatchNorm", "data", "bn1", rule)
    graph = load(text, {"bn1": [[1, 2, 3], [1, 1, 1], [1]]})
    (node,) = graph.nodes
    assert isinstance(node.op, BatchNorm)
    np.testing.assert_array_equal(node.weights["mean"], [1, 2, 3])


TRAINING = (
    'layer { name: "data" type: "WindowData" top: "data" top: "label" window_data_param {'
    ' source: "windows.txt" batch_size: 8 crop_size: 6 } }\n'
    + layer("conv", "Convolution", "data", more=CONV)
    + layer("loss", "SoftmaxWithLoss", "conv label")
)


@pytest.mark.filterwarnings("ignore:.*a loss")
def test_a_training_text_as_deploy(load) -> None:
    """11 (opencv#9980): "cannot create layer of type WindowData". It is an input, whose shape the
    user has to give where the text does not tell it; of the loss its Softmax stays."""
    with pytest.raises(ShapeError, match="--input-shape data="):
        load(TRAINING.replace("crop_size: 6", ""))
    for text in (TRAINING, TRAINING.replace("crop_size: 6", "")):
        graph = load(text, ARRAYS, input_shapes={"data": (1, 3, 6, 6)})
        assert graph.inputs == ("data",)
        assert [type(node.op).__name__ for node in graph.nodes] == ["Conv2d", "Softmax"]


def test_weights_saved_by_the_training_net(load) -> None:
    """12 (nncase#29): the caffemodel begins with AnnotatedData and ends with a loss. The text has
    the topology, the file only gives weights by name."""
    layers = {"data": [], "conv": [blob(WEIGHT), blob(BIAS)], "mbox_loss": []}
    graph = load(V2_TEXT, v2_model(layers, "AnnotatedData"))
    np.testing.assert_array_equal(graph.nodes[0].weights["bias"], BIAS)


@pytest.mark.parametrize(
    ("field", "kernel", "stride", "pad"),
    [
        ("kernel_h: 4 kernel_w: 3", (4, 3), (1, 1), (0, 0)),
        ("kernel_size: 4 kernel_size: 3", (4, 3), (1, 1), (0, 0)),
        ("kernel_size: 3 stride: 2 pad: 1", (3, 3), (2, 2), (1, 1)),
        ("kernel_size: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2", (3, 3), (2, 1), (0, 2)),
        ("kernel_size: 3 stride: 1 stride: 2 pad: 2 pad: 0", (3, 3), (1, 2), (2, 0)),
    ],
)
def test_all_ways_to_give_a_window(load, field: str, kernel, stride, pad) -> None:
    """14 (Paddle-Lite#84): kernel_h and kernel_w without kernel_size read past an empty list; and
    top-level `input` was ignored, so that the first bottom was unknown."""
    more = f"convolution_param {{ num_output: 2 {field} }}"
    op = load(INPUT + layer("conv", "Convolution", "data", more=more)).nodes[0].op
    assert (op.kernel, op.stride, op.pads) == (kernel, stride, (*pad, *pad))
    if not pad[0] and stride[0] == 1:
        text = V1_TEXT.replace("kernel_size: 3", field)
        assert load(text).nodes[0].op == op


def test_no_shape_anywhere(load) -> None:
    """15 (MMdnn#421): `'NoneType' is not subscriptable`."""
    with pytest.raises(ShapeError, match=r"input 'data' has no shape; give it with --input-shape"):
        load('input: "data"\n' + layer("t", "TanH", "data"))


def test_one_number_for_a_shape(load, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """16 (MMdnn#247): a TypeError for `--inputShape 224`. Say what a shape looks like."""
    load(V2_TEXT)
    path = str(tmp_path / "net.prototxt")
    assert main(["inspect", path, "--input-shape", "224"]) == 2
    assert "'224' is no shape such as data=1,3,224,224" in capsys.readouterr().err
    with pytest.raises(ShapeError, match=r"net\.prototxt:2: layer 'conv': .* a blob of 1 axes"):
        load(V2_TEXT, input_shapes={"data": (224,)})


def test_two_layers_of_one_name(load) -> None:
    """18 (MobileNetv2#1): a public text has `relu1_new` twice, which is legal. Names of nodes are
    made unique, in ONNX too."""
    text = INPUT + layer("relu1_new", "ReLU", "data", "a") + layer("relu1_new", "ReLU", "a", "b")
    graph = load(text)
    assert len({node.name for node in graph.nodes}) == 2
    onnx_names = [node.name for node in export(graph).graph.node]
    assert len(set(onnx_names)) == len(onnx_names) == 2


def export(graph):
    from demitasse.converter.onnx.export import export_onnx

    return export_onnx(graph)


def test_layers_without_names(load, tmp_path: Path) -> None:
    """19 (caffe#2886): nets with empty or repeated names crashed when their weights were HDF5."""
    text = INPUT + layer("", "ReLU", "data", "a") + layer("", "ReLU", "a", "b")
    text += layer("conv", "Convolution", "b", "conv", CONV)
    load(text)
    weights = tmp_path / "net.caffemodel.h5"
    with h5py.File(weights, "w") as file:
        file["data/conv/0"], file["data/conv/1"] = np.float32(WEIGHT), np.float32(BIAS)
    graph = load_caffe(tmp_path / "net.prototxt", weights)
    assert len({node.name for node in graph.nodes}) == 3
    np.testing.assert_array_equal(graph.nodes[2].weights["bias"], BIAS)


HALF, SINGLE, DOUBLE = 2, 1, 0


@pytest.mark.parametrize(("kind", "dtype"), [(HALF, "<f2"), (SINGLE, "<f4"), (DOUBLE, "<f8")])
def test_raw_data(load, kind: int, dtype: str) -> None:
    """22, 23, 24 (NVIDIA/caffe#376, mmdetection#8537, ncnn#906): newer NVCaffe keeps weights as
    bytes beside an empty `data`; readers found 0 values, or wrote them on as nothing."""
    raw = [
        number(10, kind) + part(12, np.asarray(array, dtype).tobytes()) for array in (WEIGHT, BIAS)
    ]
    model = v2_model({"conv": [blob(WEIGHT, data=raw[0]), blob(BIAS, data=raw[1])]})
    weights = load(V2_TEXT, model).nodes[0].weights
    assert weights["weight"].dtype == np.float32
    np.testing.assert_array_equal(weights["weight"], WEIGHT.astype(dtype))
    np.testing.assert_array_equal(weights["bias"], BIAS)


@pytest.mark.parametrize(
    "data",
    [b"", number(10, HALF) + part(12, bytes(106)), number(10, SINGLE) + part(12, bytes(108))],
    ids=["nothing", "too few", "of another type"],
)
def test_raw_data_of_another_length(load, data: bytes) -> None:
    """22, 24: an empty or short blob must stop the conversion, naming the layer."""
    model = v2_model({"conv": [blob(WEIGHT, data=data), blob(BIAS)]})
    with pytest.raises(WeightsError, match=r"net\.caffemodel: layer 'conv': blob 0 .* 54 numbers"):
        load(V2_TEXT, model)


def test_no_limit_of_64_megabytes(tmp_path: Path) -> None:
    """20 (caffe#279): protobuf's stream limit refused the weights of VGG. A sparse file of 300 MB
    loads; how much memory that takes is measured elsewhere."""
    columns, rows = 1 << 20, 75
    size = 4 * columns * rows
    shape = part(7, part(1, varint(rows) + varint(columns)))
    data_head = varint(5 << 3 | 2) + varint(size)
    body = part(1, b"fc") + varint(7 << 3 | 2) + varint(len(shape) + len(data_head) + size)
    head = varint(100 << 3 | 2) + varint(len(body) + len(shape) + len(data_head) + size)
    path = tmp_path / "net.caffemodel"
    with path.open("wb") as file:
        file.write(head + body + shape + data_head)
        file.truncate(file.tell() + size)
    text = data_net(1, columns) + layer(
        "fc",
        "InnerProduct",
        "data",
        more=f"inner_product_param {{ num_output: {rows} bias_term: false }}",
    )
    (tmp_path / "net.prototxt").write_text(text)
    graph = load_caffe(tmp_path / "net.prototxt", path)
    assert graph.nodes[0].weights["weight"].shape == (rows, columns)
