"""The file's bytes: header, sections, records; reading them back; damage."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from support.graphs import Builder

from demitasse.converter.flat import parse_model, read_model, serialise, write_model
from demitasse.converter.flat.format import Opcode
from demitasse.converter.graph import Graph
from demitasse.converter.ops import Concat, Conv2d, Pool2d, Relu
from demitasse.errors import ModelFileError


@pytest.fixture
def graph() -> Graph:
    b = Builder()
    x = b.input("data", 1, 3, 6, 6)
    y = b.add(Conv2d(4, (3, 3), activation=Relu()), x, weight=b.random(4, 3, 3, 3))
    b.add(Concat(), y, b.add(Pool2d("max", (3, 3)), x))
    return b.graph()


def test_header_and_checksum_follow_the_format(graph: Graph) -> None:
    data, info = serialise(graph)
    assert data[:8] == b"\x89DMT\r\n\x1a\n"
    endian, major, minor, header, sections, size, crc, features, arena = struct.unpack_from(
        "<IHHIIIIII", data, 8
    )
    assert (endian, major, minor, header) == (0x01020304, 1, 0, 64)
    assert size == len(data) == info.file_size
    assert crc == zlib.crc32(data[32:], zlib.crc32(data[:28]))
    assert features == 1  # float32 only
    assert arena == info.plan_size
    ids = [data[64 + 24 * i :][:4] for i in range(sections)]
    assert ids[:3] == [b"TENS", b"OPER", b"INDX"]
    for i in range(sections):
        _, offset, length, stride, count, _ = struct.unpack_from("<4sIIIII", data, 64 + 24 * i)
        assert offset % 64 == 0
        assert offset + length <= size
        assert length == stride * count


def test_records_read_back(graph: Graph) -> None:
    model = parse_model(serialise(graph, metadata={"tool": "test"})[0])
    assert model.inputs.keys() == {"data"}
    assert model.outputs.keys() == {"concat2"}
    assert [op.opcode for op in model.operators] == [Opcode.CONV, Opcode.POOL_MAX]
    joined = model.tensors[model.outputs["concat2"]]
    assert joined.shape == (1, 7, 4, 4)
    assert joined.strides == (7 * 16 * 4, 4, 7 * 4 * 4, 7 * 4)
    first = model.tensors[model.operators[0].output]
    assert (first.strides, first.after, joined.after) == (joined.strides, 1, 2)
    assert model.operators[0].macs == 4 * 16 * 27
    assert model.metadata["tool"] == "test"


def test_same_graph_same_bytes(graph: Graph, tmp_path: Path) -> None:
    write_model(graph, tmp_path / "a.demi")
    write_model(graph, tmp_path / "b.demi")
    assert (tmp_path / "a.demi").read_bytes() == (tmp_path / "b.demi").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.demi", "b.demi"]


def test_damage_is_named(graph: Graph, tmp_path: Path) -> None:
    data, _ = serialise(graph)
    for bad, message in [
        (data[:-1], "truncated"),
        (data[:40], "not a model.demi"),
        (b"x" + data[1:], "not a model.demi"),
        (data[:200] + bytes([data[200] ^ 1]) + data[201:], "damaged"),
        (data[:12] + struct.pack("<H", 2) + data[14:], "format version 2"),
    ]:
        path = tmp_path / "bad.demi"
        path.write_bytes(bad)
        with pytest.raises(ModelFileError, match=message) as error:
            read_model(path)
        assert "bad.demi" in str(error.value)


def test_float_constants_survive(graph: Graph) -> None:
    weight = graph.nodes[0].weights["weight"]
    data, _ = serialise(graph)
    packed = np.zeros((1, 3, 3, 3, 8), np.float32)
    packed[0, ..., :4] = weight.transpose(2, 3, 1, 0)
    assert packed.tobytes() in data
