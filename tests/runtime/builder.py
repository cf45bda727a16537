"""Small model.demi files written by hand from runtime_c/FORMAT.md, without the converter."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

import numpy as np

NONE = 0xFFFFFFFF
DTYPES = {"float32": (1, 4), "int8": (2, 1), "int16": (3, 2)}
RECORDS = {"TENS": 80, "OPER": 40, "INDX": 4, "INPT": 8, "OUTP": 8, "PREP": 64}
COPY, UNARY, QUANTIZE, DEQUANTIZE = 14, 10, 15, 16


@dataclass
class Tensor:
    """A tensor record; strides in bytes, None: channels-last for rank 4, else dense."""

    shape: tuple[int, ...]
    offset: int = 0
    dtype: str = "float32"
    scale: float = 1.0
    zero_point: int = 0
    name: str | None = None
    after: int = 0
    strides: tuple[int, ...] | None = None
    count: int = 0

    def pack(self, name: int) -> bytes:
        code, item = DTYPES[self.dtype]
        strides = self.strides or default_strides(self.shape, item)
        rank = len(self.shape)
        return struct.pack(
            "<BBHIfi6I6IfIII",
            *(code, rank, 0, self.offset, self.scale, self.zero_point),
            *(*self.shape, *[1] * (6 - rank)),
            *(*strides, *[0] * (6 - rank)),
            np.float32(1.0 / np.float64(np.float32(self.scale))),
            *(name, self.after, self.count),
        )


def default_strides(shape: tuple[int, ...], item: int) -> tuple[int, ...]:
    order = (0, 2, 3, 1) if len(shape) == 4 else tuple(range(len(shape)))
    strides, step = [0] * len(shape), item
    for axis in reversed(order):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


@dataclass
class Operator:
    """An operator record; inputs and output are indices of tensors."""

    opcode: int
    inputs: tuple[int, ...]
    output: int
    param: bytes = b""
    name: str | None = None
    macs: int = 0
    version: int = 1
    dtype: str = "float32"


@dataclass
class Prep:
    """A preprocessing record; table and mean are offsets in DATA."""

    input: int = 0
    order: int = 0
    fit: int = 0
    resize: tuple[int, int] = (0, 0)
    table: int = 0
    mean: int = NONE
    scale: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    def pack(self) -> bytes:
        return struct.pack(
            "<7I4f5I",
            *(self.input, self.order, self.fit, *self.resize, self.table, self.mean),
            *(*self.scale, *[0] * 5),
        )


@dataclass
class File:
    """A model.demi in parts."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[tuple[int, str | None]] = field(default_factory=list)
    outputs: list[tuple[int, str | None]] = field(default_factory=list)
    prep: list[Prep] = field(default_factory=list)
    chan: bytes = b""
    data: bytes = b""
    arena: int = 1024
    features: int = 7
    minor: int = 0
    extra_sections: list[tuple[bytes, bytes]] = field(default_factory=list)

    def build(self, widen: int = 0) -> bytes:
        """The file; `widen` more bytes in every record, as a later minor would have."""
        names: dict[str, int] = {}
        text = bytearray()

        def name(value: str | None) -> int:
            if value is None:
                return NONE
            if value not in names:
                names[value] = len(text)
                text.extend(value.encode() + b"\0")
            return names[value]

        parm, indices, operators = bytearray(), [], []
        for o in self.operators:
            operators.append(
                struct.pack(
                    "<HBBHHIIIIQII",
                    *(o.opcode, DTYPES[o.dtype][0], o.version, len(o.inputs), 1),
                    *(len(indices), len(parm), len(o.param), name(o.name), o.macs, 0, 0),
                )
            )
            indices += [*o.inputs, o.output]
            parm += o.param
        records = {
            "TENS": [t.pack(name(t.name)) for t in self.tensors],
            "OPER": operators,
            "INDX": [struct.pack("<I", i) for i in indices],
            "INPT": [struct.pack("<II", t, name(n)) for t, n in self.inputs],
            "OUTP": [struct.pack("<II", t, name(n)) for t, n in self.outputs],
            "PARM": bytes(parm),
            "CHAN": self.chan,
            "DATA": self.data,
            "PREP": [p.pack() for p in self.prep],
            "NAME": bytes(text),
        }
        sections = []
        for key, body in records.items():
            if isinstance(body, list):
                stride = RECORDS[key] + widen
                body = b"".join(r + b"\xa5" * widen for r in body)
            else:
                stride = 1
            if body:
                sections.append((key.encode(), body, stride))
        sections += [(key, body, 1) for key, body in self.extra_sections]
        return assemble(sections, self.arena, self.features, self.minor)


def assemble(
    sections: list[tuple[bytes, bytes, int]], arena: int, features: int = 7, minor: int = 0
) -> bytes:
    """Header, table and sections of (id, bytes, stride)."""
    at = 64 + 24 * len(sections)
    table, body = b"", b""
    for key, content, stride in sections:
        body += bytes(-(at + len(body)) % 64)
        table += struct.pack(
            "<4sIIIII", key, at + len(body), len(content), stride, len(content) // stride, 0
        )
        body += content
    size = at + len(body)
    header = struct.pack(
        "<8sIHHIIIIII24x",
        b"\x89DMT\r\n\x1a\n",
        *(0x01020304, 1, minor, 64, len(sections), size, 0, features, arena),
    )
    return with_crc(header + table + body)


def with_crc(data: bytes, size: int | None = None) -> bytes:
    """The same bytes with the checksum that a reader expects."""
    size = len(data) if size is None else size
    crc = zlib.crc32(data[32:size], zlib.crc32(data[:28]))
    return data[:28] + struct.pack("<I", crc) + data[32:]


def patched(data: bytes, at: int, layout: str, *values: float, crc: bool = True) -> bytes:
    """Other values of some fields, checksum repaired."""
    changed = bytearray(data)
    struct.pack_into("<" + layout, changed, at, *values)
    return with_crc(bytes(changed)) if crc else bytes(changed)


def section_offset(data: bytes, key: str) -> int:
    """Where a section starts in a file."""
    count = struct.unpack_from("<I", data, 20)[0]
    for i in range(count):
        found, offset = struct.unpack_from("<4sI", data, 64 + 24 * i)
        if found == key.encode():
            return offset
    raise KeyError(key)


def chain(dtype: str = "float32", scale: float = 1.0, zero_point: int = 0) -> File:
    """data -> COPY "first" -> middle, dense -> COPY "second" -> out; the others channels-last."""
    shape, base = (1, 2, 3, 2), Tensor((1,), dtype=dtype, scale=scale, zero_point=zero_point)
    item = DTYPES[dtype][1]
    dense = tuple(item * n for n in (12, 6, 2, 1))
    return File(
        tensors=[
            replace(base, shape=shape, offset=0, name="data"),
            replace(base, shape=shape, offset=64, name="middle", after=1, strides=dense),
            replace(base, shape=shape, offset=128, name="out", after=2),
        ],
        operators=[
            Operator(COPY, (0,), 1, name="first", dtype=dtype, macs=5),
            Operator(COPY, (1,), 2, name="second", dtype=dtype, macs=2**33),
        ],
        inputs=[(0, "data")],
        outputs=[(2, "out")],
        arena=192,
    )
