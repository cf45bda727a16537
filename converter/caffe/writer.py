"""Write a caffemodel: names, types, wiring and blobs, the fields that every Caffe reads.

The parameters of the layers (`convolution_param`, ...) are given as they stand in the file. The
wire format is spelled out here because the file is only a handful of fields (NetParameter name = 1,
layer = 100; LayerParameter name, type, bottom, top = 1..4, blobs = 7; BlobProto data = 5,
shape = 7), and because a blob then goes from its array to the file without being copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from demitasse.converter.files import write_whole
from demitasse.errors import UnsupportedError, WeightsError

_MAX_BYTES = 2**31 - 1  # protobuf refuses larger messages, and so does Caffe


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """One layer of a caffemodel: its names and its blobs, in Caffe's order and layout.
    `parameters`: the fields of its messages, on the wire."""

    name: str
    type: str
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    arrays: tuple[npt.NDArray[Any], ...] = ()
    parameters: bytes = b""


def write_caffemodel(path: str | Path, layers: Iterable[WeightLayer], name: str = "") -> None:
    """Write `layers` to `path` as a V2 caffemodel; blobs are stored as float32 with their shape.

    The file is written beside `path` and renamed when it is complete. The same layers give the
    same bytes. Raises UnsupportedError where the file would exceed protobuf's 2 GiB, WeightsError
    where a blob holds no real numbers, DataError where `path` cannot be written.
    """
    path = Path(path)
    chunks: list[bytes | memoryview] = []
    if name:
        chunks += _text(1, name)
    for layer in layers:
        chunks += message(100, _layer(layer, path))
    total = _size(chunks)
    if total > _MAX_BYTES:
        raise UnsupportedError(
            f"{total} bytes of weights, but a caffemodel holds at most {_MAX_BYTES}",
            file=path,
            remedy="split the network or save it in another format",
        )
    write_whole(path, chunks)


def _layer(layer: WeightLayer, path: Path) -> Iterator[bytes | memoryview]:
    yield from _text(1, layer.name)
    yield from _text(2, layer.type)
    for bottom in layer.bottoms:
        yield from _text(3, bottom)
    for top in layer.tops:
        yield from _text(4, top)
    for index, array in enumerate(layer.arrays):
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            raise WeightsError(
                f"blob {index} has type {array.dtype}",
                file=path,
                layer=layer.name,
                remedy="give an array of real numbers",
            )
        yield from message(7, _blob(array))
    if layer.parameters:
        yield layer.parameters


def _blob(array: npt.NDArray[Any]) -> Iterator[bytes | memoryview]:
    dims = b"".join(varint(dim) for dim in array.shape)
    yield from message(7, [*message(1, [dims])])  # BlobShape, its dims packed
    data = np.asarray(array, dtype="<f4", order="C").reshape(-1)
    yield from message(5, [data.view(np.uint8).data])


def _text(field: int, value: str) -> Iterator[bytes | memoryview]:
    return message(field, [value.encode()])


def message(field: int, body: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """A length-delimited field (wire type 2): tag, length, body."""
    chunks = list(body)
    yield varint(field << 3 | 2) + varint(_size(chunks))
    yield from chunks


def _size(chunks: Sequence[bytes | memoryview]) -> int:
    return sum(len(chunk) for chunk in chunks)


def varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
