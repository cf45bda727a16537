"""The caffemodel reader, on files encoded by protobuf or spelled out by hand."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demitasse.converter.caffe.weights import Store, read_weights
from demitasse.converter.caffe.wire import read_wire
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.errors import DemitasseError, ParseError, WeightsError
from demitasse.protos.schema import message_class


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def part(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def net_of(blob: bytes) -> bytes:
    """A V2 net with one layer that has one blob."""
    return part(100, part(1, b"fc") + part(2, b"InnerProduct") + part(7, blob))


def shape(*dims: int) -> bytes:
    return part(7, part(1, b"".join(varint(d) for d in dims)))


def read(tmp_path: Path, data: bytes) -> list[WeightLayer]:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    return read_weights(path)


def blob_of(tmp_path: Path, data: bytes) -> np.ndarray:
    (layer,) = read(tmp_path, net_of(data))
    (array,) = layer.arrays
    assert array.dtype == np.float32
    return array


VALUES = [1.0, -2.5, 3.25]
FLOATS = struct.pack("<3f", *VALUES)
DOUBLES = struct.pack("<3d", *VALUES)
HALVES = np.array(VALUES, "<f2").tobytes()
OTHER = struct.pack("<3f", 9, 9, 9)


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(shape(3) + part(5, FLOATS), id="packed"),
        pytest.param(part(5, FLOATS) + shape(3), id="shape last"),
        pytest.param(shape(3) + part(5, FLOATS[:4]) + part(5, FLOATS[4:]), id="two packs"),
        pytest.param(
            shape(3) + b"".join(b"\x2d" + FLOATS[i : i + 4] for i in (0, 4, 8)), id="unpacked"
        ),
        pytest.param(
            b"".join(b"\x2d" + FLOATS[i : i + 4] for i in (0, 4, 8)) + shape(3),
            id="unpacked, then shape",
        ),
        pytest.param(shape(3) + part(8, DOUBLES), id="doubles"),
        pytest.param(shape(3) + part(8, DOUBLES) + part(5, OTHER), id="doubles win"),
        pytest.param(
            shape(3) + b"".join(b"\x41" + DOUBLES[i : i + 8] for i in (0, 8, 16)),
            id="unpacked doubles",
        ),
        pytest.param(shape(3) + number(10, 2) + part(12, HALVES), id="raw fp16"),
        pytest.param(shape(3) + number(10, 1) + part(12, FLOATS), id="raw fp32"),
        pytest.param(shape(3) + number(10, 0) + part(12, DOUBLES), id="raw fp64"),
        pytest.param(shape(3) + part(5, FLOATS) + part(6, OTHER), id="diff is skipped"),
        pytest.param(
            shape(3) + part(5, FLOATS) + part(10, b"\x0a\x01\x03") + number(13, 1),
            id="another fork's fields 10 and 13",
        ),
        pytest.param(part(7, number(1, 3)) + part(5, FLOATS), id="unpacked dims"),
    ],
)
def test_blob_encodings(tmp_path: Path, blob: bytes) -> None:
    np.testing.assert_array_equal(blob_of(tmp_path, blob), np.float32(VALUES))


def test_legacy_shape(tmp_path: Path) -> None:
    dims = number(1, 1) + number(2, 1) + number(3, 1) + number(4, 3)
    assert blob_of(tmp_path, dims + part(5, FLOATS)).shape == (1, 1, 1, 3)


def test_scalar(tmp_path: Path) -> None:
    assert blob_of(tmp_path, part(7, b"") + part(5, FLOATS[:4])).shape == ()


def test_floats_are_views_of_the_file(tmp_path: Path) -> None:
    array = blob_of(tmp_path, shape(3) + part(5, FLOATS))
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_v1_and_v0_layers(tmp_path: Path) -> None:
    blob = shape(3) + part(5, FLOATS)
    v1 = part(2, part(2, b"data") + part(3, b"y") + part(4, b"fc") + number(5, 14) + part(6, blob))
    inner = part(1, b"old") + part(2, b"innerproduct") + part(50, blob)
    v0 = part(2, part(1, inner) + part(2, b"y") + part(3, b"z"))
    first, second = read(tmp_path, part(1, b"net") + v1 + v0)
    assert (first.name, first.bottoms, first.tops) == ("fc", ("data",), ("y",))
    assert (second.name, second.type, second.bottoms) == ("old", "innerproduct", ("y",))
    for layer in (first, second):
        np.testing.assert_array_equal(layer.arrays[0], np.float32(VALUES))


def test_agrees_with_protobuf(tmp_path: Path) -> None:
    net: Any = message_class("NetParameter")(name="net")
    layer = net.layer.add(name="é", type="Convolution", bottom=["a"], top=["b", "c"])
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    blob = layer.blobs.add(data=[weight.tobytes()])
    blob.shape.dim.extend(weight.shape)
    net.layer.add(name="relu")
    first, second = read(tmp_path, net.SerializeToString())
    assert (first.name, first.type, first.bottoms, first.tops) == (
        "é",
        "Convolution",
        ("a",),
        ("b", "c"),
    )
    np.testing.assert_array_equal(first.arrays[0], weight)
    assert (second.name, second.arrays) == ("relu", ())


def test_unknown_fields_are_skipped(tmp_path: Path) -> None:
    inside = part(106, b"\xff\xff") + number(145, 3) + varint(9000 << 3 | 1) + bytes(8)
    data = part(100, inside + part(1, b"a") + part(7, shape(3) + part(5, FLOATS)))
    assert read(tmp_path, number(11, 2) + data)[0].arrays[0].shape == (3,)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (shape(2, 2) + part(5, FLOATS), "blob 0 has shape (2, 2), which is 4 numbers, but holds 3"),
        (shape(3), "which is 3 numbers, but holds 0"),
        (shape(3) + part(5, FLOATS[:-1]), "holds 11 bytes, not a multiple of 4"),
        (shape(3) + number(10, 2) + part(12, FLOATS), "but holds 6"),
        (shape(3) + number(10, 77) + part(12, FLOATS), "unknown type 77"),
        (shape(*[1] * 33) + part(5, FLOATS[:4]), "impossible shape"),
        (part(7, number(1, 2**64 - 1)) + part(5, FLOATS), "impossible shape (-1,)"),
        (shape(2**40, 2**40) + part(5, FLOATS), "but holds 3"),
    ],
)
def test_blobs_that_do_not_fit(tmp_path: Path, blob: bytes, message: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read(tmp_path, net_of(blob))
    assert message in str(caught.value)
    assert f"{tmp_path / 'net.caffemodel'}: layer 'fc': " in str(caught.value)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    one = net_of(shape(3) + part(5, FLOATS))
    data = one + one
    for length in range(len(data)):
        if length == len(one):
            continue
        with pytest.raises(ParseError, match=r"not a complete caffemodel|an empty file|found text"):
            read(tmp_path, data[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'name: "LeNet"\nlayer { }\n', "found text; were the prototxt and the caffemodel swapped"),
        (b"\nlayer {}", "found text; were"),
        (b"<html>", "found an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer"),
        (b"PK\x03\x04\0\0", "found a zip archive"),
        (number(1, 5000) + part(2, b"x"), "found a solver state or a mean image"),
        (part(1, b"\x01net"), "found no layers"),
    ],
)
def test_files_that_are_no_caffemodel(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(tmp_path, data)
    assert message in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DemitasseError, match="cannot read: no such file"):
        read_weights(tmp_path / "none.caffemodel")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    good = bytearray(net_of(shape(3) + part(5, FLOATS)) + part(2, part(4, b"x")))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "net.caffemodel"
    path.write_bytes(good)
    with suppress(DemitasseError):
        assert read_wire(path)


def test_names_that_repeat() -> None:
    def layer(name: str, value: float) -> WeightLayer:
        return WeightLayer(name, "", arrays=(np.float32([value]),))

    layers = [layer("a", 1), WeightLayer("a", "ReLU"), layer("a", 2)]
    last = Store(layers).take("a", repeats=False)
    assert last is layers[2]
    store = Store(layers)
    assert store.take("a", repeats=True) is layers[0]
    assert store.take("a", repeats=True) is layers[2]
    assert store.take("a", repeats=True) is None
    assert store.take("b", repeats=False) is None
