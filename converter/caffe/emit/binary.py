"""The layers' parameters on the wire, as Caffe saves them beside the blobs.

The numbers of the fields are those of the first dialect that has all that a network needs: BVLC's,
or those of a fork whose layers it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from demitasse.converter.caffe.emit.step import Layer
from demitasse.converter.caffe.emit.text import Fields
from demitasse.converter.caffe.writer import message, varint
from demitasse.protos.dialect import DIALECTS, Dialect, Member, dialect


def parameters(layers: Sequence[Layer]) -> list[bytes]:
    """For each layer the fields of its messages; nothing where no dialect has them all."""
    for name in DIALECTS:
        try:
            return [_parameters(dialect(name), layer) for layer in layers]
        except KeyError:  # a type or a field that this fork does not have
            continue
    return [b""] * len(layers)


def _parameters(fork: Dialect, layer: Layer) -> bytes:
    if layer.type not in fork.layers:
        raise KeyError(layer.type)
    written = {name: fields for name, fields in layer.params.items() if fields}
    for name in written:
        _, member = _find(fork, "LayerParameter", name)
        if member.layers and layer.type not in member.layers:
            raise KeyError(name)
    return b"".join(_fields(fork, "LayerParameter", written))


def _find(fork: Dialect, kind: str, name: str) -> tuple[int, Member]:
    for number, member in fork.messages.get(kind, {}).items():
        if member.name == name and member.type != "message":
            return number, member
    raise KeyError(name)


def _fields(fork: Dialect, kind: str, fields: Fields) -> Iterator[bytes]:
    for name, value in fields.items():
        number, member = _find(fork, kind, name)
        repeated = isinstance(value, Sequence) and not isinstance(value, str)
        for item in value if repeated else [value]:  # type: ignore[union-attr]
            yield _field(fork, number, member, item)


def _field(fork: Dialect, number: int, member: Member, value: object) -> bytes:
    if isinstance(value, Mapping):
        return b"".join(message(number, _fields(fork, member.type, value)))
    if isinstance(value, str) and member.type in fork.enums:
        values = {word: code for code, word in fork.enums[member.type].items()}
        return varint(number << 3) + varint(values[value])
    if isinstance(value, str):
        return b"".join(message(number, [value.encode()]))
    if member.type == "float":
        return varint(number << 3 | 5) + np.asarray(value, "<f4").tobytes()
    if not isinstance(value, int):  # a real number where this fork has a whole one
        raise KeyError(member.name)
    return varint(number << 3) + varint(value % 2**64)  # negative ones in ten bytes, as protobuf
