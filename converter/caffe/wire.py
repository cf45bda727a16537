"""Read a caffemodel: the fields that every fork agrees on, walked over a memory map.

Only names, wiring and blobs are taken (`protos/caffe.proto` lists them); everything else is
skipped by its length, so an unknown layer never disturbs. Blobs are views of the mapped file:
nothing is copied except numbers stored in another type than float32. V2, V1 and V0 layers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.writer import WeightLayer
from demitasse.errors import ParseError, WeightsError

Buffer = bytes | mmap.mmap

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf's wire types
MAX_AXES = 32  # Caffe's own limit

# NVCaffe's raw_data_type
RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2", 3: "<i4", 4: "<u4", 5: "?"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Field numbers of one generation's layer message."""

    name: int
    bottom: int
    top: int
    blobs: int
    type: int | None = None  # only where it is a string
    nested: int | None = None


V2_IN_NET, V1_IN_NET = 100, 2
V2 = Numbers(name=1, type=2, bottom=3, top=4, blobs=7)
V1 = Numbers(bottom=2, top=3, name=4, blobs=6, nested=1)
V0 = Numbers(name=1, type=2, bottom=-1, top=-1, blobs=50)


class Part(NamedTuple):
    """One field: its number, its wire type, and its payload's place in the file (or its value)."""

    number: int
    wire: int
    start: int
    end: int
    value: int = 0


@dataclass
class _Layer:
    """A layer while it is being read."""

    name: str = ""
    type: str = ""
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[Part] = field(default_factory=list)


class Malformed(Exception):
    """The bytes at this place are no protobuf, or end too early."""


def read_wire(path: Path) -> list[WeightLayer]:
    """Every layer of a binary caffemodel, blobs as float32 arrays of the shape that is stored.

    Raises ParseError where the file is truncated or no caffemodel, WeightsError naming the layer
    where a blob's shape and its numbers disagree.
    """
    data = open_caffemodel(path)
    layers: list[WeightLayer] = []
    try:
        for part in Fields(data, 0, len(data)):
            refuse_other_messages(part, path)
            if part.wire == BYTES and part.number in (V1_IN_NET, V2_IN_NET):
                numbers = V2 if part.number == V2_IN_NET else V1
                layers.append(_finish(data, _read_layer(data, part, numbers), path))
    except Malformed as reason:
        raise incomplete(reason, layers[-1].name if layers else None, path) from None
    if not layers:
        raise ParseError("expected a caffemodel, found no layers in it", file=path)
    return layers


def open_caffemodel(path: Path) -> Buffer:
    """A binary file as a map. Raises ParseError where it is something else, saying what."""
    data = _map(path)
    kind = sniff.guess(data[:4096])
    if kind != "binary data":  # the tag of a layer has a control character
        raise ParseError(
            f"expected a caffemodel, found {kind}", file=path, remedy=sniff.explain(kind, "weights")
        )
    return data


def incomplete(reason: Malformed, last: str | None, path: Path) -> ParseError:
    """The error for a file that breaks off after the layer `last`."""
    where = "in the first layer" if last is None else f"after layer '{last}'"
    return ParseError(
        f"not a complete caffemodel: {reason} {where}",
        file=path,
        remedy="the file is truncated or damaged, or no caffemodel at all: fetch it again",
    )


class Fields:
    """Iterate over the fields of one message; `position` may be moved forward."""

    def __init__(self, data: Buffer, start: int, end: int) -> None:
        self.data = data
        self.position = start
        self.end = end

    def __iter__(self) -> Iterator[Part]:
        while self.position < self.end:
            yield self._field()

    def varint(self) -> int:
        value = shift = 0
        while True:
            if self.position >= self.end or shift > 63:
                raise Malformed(f"bad number at byte {self.position}")
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _field(self) -> Part:
        at = self.position
        tag = self.varint()
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value = self.varint()
            return Part(number, wire, at, self.position, value)
        if wire == BYTES:
            size = self.varint()
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise Malformed(f"bad field at byte {at}")
        start = self.position
        if number == 0 or size > self.end - start:
            raise Malformed(f"{size} bytes announced at byte {at}, {self.end - start} left")
        self.position = start + size
        return Part(number, wire, start, self.position)


def _map(path: Path) -> Buffer:
    """The file as a read-only map; it stays open for as long as an array looks into it."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise sniff.unreadable(path, error) from None


def refuse_other_messages(part: Part, path: Path) -> None:
    """Field 1 is the net's name; a number there is another of Caffe's files."""
    if part.number == 1 and part.wire == VARINT:
        raise ParseError(
            "expected a caffemodel, found a solver state or a mean image",
            file=path,
            remedy="give the .caffemodel file",
        )


def _read_layer(data: Buffer, place: Part, numbers: Numbers) -> _Layer:
    layer = _Layer()
    for part in Fields(data, place.start, place.end):
        if part.wire != BYTES:
            continue
        if part.number == numbers.name:
            layer.name = string(data, part)
        elif part.number == numbers.type:
            layer.type = string(data, part)
        elif part.number == numbers.bottom:
            layer.bottoms.append(string(data, part))
        elif part.number == numbers.top:
            layer.tops.append(string(data, part))
        elif part.number == numbers.blobs:
            layer.blobs.append(part)
        elif part.number == numbers.nested:
            inner = _read_layer(data, part, V0)
            layer.name, layer.type = inner.name, inner.type
            layer.blobs += inner.blobs
    return layer


def _finish(data: Buffer, layer: _Layer, path: Path) -> WeightLayer:
    arrays = []
    for index, place in enumerate(layer.blobs):
        try:
            arrays.append(_read_blob(data, place))
        except WeightsError as error:
            raise WeightsError(
                f"blob {index} {error.message}", file=path, layer=layer.name
            ) from None
    return WeightLayer(
        layer.name, layer.type, tuple(layer.bottoms), tuple(layer.tops), tuple(arrays)
    )


def string(data: Buffer, part: Part) -> str:
    """A string field's text, whatever its encoding."""
    raw = bytes(data[part.start : part.end])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_blob(data: Buffer, place: Part) -> np.ndarray:
    """One BlobProto. Doubles win over floats, raw data over both, as in the forks that write them.

    Forks use numbers 9 to 13 differently; NVCaffe's raw data is told by its wire types.
    """
    legacy: dict[int, int] = {}
    shape: list[int] = []
    chunks: dict[str, list[np.ndarray]] = {"<f4": [], "<f8": []}
    raw: Part | None = None
    raw_type: int | None = None
    fields = Fields(data, place.start, place.end)
    for part in fields:
        number, wire = part.number, part.wire
        if number <= 4 and wire == VARINT:
            legacy[number] = signed(part.value)
        elif number == 5 and wire in (BYTES, FIXED32):
            chunks["<f4"].append(_numbers(fields, part, "<f4"))
        elif number == 7 and wire == BYTES:
            shape += _dims(data, part)
        elif number == 8 and wire in (BYTES, FIXED64):
            chunks["<f8"].append(_numbers(fields, part, "<f8"))
        elif number == 10 and wire == VARINT:
            raw_type = part.value
        elif number == 12 and wire == BYTES:
            raw = part
    if raw is not None and raw_type is not None:
        if raw_type not in RAW_TYPES:
            raise WeightsError(f"has raw data of the unknown type {raw_type}")
        values = _view(data, raw.start, raw.end, RAW_TYPES[raw_type])
    else:
        parts = chunks["<f8"] or chunks["<f4"] or [np.zeros(0, np.float32)]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    dims = tuple(legacy.get(axis, 0) for axis in (1, 2, 3, 4)) if legacy else tuple(shape)
    return _shaped(values, dims)


def _shaped(values: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    if len(dims) > MAX_AXES or any(dim < 0 for dim in dims):
        raise WeightsError(f"has the impossible shape {dims[: MAX_AXES + 1]}")
    if prod(dims) != values.size:
        raise WeightsError(
            f"has shape {dims}, which is {prod(dims)} numbers, but holds {values.size}"
        )
    with np.errstate(over="ignore"):  # of doubles: infinite, as in Caffe
        return values.astype(np.float32, copy=False).reshape(dims)


def _numbers(fields: Fields, part: Part, dtype: str) -> np.ndarray:
    """Packed numbers, or the whole run of unpacked ones (a tag before each) that begins here."""
    if part.wire == BYTES:
        return _view(fields.data, part.start, part.end, dtype)
    step = 1 + part.end - part.start
    count = (fields.end - part.start + 1) // step
    run = np.frombuffer(fields.data, np.uint8, count * step, part.start - 1).reshape(count, step)
    other = np.flatnonzero(run[:, 0] != run[0, 0])
    run = run[: other[0]] if other.size else run
    fields.position = part.start - 1 + run.size
    return np.ascontiguousarray(run[:, 1:]).view(dtype).reshape(-1)


def _view(data: Buffer, start: int, end: int, dtype: str) -> np.ndarray:
    size = np.dtype(dtype).itemsize
    if (end - start) % size:
        raise WeightsError(f"holds {end - start} bytes, not a multiple of {size}")
    return np.frombuffer(data, dtype, (end - start) // size, start)


def _dims(data: Buffer, place: Part) -> list[int]:
    """BlobShape: dim = 1, packed or not."""
    dims = []
    for part in Fields(data, place.start, place.end):
        if part.number == 1 and part.wire == VARINT:
            dims.append(signed(part.value))
        elif part.number == 1 and part.wire == BYTES:
            packed = Fields(data, part.start, part.end)
            while packed.position < packed.end:
                dims.append(signed(packed.varint()))
    return dims


def signed(value: int) -> int:
    """A varint as the int64 that it encodes."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
