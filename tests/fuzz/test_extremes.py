"""Inputs that are extreme in one way: deep, long, repeated, or small with large numbers in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fuzzing import Hang, bounded, survives
from support.hostile import varint

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.text import parse_prototxt
from demitasse.converter.caffe.weights import read_weights
from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.errors import DemitasseError, ParseError

MB = 1 << 20
INPUT = 'input: "data" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }\n'


def layer(name: str, kind: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


TEXTS = {
    "nested": "a {" * 10_000 + "}" * 10_000,
    "opened": "a {" * 100_000,
    "lists": "a: [" * 10_000,
    "one word": "a" * MB,
    "one string": f'name: "{"a" * MB}" layer {{ }}',
    "one number": INPUT
    + layer("c", "Power", "data", "p", f"power_param {{ shift: {'9' * 5000} }}"),
    "one integer": INPUT
    + layer(
        "c", "InnerProduct", "data", "p", f"inner_product_param {{ num_output: {'9' * 9000} }}"
    ),
    "one octal": INPUT
    + layer(
        "c", "InnerProduct", "data", "p", f"inner_product_param {{ num_output: 0{'7' * 9000} }}"
    ),
    "one dim": f'input: "data" input_dim: {"1" * 5000}' + layer("t", "TanH", "data", "t"),
    "one enum": f'input: "data" input_dim: 1 layers {{ bottom: "data" type: {"9" * 5000} }}',
    "comments": "#" * MB + "\n" * MB,
    "quotes": '"' * 100_000,
    "escapes": 'name: "' + r"\x41\101" * 50_000 + '"',
    "spaces": " " * MB,
    "inputs": 'input: "data" input_dim: 1 ' * 10_000 + layer("t", "TanH", "data", "t"),
    "dims": f'input: "data" input_shape {{ {"dim: 1 " * 50_000} }}'
    + layer("t", "TanH", "data", "t"),
    "large dims": 'input: "data" input_shape { dim: 2000000000 dim: 2000000000 }'
    + layer("t", "TanH", "data", "t"),
    "fields": INPUT + layer("t", "TanH", "data", "t", "x: 1 " * 50_000),
    "unknown types": INPUT + "".join(layer(f"l{i}", f"K{i}", "data", f"t{i}") for i in range(5000)),
    "one name": INPUT + "".join(layer("l", "TanH", "data", f"t{i}") for i in range(5000)),
    "no names": INPUT + "".join(layer("", "TanH", "data", f"t{i}") for i in range(5000)),
    "in place": INPUT + "".join(layer(f"l{i}", "TanH", "data", "data") for i in range(5000)),
    "one blob twice": INPUT + layer("l", "TanH", "data", "data") * 5000,
    "chain": INPUT.replace("data", "t0")
    + "".join(layer(f"l{i}", "TanH", f"t{i}", f"t{i + 1}") for i in range(5000)),
    "tops": INPUT
    + f'layer {{ name: "s" type: "Split" bottom: "data" {"top: " + chr(34) + "x" + chr(34) + " "} '
    + " ".join(f'top: "t{i}"' for i in range(20_000))
    + "}",
    "V0": 'input: "d" input_dim: 1 '
    + 'layers { bottom: "d" top: "d" layer { type: "relu" } }' * 3000,
    "rules": INPUT + layer("t", "TanH", "data", "t", 'include { stage: "a" }' * 20_000),
    "shared": INPUT + layer("t", "PReLU", "data", "t", 'param { name: "w" }' * 20_000),
}


def filled(kind: str, more: str, filler: str) -> str:
    params = {"Scale": "scale_param", "InnerProduct": "inner_product_param"}
    param = params.get(kind, "convolution_param")
    name = "filler" if kind == "Scale" else "weight_filler"
    alone = "" if kind == "Scale" else "bias_term: false"
    inner = f"{param} {{ {more} {alone} {name} {{ {filler} }} }}"
    return INPUT + layer("f", kind, "data", "f", inner)


SMALL = {
    "outputs": filled("InnerProduct", "num_output: 60000000", "value: 1"),
    "most outputs": filled("InnerProduct", "num_output: 2147483648", "value: 1"),
    "channels": filled("Convolution", "num_output: 100000000 kernel_size: 1", "value: 0.5"),
    "kernel": filled("Convolution", "num_output: 1 kernel_size: 32000 pad: 16000", ""),
    "bilinear": filled(
        "Deconvolution", "num_output: 2 kernel_size: 30000 pad: 15000", 'type: "bilinear"'
    ),
    "bilinear channels": filled(
        "Deconvolution", "num_output: 4000000 kernel_size: 8 pad: 4", 'type: "bilinear"'
    ),
    "large image": filled("Scale", "axis: 0 num_axes: -1", "value: 2").replace(
        "dim: 4 dim: 4", "dim: 30000 dim: 30000"
    ),
    "large pad": filled("Convolution", "num_output: 1 kernel_size: 1 pad: 2000000000", ""),
    "zero by zero": INPUT.replace("dim: 4", "dim: 0") + layer("t", "TanH", "data", "t"),
    "slices": INPUT + layer("s", "Slice", "data", "s", "slice_param { slice_point: 2147483647 }"),
    "tiles": INPUT + layer("s", "Tile", "data", "s", "tile_param { tiles: 100000000 }"),
    "columns": INPUT
    + layer("s", "Im2col", "data", "s", "convolution_param { kernel_size: 2000 pad: 1000 }"),
    "reverse": INPUT.replace("dim: 2", "dim: 100000000")
    + layer("s", "Reverse", "data", "s", "reverse_param { axis: 1 }"),
    "shuffle": INPUT.replace("dim: 2", "dim: 100000000")
    + layer("s", "ShuffleChannel", "data", "s", "shuffle_channel_param { group: 50000000 }"),
    "constants": INPUT.replace("data", "x")
    + 'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { '
    "data_filler { value: 3 } shape { dim: 1000000000 } } }" + layer("s", "TanH", "data", "s"),
    "parameter": 'layer { name: "d" type: "Parameter" top: "data" parameter_param { '
    "shape { dim: 1000000000 } } }" + layer("s", "TanH", "data", "s"),
    "embed": INPUT
    + layer("e", "Embed", "data", "e", "embed_param { input_dim: 40000 num_output: 40000 }"),
    "states": INPUT.replace("dim: 4 dim: 4", "")
    + layer("e", "RNN", "data", "e", "recurrent_param { num_output: 40000 }"),
    "spp": INPUT + layer("s", "SPP", "data", "s", "spp_param { pyramid_height: 28 pool: MAX }"),
    "boxes": INPUT
    + 'layer { name: "p" type: "PriorBox" bottom: "data" bottom: "data" top: "p" prior_box_param {'
    + "min_size: 1 " * 1000
    + "} }",
}


@pytest.mark.parametrize("name", TEXTS)
def test_extreme_texts(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXTS[name])
    survives(lambda: load_caffe(path), len(TEXTS[name]))


@pytest.mark.parametrize("name", SMALL)
def test_small_texts_need_little_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(SMALL[name])
    survives(lambda: load_caffe(path), len(SMALL[name]))


def test_depth_is_an_error_not_a_recursion() -> None:
    with pytest.raises(ParseError, match="nested more than"):
        parse_prototxt(TEXTS["nested"])


@pytest.mark.parametrize("number", [1, 2, 6, 7, 8, 100, 106, 147])
def test_nested_messages(number: int, tmp_path: Path) -> None:
    """10,000 messages, one in the other."""
    data = b""
    for _ in range(10_000):
        data = varint(number << 3 | 2) + varint(len(data)) + data
    path = tmp_path / "net.caffemodel"
    for head in (b"", b"\xa2\x06", b"\x12"):  # alone, in a layer of V2, of V1
        path.write_bytes(head + varint(len(data)) + data if head else data)
        survives(lambda: read_weights(path), len(data))
        survives(lambda: load_caffe(path), len(data))


@pytest.mark.parametrize("dims", [[2**62], [2**31, 2**31], [65536] * 4, [1] * 100_000, [2**63]])
def test_shapes_without_numbers(dims: list[int], tmp_path: Path) -> None:
    packed = b"".join(map(varint, dims))
    shape = b"\x0a" + varint(len(packed)) + packed
    blob = b"\x3a" + varint(len(shape)) + shape
    body = b"\x0a\x01c\x3a" + varint(len(blob)) + blob
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\xa2\x06" + varint(len(body)) + body)
    survives(lambda: read_weights(path), path.stat().st_size)
    with pytest.raises(DemitasseError):
        read_weights(path)


def test_many_layers_without_their_weights(tmp_path: Path) -> None:
    """Hints at similar names must not cost the square of the number of layers."""
    text, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    layers = [layer(f"res{i}_branch2a", "PReLU", "data", f"t{i}") for i in range(2000)]
    text.write_text(INPUT + "".join(layers))
    one = np.ones(1, np.float32)
    write_caffemodel(
        weights, [WeightLayer(f"res{i}_branch2b_x", "", arrays=(one,)) for i in range(2000)]
    )
    survives(lambda: load_caffe(text, weights), text.stat().st_size)


def test_the_limits_hold() -> None:
    """The fuzzers' own net: time and memory beyond the bound are noticed."""
    with pytest.raises(MemoryError), bounded(10, 64 * MB):
        np.zeros(256 * MB, np.uint8)
    with pytest.raises(Hang), bounded(0.1, 64 * MB):
        spin()


def spin() -> None:
    while True:
        pass
