"""The committed descriptors say what `caffe.proto` says, and live in a pool of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from demitasse.protos import schema


def test_descriptors_match_the_proto(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    from demitasse.protos.compile import compile_descriptors

    compile_descriptors(tmp_path / "fresh.desc")
    fresh = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "fresh.desc").read_bytes())
    committed = descriptor_pb2.FileDescriptorSet.FromString(schema.DESCRIPTORS.read_bytes())
    assert committed == fresh


def test_wire_numbers() -> None:
    """Spelled out by hand: field 100 is a layer, its field 7 a blob, whose field 5 is data."""
    blob = bytes([0x2A, 4, 0, 0, 0x80, 0x3F, 0x3A, 3, 0x0A, 1, 1])
    layer = bytes([0x0A, 1]) + b"a" + bytes([0x3A, len(blob)]) + blob
    data = bytes([0xA2, 0x06, len(layer)]) + layer

    net = schema.message_class("NetParameter").FromString(data)

    assert net.layer[0].name == "a"
    assert list(net.layer[0].blobs[0].shape.dim) == [1]
    assert net.layer[0].blobs[0].data == [b"\x00\x00\x80\x3f"]
    assert net.SerializeToString() == data


def test_the_global_pool_stays_untouched() -> None:
    schema.message_class("NetParameter")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("caffe.NetParameter")


def test_unknown_message() -> None:
    with pytest.raises(KeyError):
        schema.message_class("Nothing")
