"""Read model.demi back into records, for people and for tools (`inspect`)."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any

from demitasse.converter.flat import format as f
from demitasse.converter.graph import Shape
from demitasse.errors import ModelFileError

Record = tuple[Any, ...]  # as struct unpacks it


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor of a file; offset and strides in bytes."""

    name: str | None
    dtype: str
    shape: Shape
    strides: tuple[int, ...]
    offset: int
    scale: float
    zero_point: int
    after: int
    count: int = 0  # where the number of its rows stands; 0: they are all there


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """One operator of a file; inputs and output are indices of tensors."""

    name: str | None
    opcode: f.Opcode | int  # a plug-in's is a number
    dtype: str
    inputs: tuple[int, ...]
    output: int
    parameters: bytes
    macs: int
    room: tuple[int, int]  # offset and bytes of what the arena leaves to its kernel


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The records of a model.demi."""

    size: int
    version: tuple[int, int]
    arena_size: int
    tensors: tuple[TensorRecord, ...]
    operators: tuple[OperatorRecord, ...]
    inputs: dict[str, int]
    outputs: dict[str, int]
    sections: dict[str, int]  # bytes of each
    preprocess: tuple[bytes, ...]
    metadata: dict[str, object]
    data: bytes = field(repr=False)  # section DATA


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read a file. Raises ModelFileError where it is damaged or of another version."""
    return parse_model(Path(path).read_bytes(), path)


def parse_model(data: bytes, path: str | os.PathLike[str] | None = None) -> ModelFile:
    """The records of a model given as bytes."""
    try:
        return _parse(data)
    except ModelFileError as error:
        raise ModelFileError(error.message, file=path, remedy=error.remedy) from None
    except Exception as error:  # a damaged record with a right checksum
        raise ModelFileError(f"broken record ({error})", file=path) from None


def _parse(data: bytes) -> ModelFile:
    header = _header(data)
    _, _, major, minor, header_size, count, size, _, _, arena = header
    bodies: dict[str, bytes] = {}
    strides: dict[str, int] = {}
    for i in range(count):
        entry = f.SECTION.unpack_from(data, header_size + i * f.SECTION.size)
        name = entry[0].decode()
        bodies[name], strides[name] = data[entry[1] : entry[1] + entry[2]], entry[3]

    def records(name: str, layout: Struct) -> list[Record]:
        body, stride = bodies.get(name, b""), strides.get(name, 1)
        return [layout.unpack_from(body, at) for at in range(0, len(body), stride)]

    def text(offset: int) -> str | None:
        names = bodies.get("NAME", b"")
        return None if offset == f.NONE else names[offset : names.index(b"\0", offset)].decode()

    indices = memoryview(bodies.get("INDX", b"")).cast("I") if "INDX" in bodies else ()
    parameters = bodies.get("PARM", b"")
    tensors = tuple(_tensor(r, text(r[19])) for r in records("TENS", f.TENSOR))
    operators = tuple(
        OperatorRecord(
            text(r[8]),
            f.opcode(r[0]),
            f.DTYPE_NAMES[r[1]],
            tuple(indices[r[5] : r[5] + r[3]]),
            indices[r[5] + r[3]],
            parameters[r[6] : r[6] + r[7]],
            r[9],
            (r[10], r[11]),
        )
        for r in records("OPER", f.OPERATOR)
    )
    ports = [
        {text(name) or str(i): tensor for i, (tensor, name) in enumerate(records(key, f.PORT))}
        for key in ("INPT", "OUTP")
    ]
    prep, step = bodies.get("PREP", b""), strides.get("PREP", 1)
    return ModelFile(
        size=size,
        version=(major, minor),
        arena_size=arena,
        tensors=tensors,
        operators=operators,
        inputs=ports[0],
        outputs=ports[1],
        sections={name: len(body) for name, body in bodies.items()},
        preprocess=tuple(prep[at : at + step] for at in range(0, len(prep), step)),
        metadata=json.loads(bodies.get("META", b"{}")),
        data=bodies.get("DATA", b""),
    )


def _header(data: bytes) -> Record:
    if len(data) < f.HEADER.size or data[:8] != f.MAGIC:
        raise ModelFileError("not a model.demi", remedy="make one with demitasse compile")
    header = f.HEADER.unpack_from(data)
    size, crc = header[6], header[7]
    if header[2] != f.MAJOR:
        raise ModelFileError(
            f"format version {header[2]}, this build reads {f.MAJOR}",
            remedy="compile the model again with this version",
        )
    if len(data) < size:
        raise ModelFileError(f"truncated: {len(data)} of {size} bytes", remedy="copy it again")
    if zlib.crc32(data[32:size], zlib.crc32(data[:28])) != crc:
        raise ModelFileError("damaged: the checksum does not match", remedy="copy it again")
    return header


def _tensor(record: Record, name: str | None) -> TensorRecord:
    rank = record[1]
    return TensorRecord(
        name=name,
        dtype=f.DTYPE_NAMES[record[0]],
        shape=record[6 : 6 + rank],
        strides=record[12 : 12 + rank],
        offset=record[3],
        scale=record[4],
        zero_point=record[5],
        after=record[20],
        count=record[21],
    )
