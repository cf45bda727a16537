"""A caffemodel alone: generations, nets saved in training, remarks, and files that are wrong."""

from __future__ import annotations

import random
import time
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.messages import NET, Messages

from demitasse.converter.caffe import decode
from demitasse.converter.caffe.binary import read_network
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DemitasseError, DemitasseWarning, ParseError, ShapeError

# BVLC's numbers, as its caffe.proto has them.
SCHEMA = f"""{NET}\
enum Method: 0 MAX; 1 AVE
enum V1Type: 1 ACCURACY; 4 CONVOLUTION; 5 DATA; 17 POOLING; 18 RELU; 21 SOFTMAX_LOSS; 22 SPLIT
FillerParameter: 1 type string; 2 value float
TransformationParameter: 1 scale float; 2 mirror bool; 3 crop_size uint32; 5 mean_value float*
DataParameter: 1 source string; 4 batch_size uint32; 8 backend int32
ConvolutionParameter: 1 num_output uint32; 2 bias_term bool; 3 pad uint32*; 4 kernel_size uint32*; \
6 stride uint32*; 7 weight_filler FillerParameter; 99 fancy uint32
PoolingParameter: 1 pool Method; 2 kernel_size uint32; 3 stride uint32
ClipParameter: 1 min float; 2 max float
EltwiseParameter: 2 coeff float*
PowerParameter: 2 scale float; 3 shift float
LayerParameter: 100 transform_param TransformationParameter; 106 convolution_param \
ConvolutionParameter; 107 data_param DataParameter; 110 eltwise_param EltwiseParameter; \
121 pooling_param PoolingParameter; 122 power_param PowerParameter; \
143 input_param InputParameter; 148 clip_param ClipParameter
V1LayerParameter: 1 layer V0LayerParameter; 2 bottom string*; 3 top string*; 5 type V1Type; \
6 blobs BlobProto*; 7 blobs_lr float*; 10 convolution_param ConvolutionParameter; \
19 pooling_param PoolingParameter; 32 include NetStateRule*; 1001 param string*
V0LayerParameter: 2 type string; 1 name string; 3 num_output uint32; 4 biasterm bool; \
7 pad uint32; 8 kernelsize uint32; 10 stride uint32; 11 pool Method; 50 blobs BlobProto*; \
51 blobs_lr float*
"""
MESSAGES = Messages(SCHEMA)
DATA = np.arange(2 * 6 * 6, dtype=np.float32).reshape(1, 2, 6, 6)
KERNEL = "shape { dim: 3 dim: 2 dim: 1 dim: 1 } data: [1, 2, 3, 4, 5, 6]"
INPUT = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 2, 6, 6] } } }
"""
CONV = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" blobs { KERNEL }
  convolution_param { num_output: 3 kernel_size: 1 bias_term: false } }
""".replace("KERNEL", KERNEL)

POOL = """
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" loss_weight: 1 param { lr_mult: 2 }
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
"""


def save(path: Path, text: str, messages: Messages = MESSAGES) -> Path:
    path.write_bytes(messages.parse(text).SerializeToString())
    return path


@pytest.fixture
def alone(tmp_path: Path) -> Any:
    """alone(text, **options): the graph of a caffemodel that says what the text says."""

    def load(text: str, *, messages: Messages = MESSAGES, **options: Any) -> Graph:
        return load_caffe(save(tmp_path / "net.caffemodel", text, messages), **options)

    return load


def answer(graph: Graph, data: np.ndarray = DATA) -> dict[str, np.ndarray]:
    return evaluate(graph, {graph.inputs[0]: data})


def convolved() -> np.ndarray:
    kernel = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    return np.einsum("oc,nchw->nohw", kernel, DATA)


def test_v2(alone: Any) -> None:
    graph = alone('name: "n"' + INPUT + CONV)
    assert (graph.name, graph.inputs, graph.outputs) == ("n", ("data",), ("conv",))
    np.testing.assert_allclose(answer(graph)["conv"], convolved())


V1 = """
input: "data" input_shape { dim: [1, 2, 6, 6] }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs { KERNEL } param: "w"
  blobs_lr: 1 convolution_param { num_output: 3 kernel_size: 1 bias_term: false } }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
""".replace("KERNEL", KERNEL)
V0 = """
input: "data" input_shape { dim: [1, 2, 6, 6] }
layers { bottom: "data" top: "conv" layer { name: "conv" type: "conv" blobs { KERNEL } blobs_lr: 1
  num_output: 3 kernelsize: 1 biasterm: false } }
layers { bottom: "conv" top: "pool" layer { name: "pool" type: "pool" pool: AVE kernelsize: 2
  stride: 2 } }
""".replace("KERNEL", KERNEL)


@pytest.mark.parametrize("text", [V1, V0], ids=["V1", "V0"])
def test_older_generations(alone: Any, text: str) -> None:
    graph = alone(text)
    expected = convolved().reshape(1, 3, 3, 2, 3, 2).mean((3, 5))
    np.testing.assert_allclose(answer(graph)["pool"], expected, rtol=1e-6)


TRAINING = """
layer { name: "d" type: "Data" top: "data" top: "label" phase: TRAIN include { phase: TRAIN }
  transform_param { scale: 0.5 crop_size: 6 mirror: true } data_param { source: "db" } }
layer { name: "data_d_0_split" type: "Split" bottom: "data" top: "data_d_0_split_0"
  top: "data_d_0_split_1" phase: TRAIN }
layer { name: "twice" type: "Power" bottom: "data_d_0_split_0" top: "twice" phase: TRAIN
  power_param { scale: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "twice" bottom: "data_d_0_split_1" top: "sum"
  eltwise_param { coeff: [1, -1] } loss_weight: 0 }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss"
  loss_weight: 1 phase: TRAIN }
"""


def test_a_net_saved_in_training(alone: Any) -> None:
    graph = alone(TRAINING, input_shapes={"data": (1, 2, 6, 6)})
    assert (graph.inputs, graph.outputs) == (("data",), ("prob",))
    assert [node.name for node in graph.nodes] == ["twice", "sum", "loss"]
    np.testing.assert_array_equal(evaluate(graph, {"data": DATA}, all_blobs=True)["sum"], DATA)


def test_what_prepares_labels_goes(alone: Any) -> None:
    """Two labels in one blob, cut apart for two losses; the data layer gives it first."""
    text = """
    layer { name: "d" type: "HDF5Data" top: "label" top: "data" }
    layer { name: "cut" type: "Slice" bottom: "label" top: "a" top: "b" }
    layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "conv" bottom: "a" top: "loss1" }
    layer { name: "loss2" type: "EuclideanLoss" bottom: "conv" bottom: "b" top: "loss2" }
    """
    head, losses = text.split('    layer { name: "loss1"')
    text = head + CONV + '    layer { name: "loss1"' + losses
    graph = alone(text, input_shapes={"data": (1, 2, 6, 6)})
    assert (graph.inputs, graph.outputs) == (("data",), ("prob",))
    graph = alone(text, input_shapes={"label": (1, 2)}, outputs=["a"])
    assert (graph.inputs, graph.outputs) == (("label",), ("a",))


def test_a_missing_input_shape(alone: Any) -> None:
    with pytest.raises(ShapeError, match=r"caffemodel: layer 'd': input 'data' has no shape; give"):
        alone(TRAINING)
    with pytest.raises(ShapeError, match=r"--input-shape data=1,2,H,W"):  # the kernel says so
        alone('layer { name: "d" type: "Data" top: "data" }' + CONV)


def test_rules_choose_where_a_file_has_both_phases(alone: Any) -> None:
    test = INPUT.replace('top: "data"', 'top: "data" top: "label" include { phase: TEST }')
    graph = alone(test + TRAINING)
    assert graph.tensors["data"].shape == (1, 2, 6, 6)


def test_a_split_of_the_users_own_stays(alone: Any) -> None:
    text = INPUT + 'layer { name: "s" type: "Split" bottom: "data" top: "a" top: "b" }'
    assert alone(text).outputs == ("a", "b")


def test_transform_param_is_found(tmp_path: Path) -> None:
    from demitasse.quantizer.transform import read_transform

    found = read_transform(save(tmp_path / "net.caffemodel", TRAINING))
    assert found is not None
    assert found.fields == {"scale": 0.5, "crop_size": 6}


# NVCaffe: types of numbers in every layer, fp16 blobs, recurrent_param at another number.
NVIDIA = Messages(
    SCHEMA.replace(
        "BlobProto: 5 data", "BlobProto: 10 raw_data_type int32; 12 raw_data bytes; 5 data"
    )
    + "LayerParameter: 145 forward_type int32; 146 backward_type int32; 147 forward_math int32\n"
    + "NetParameter: 11 default_forward_type int32\n"
)
HALF = np.arange(1, 7, dtype="<f2").tobytes()
RAW = "".join(f"\\{byte:03o}" for byte in HALF)


def test_nvidia(alone: Any) -> None:
    conv = CONV.replace("data: [1, 2, 3, 4, 5, 6]", f'raw_data_type: 2 raw_data: "{RAW}"')
    conv = conv.replace('top: "conv"', 'top: "conv" forward_type: 2 backward_type: 2', 1)
    with pytest.warns(DemitasseWarning, match="read as dialect 'nvidia', guessed from") as said:
        graph = alone("default_forward_type: 2" + INPUT + conv, messages=NVIDIA)
    assert len(said) == 1
    np.testing.assert_allclose(answer(graph)["conv"], convolved())


def test_half_floats_alone_make_no_dialect(tmp_path: Path) -> None:
    """OpenCV writes fp16 as NVCaffe does, into files whose Clip (148) is BVLC's."""
    conv = CONV.replace("data: [1, 2, 3, 4, 5, 6]", f'raw_data_type: 2 raw_data: "{RAW}"')
    clip = 'layer { name: "clip" type: "Clip" clip_param { min: 9 max: 99 } }'
    network = read_network(save(tmp_path / "net.caffemodel", INPUT + conv + clip, NVIDIA))
    assert (network.dialect, network.guess) == (None, "")
    param = network.message.fields[-1].message().merged("clip_param")
    assert param is not None
    assert [field.real() for field in param.fields] == [9, 99]


SSD = Messages(
    SCHEMA
    + "PermuteParameter: 1 order uint32*\nLayerParameter: 202 permute_param PermuteParameter\n"
)
PERMUTE = (
    INPUT
    + """
layer { name: "p" type: "Permute" bottom: "data" top: "p" permute_param { order: [0, 3, 1, 2] } }
"""
)


def test_a_guess_is_said_once_and_can_be_replaced(alone: Any, tmp_path: Path) -> None:
    match = "read as dialect 'ssd', guessed from layer type Permute, field 202 of layer 'p'; choose"
    with pytest.warns(DemitasseWarning, match=match) as said:
        graph = alone(PERMUTE, messages=SSD)
    assert len(said) == 1
    assert graph.tensors["p"].shape == (1, 6, 2, 6)
    with pytest.raises(DemitasseError, match="read as dialect 'ssd'"):
        alone(PERMUTE, messages=SSD, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone(PERMUTE, messages=SSD, dialect="ssd", strict=True)


def test_numbers_that_no_dialect_knows(alone: Any) -> None:
    text = INPUT + CONV.replace("num_output: 3", "num_output: 3 fancy: 7")
    match = (
        r"layer 'conv': unknown field convolution_param.#99 is ignored; it may change the result"
    )
    with pytest.warns(DemitasseWarning, match=match):
        graph = alone(text)
    np.testing.assert_allclose(answer(graph)["conv"], convolved())
    with pytest.raises(ParseError, match="#99"):
        alone(text, strict=True)


def test_a_dialect_that_does_not_fit(alone: Any) -> None:
    match = "unknown field #202 is ignored; it may change the result, another --dialect may know it"
    with pytest.warns(DemitasseWarning, match=match):
        alone(PERMUTE, messages=SSD, dialect="bvlc")
    with pytest.raises(DemitasseError, match="unknown dialect 'cafe'; use one of bvlc, ssd, nvid"):
        alone(PERMUTE, messages=SSD, dialect="cafe")


def test_hdf5_alone(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.caffemodel.h5", "w") as file:
        file["data/conv/0"] = np.ones(3, np.float32)
    match = "an HDF5 file holds weights, but no network; give the prototxt first"
    with pytest.raises(ParseError, match=match):
        load_caffe(tmp_path / "net.caffemodel.h5")


def test_other_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(b"\x08\x01\x10\x03\x18\x02\x20\x02")
    with pytest.raises(ParseError, match="found a solver state or a mean image"):
        load_caffe(path)
    path.write_bytes(b"\x0a\x01n")
    with pytest.raises(ParseError, match="found no layers in it"):
        load_caffe(path)


def test_damaged_parameters(alone: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "net.caffemodel", INPUT + CONV)
    good = path.read_bytes()
    param = bytes([0x08, 3, 0x10, 0, 0x20, 1])
    assert param in good
    path.write_bytes(good.replace(param, bytes([0x08, 3, 0x10, 0, 0x22, 9])))
    with pytest.raises(ParseError, match=r"layer 'conv': convolution_param is damaged: 9 bytes"):
        load_caffe(path)


def layer_of(param: bytes) -> bytes:
    """A net of one Eltwise layer whose eltwise_param (110) is `param`."""

    def message(tag: bytes, body: bytes) -> bytes:
        size, groups = len(body), bytearray()
        while size > 0x7F:
            groups.append(size & 0x7F | 0x80)
            size >>= 7
        return tag + bytes([*groups, size]) + body

    head = message(b"\x0a", b"l") + message(b"\x12", b"Eltwise") + message(b"\x22", b"out")
    return message(b"\xa2\x06", head + message(b"\xf2\x06", param))


@pytest.mark.parametrize(
    "param",
    [
        b"\x12\x80\x80\x80\x08" + bytes(1 << 24),  # coeff, packed: four million floats
        b"\x08\x01" * (1 << 20),  # operation, a million times
        b"\x7a\x00" * (1 << 20),  # an unknown field as often
    ],
    ids=["packed", "repeated", "unknown"],
)
def test_a_flood_of_fields(tmp_path: Path, param: bytes) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(layer_of(param))
    begin = time.perf_counter()
    with pytest.raises(ParseError, match=f"a net of more than {decode.MAX_FIELDS} fields"):
        load_caffe(path)
    assert time.perf_counter() - begin < 20  # far from it; a hang is what this is about


def test_truncated_and_mutated_files(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    whole = save(path, 'name: "n"' + INPUT + CONV + POOL).read_bytes()
    chance = random.Random(1)
    variants = [whole[:size] for size in range(0, len(whole), 3)]
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        variants.append(bytes(changed))
    refused = 0
    for data in variants:
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                load_caffe(path)
            except DemitasseError:
                refused += 1
    assert len(variants) / 3 < refused < len(variants)
