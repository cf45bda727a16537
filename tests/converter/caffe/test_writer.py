"""The caffemodel writer, against bytes worked out by hand and against protobuf's own parser."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.errors import DemitasseError

_FIELDS = {  # message: (name, number, type, packed); the numbers are Caffe's
    "Shape": [("dim", 1, "int64", True)],
    "Blob": [("data", 5, "float", True), ("shape", 7, "Shape", False)],
    "Layer": [
        ("name", 1, "string", False),
        ("type", 2, "string", False),
        ("bottom", 3, "string", False),
        ("top", 4, "string", False),
        ("blobs", 7, "Blob", False),
    ],
    "Net": [("name", 1, "string", False), ("layer", 100, "Layer", False)],
}


def _parse(data: bytes) -> Message:
    """Read with protobuf itself, from a schema that is declared here and nowhere else."""
    file = descriptor_pb2.FileDescriptorProto(name="writer_test.proto", package="writer_test")
    for message, fields in _FIELDS.items():
        descriptor = file.message_type.add(name=message)
        for name, number, kind, packed in fields:
            field = descriptor.field.add(name=name, number=number, label=3)  # repeated
            field.options.packed = packed
            if kind in _FIELDS:
                field.type, field.type_name = 11, f".writer_test.{kind}"
            else:
                field.type = {"float": 2, "int64": 3, "string": 9}[kind]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("writer_test.Net"))
    net: Message = message_class()
    net.ParseFromString(data)
    return net


def test_bytes_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    weights = np.array([[1.0], [-2.0]])
    write_caffemodel(path, [WeightLayer("c", "Scale", ("x",), ("y",), (weights,))], name="n")
    blob = b"\x3a\x04\x0a\x02\x02\x01" + b"\x2a\x08" + struct.pack("<2f", 1.0, -2.0)
    layer = b"\x0a\x01c" + b"\x12\x05Scale" + b"\x1a\x01x" + b"\x22\x01y" + b"\x3a\x10" + blob
    assert path.read_bytes() == b"\x0a\x01n" + b"\xa2\x06" + bytes([len(layer)]) + layer


def test_protobuf_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = (
        rng.standard_normal((40, 3, 5, 7)),  # float64, needs three length bytes
        rng.standard_normal((6, 4)).astype(np.float32).T,  # not contiguous
        np.arange(300, dtype=np.int32),
        np.float32(2.5),  # no axes, one value
        np.zeros((0, 3), np.float32),
    )
    layers = [
        WeightLayer("größe/1", "Convolution", ("a", "b"), ("c", "d"), arrays),
        WeightLayer("empty", "ReLU"),
    ]
    path = tmp_path / "a.caffemodel"
    write_caffemodel(path, layers)
    net = _parse(path.read_bytes())
    assert list(net.name) == []
    first, second = net.layer
    assert (first.name, first.type) == (["größe/1"], ["Convolution"])
    assert (first.bottom, first.top) == (["a", "b"], ["c", "d"])
    assert (second.name, len(second.blobs)) == (["empty"], 0)
    for blob, array in zip(first.blobs, arrays, strict=True):
        (shape,) = blob.shape
        assert tuple(shape.dim) == np.shape(array)
        expected = np.asarray(array, np.float32).ravel()
        np.testing.assert_array_equal(np.array(blob.data, np.float32), expected)


def test_same_layers_same_bytes(tmp_path: Path) -> None:
    layers = [WeightLayer("a", "Bias", arrays=(np.linspace(0, 1, 7),))]
    for name in ("one", "two"):
        write_caffemodel(tmp_path / name, layers)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.caffemodel"
    path.write_bytes(b"old")
    with pytest.raises(DemitasseError, match=r"a\.caffemodel: layer 'bad': blob 0 has type"):
        write_caffemodel(path, [WeightLayer("bad", "Bias", arrays=(np.array(["x"]),))])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(DemitasseError, match="cannot write"):
        write_caffemodel(tmp_path / "missing" / "a.caffemodel", [])
