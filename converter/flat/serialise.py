"""From a graph to the bytes of model.demi."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.converter.flat import format as f
from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.lower import Operand, Program, lower
from demitasse.converter.flat.parameters import encode
from demitasse.converter.flat.plan import Plan, plan
from demitasse.converter.graph import Graph


@dataclass(frozen=True, slots=True)
class InputPreprocess:
    """How raw camera bytes become one input: FORMAT.md, Preprocessing.

    table: (C, 256) values of the input's dtype. mean_image: float32 (C, H, W) or None.
    resize: (width, height) before the centre is cut out, or None for the input's own size.
    """

    input: str
    order: str  # "gray", "rgb" or "bgr"
    table: np.ndarray
    scale: tuple[float, ...] = (1.0,)
    mean_image: np.ndarray | None = None
    resize: tuple[int, int] | None = None
    letterbox: bool = False


@dataclass(frozen=True, slots=True)
class FlatInfo:
    """What a written model needs: bytes of the file, of the tensor plan, and its lower bound."""

    file_size: int
    plan_size: int
    lower_bound: int
    operators: int


@dataclass
class _Names:
    """The NAME section: every string once."""

    data: bytearray = field(default_factory=bytearray)
    known: dict[str, int] = field(default_factory=dict)

    def add(self, name: str | None) -> int:
        if name is None:
            return f.NONE
        if name not in self.known:
            self.known[name] = len(self.data)
            self.data.extend(name.encode() + b"\0")
        return self.known[name]


def write_model(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    preprocess: Sequence[InputPreprocess] = (),
    metadata: Mapping[str, object] | None = None,
) -> FlatInfo:
    """Serialise an optimized (float or integer) graph into a file, whole or not at all.

    Raises DataError where it cannot be written, UnsupportedError naming what the runtime lacks.
    """
    data, info = serialise(graph, preprocess=preprocess, metadata=metadata)
    write_whole(Path(path), [data])
    return info


def serialise(
    graph: Graph,
    *,
    preprocess: Sequence[InputPreprocess] = (),
    metadata: Mapping[str, object] | None = None,
) -> tuple[bytes, FlatInfo]:
    """The bytes of model.demi. The same graph gives the same bytes."""
    program = lower(graph)
    memory = plan(program)
    names, sections = _Names(), Sections()
    keys = {tensor: key for key, tensor in graph.output_keys().items()}
    outputs = dict(zip(program.graph.outputs, (keys[t] for t in graph.outputs), strict=True))
    tensors = _TensorTable(program, memory, names)
    operators, indices, parameters = _operators(program, tensors, names, sections)
    inputs = [f.PORT.pack(tensors.index(t), names.add(t)) for t in program.graph.inputs]
    ports = [f.PORT.pack(tensors.index(t), names.add(key)) for t, key in outputs.items()]
    for name in program.operands:
        if name in program.graph.tensors and program.operands[name].name is not None:
            tensors.index(name)
    prep = [_preprocess(p, program.graph.inputs, sections) for p in preprocess]
    told = {"lower_bound": memory.lower_bound, **(metadata or {})}
    meta = json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
    payload: dict[str, bytes | list[bytes]] = {
        "TENS": tensors.records,
        "OPER": operators,
        "INDX": [struct.pack("<I", index) for index in indices],
        "INPT": inputs,
        "OUTP": ports,
        "PARM": parameters,
        "CHAN": bytes(sections.chan.data),
        "DATA": bytes(sections.data.data),
        "PREP": prep,
        "NAME": bytes(names.data),
        "META": meta,
    }
    features = sum({1 << (f.DTYPE_CODES[o.dtype] - 1) for o in tensors.operands})
    data = _assemble(payload, features, memory.size)
    return data, FlatInfo(len(data), memory.size, memory.lower_bound, len(operators))


class _TensorTable:
    """Tensor records, one for each distinct operand."""

    def __init__(self, program: Program, memory: Plan, names: _Names) -> None:
        self.program, self.memory, self.names = program, memory, names
        self.operands: list[Operand] = []
        self.records: list[bytes] = []
        self.known: dict[Operand, int] = {}

    def index(self, key: str | Operand) -> int:
        operand = self.program.operands[key] if isinstance(key, str) else key
        if operand not in self.known:
            self.known[operand] = len(self.records)
            self.operands.append(operand)
            self.records.append(self._record(operand))
        return self.known[operand]

    def _record(self, operand: Operand) -> bytes:
        view, item = operand.view, f.ITEM_SIZES[operand.dtype]
        rank = len(view.shape)
        # an axis of one element has no step; 0 would be legal, the plain value helps readers
        strides = [stride * item for stride in view.strides]
        scale = np.float32(operand.quant.scale if operand.quant else 1.0)
        return f.TENSOR.pack(
            f.DTYPE_CODES[operand.dtype],
            rank,
            0,
            self.memory.offsets[view.buffer] + view.offset * item,
            scale,
            operand.quant.zero_point if operand.quant else 0,
            *(*view.shape, *[1] * (f.MAX_RANK - rank)),
            *(*strides, *[0] * (f.MAX_RANK - rank)),
            np.float32(1 / np.float64(scale)),
            self.names.add(operand.name),
            self.program.after.get(operand.name or "", 0),
            self.memory.offsets[view.buffer] + operand.end if operand.counted else 0,
        )


def _operators(
    program: Program, tensors: _TensorTable, names: _Names, sections: Sections
) -> tuple[list[bytes], list[int], bytes]:
    records: list[bytes] = []
    indices: list[int] = []
    parameters = bytearray()
    for step, scratch in zip(program.steps, tensors.memory.scratch, strict=True):
        record = encode(step, sections)
        io = len(indices)
        indices += [tensors.index(operand) for operand in (*step.inputs, step.output)]
        records.append(
            f.OPERATOR.pack(
                step.opcode,
                f.DTYPE_CODES[step.dtype],
                1,
                len(step.inputs),
                1,
                io,
                len(parameters),
                len(record),
                names.add(step.node.name if step.node else None),
                step.macs,
                *scratch,
            )
        )
        parameters += record
    return records, indices, bytes(parameters)


def _preprocess(p: InputPreprocess, inputs: Sequence[str], sections: Sections) -> bytes:
    mean = f.NONE if p.mean_image is None else sections.tensor(p.mean_image.astype(np.float32))
    scale = (*p.scale, *[0.0] * 4)[:4] if len(p.scale) > 1 else p.scale * 4
    return f.PREPROCESS.pack(
        list(inputs).index(p.input),
        ("gray", "rgb", "bgr").index(p.order),
        int(p.letterbox),
        *(p.resize or (0, 0)),
        sections.tensor(p.table),
        mean,
        *scale,
        *[0] * 5,
    )


def _assemble(payload: Mapping[str, bytes | list[bytes]], features: int, arena: int) -> bytes:
    """Header, section table and sections."""
    present = {name: body for name, body in payload.items() if body}
    start = f.HEADER.size + f.SECTION.size * len(present)
    table, body = b"", bytearray()
    for name in f.SECTIONS:
        if name not in present:
            continue
        content = present[name]
        stride = len(content[0]) if isinstance(content, list) else 1
        data = b"".join(content) if isinstance(content, list) else content
        body.extend(bytes(f.round_up(start + len(body), f.ALIGN) - start - len(body)))
        offset = start + len(body)
        table += f.SECTION.pack(name.encode(), offset, len(data), stride, len(data) // stride, 0)
        body.extend(data)
    size = start + len(body)
    head = (f.MAGIC, f.ENDIAN, f.MAJOR, f.MINOR, f.HEADER.size, len(present), size)
    unsigned = f.HEADER.pack(*head, 0, features, arena)
    crc = zlib.crc32(unsigned[32:] + table + body, zlib.crc32(unsigned[:28]))
    return f.HEADER.pack(*head, crc, features, arena) + table + bytes(body)
