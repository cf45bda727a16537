"""What a network consists of, counted: for `inspect`, for drawings and for reports."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from demitasse.converter.flat.format import ITEM_SIZES, NONE, Opcode, opcode_name
from demitasse.converter.flat.read import ModelFile, OperatorRecord, TensorRecord
from demitasse.converter.graph import Graph, Node, Shape
from demitasse.converter.ops.base import count

Pair = tuple[int, int]
Sources = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A value that a row makes; `shape` is None where it could not be found out.

    memory: bytes of its elements.
    """

    name: str
    shape: Shape | None
    dtype: str = "float32"

    @property
    def memory(self) -> int:
        return 0 if self.shape is None else count(self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Row:
    """One layer or operator.

    kind: Caffe's type of a layer, or the operator's. detail: its window, `3x3 /2`.
    inputs: names of the values that it reads. macs: multiply-accumulates of one run.
    parameters: trained values (weights, biases, statistics of a BatchNorm).
    problem: what keeps it from being understood. in_place: whether it rewrites its input.
    """

    name: str
    kind: str
    detail: str
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    macs: int = 0
    parameters: int = 0
    problem: str | None = None
    in_place: bool = False

    @property
    def memory(self) -> int:
        """Bytes of its outputs."""
        return sum(output.memory for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows of a network, and its totals; a parameter that several rows share counts once.

    sources: the values that each output consists of.
    """

    rows: tuple[Row, ...]
    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]
    macs: int
    parameters: int
    sources: dict[str, tuple[str, ...]]
    name: str = ""


def dims(shape: Sequence[int] | None) -> str:
    """A shape: 1×3×112×112, or ? where it is unknown."""
    if shape is None:
        return "?"
    return "×".join(map(str, shape)) or "scalar"


def summarise_graph(graph: Graph) -> Summary:
    """The nodes of a graph."""
    rows = tuple(
        Row(
            name=node.name,
            kind=type(node.op).__name__,
            detail=window(node.op),
            inputs=node.inputs,
            outputs=outputs_of(graph, node.outputs),
            macs=macs_of(graph, [node]),
            parameters=sum(array.size for array in node.weights.values()),
        )
        for node in graph.nodes
    )
    arrays = {id(a): a.size for node in graph.nodes for a in node.weights.values()}
    return Summary(
        rows,
        {name: graph.tensors[name].shape for name in graph.inputs},
        {key: graph.tensors[name].shape for key, name in graph.output_keys().items()},
        sum(row.macs for row in rows),
        sum(arrays.values()),
        {key: (name,) for key, name in graph.output_keys().items()},
        graph.name,
    )


def macs_of(graph: Graph, nodes: Iterable[Node]) -> int:
    """Multiply-accumulates of some nodes of a graph."""
    return sum(
        node.op.macs(graph.shapes(node.inputs), graph.shapes(node.outputs)) for node in nodes
    )


def outputs_of(graph: Graph, names: Iterable[str]) -> tuple[Output, ...]:
    """The named tensors as outputs."""
    tensors = [graph.tensors[name] for name in names]
    return tuple(Output(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors)


def window(op: Any) -> str:
    """The window of an operator that has one: kernel, stride, dilation, groups."""
    if getattr(op, "global_pooling", False):
        return "global"
    kernel = getattr(op, "kernel", None)
    if not isinstance(kernel, tuple):
        return ""
    text = _window(kernel, getattr(op, "stride", (1, 1)), getattr(op, "dilation", (1, 1)))
    groups = getattr(op, "groups", 1)
    if groups > 1:
        return f"{text} depthwise" if groups == op.channels else f"{text} in {groups} groups"
    return text


def _window(kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> str:
    text = f"{kernel[0]}x{kernel[1]}"
    if stride != (1, 1):
        text += f" /{stride[0]}" if stride[0] == stride[1] else f" /{stride[0]}x{stride[1]}"
    return text if dilation == (1, 1) else f"{text} dilated {max(dilation)}"


def summarise_model(model: ModelFile) -> Summary:
    """The operators of a model.demi."""
    names = _names(model)
    read, made_of = data_flow(model)
    rows = tuple(
        Row(
            name=operator.name or f"#{i}",
            kind=_kind(model, operator),
            detail=_detail(operator),
            inputs=tuple(names[source] for source in sources),
            outputs=(_output(model, names[i], operator.output),),
            macs=operator.macs,
            parameters=_parameters(model, operator),
        )
        for i, (operator, sources) in enumerate(zip(model.operators, read, strict=True))
    )

    def shapes(ports: dict[str, int]) -> dict[str, Shape | None]:
        return {name: model.tensors[index].shape for name, index in ports.items()}

    return Summary(
        rows,
        shapes(model.inputs),
        shapes(model.outputs),
        sum(row.macs for row in rows),
        sum(row.parameters for row in rows),
        {key: tuple(names[i] for i in sources) for key, sources in made_of.items()},
    )


def data_flow(model: ModelFile) -> tuple[list[Sources], dict[str, Sources]]:
    """Whose results each operator reads, and what each output consists of: operators by number;
    -1, -2, ... are the inputs.

    Tensors share memory (a joined tensor is written in parts, a slice is a part), so every byte of
    the arena remembers who wrote it last.
    """
    writer = np.full(model.arena_size, _NOBODY, np.int32)

    def writers(index: int) -> dict[int, None]:
        found = np.unique(_bytes(writer, model.tensors[index]))
        return dict.fromkeys(int(one) for one in found if one != _NOBODY)

    for number, index in enumerate(model.inputs.values()):
        _bytes(writer, model.tensors[index])[...] = -1 - number
    read = []
    for number, operator in enumerate(model.operators):
        sources: dict[int, None] = {}
        for index in operator.inputs:
            sources |= writers(index)
        read.append(tuple(sources))
        _bytes(writer, model.tensors[operator.output])[...] = number
    return read, {key: tuple(writers(index)) for key, index in model.outputs.items()}


_NOBODY = np.iinfo(np.int32).min


def _bytes(arena: np.ndarray, tensor: TensorRecord) -> np.ndarray:
    """Those entries of an array with one a byte of the arena where a tensor's elements begin."""
    strides = [stride * arena.itemsize for stride in tensor.strides]
    return as_strided(arena[tensor.offset :], tensor.shape, strides)


def float_rows(model: ModelFile) -> list[str]:
    """Operators of an integer model that compute in float32, between dequantize and quantize."""
    if precision(model) == "fp32":
        return []
    moving = (Opcode.COPY, Opcode.QUANTIZE, Opcode.CONSTANT)
    return [
        operator.name or f"#{i}"
        for i, operator in enumerate(model.operators)
        if operator.dtype == "float32" and operator.opcode not in moving
    ]


def precision(model: ModelFile) -> str:
    """`int8`, `int16` or `fp32`: what the multiply-accumulates are done in."""
    macs = dict.fromkeys(ITEM_SIZES, 0)
    for operator in model.operators:
        macs[operator.dtype] += 1 + operator.macs
    widest = max(macs, key=lambda dtype: macs[dtype])
    return "fp32" if widest == "float32" else widest


def _names(model: ModelFile) -> dict[int, str]:
    """A name for what each operator and each input makes; numbers where names are stripped."""
    given = [model.tensors[operator.output].name for operator in model.operators]
    often = Counter([*given, *model.inputs])
    names = {-1 - number: name for number, name in enumerate(model.inputs)}
    return names | {
        i: name if name and often[name] == 1 else f"#{i}" for i, name in enumerate(given)
    }


def _output(model: ModelFile, name: str, index: int) -> Output:
    tensor = model.tensors[index]
    return Output(name, tensor.shape, tensor.dtype)


def _kind(model: ModelFile, operator: OperatorRecord) -> str:
    if operator.opcode is Opcode.CONV:
        groups = _groups(operator)
        if groups > 1:
            inputs = model.tensors[operator.inputs[0]].shape[1]
            return "depthwise" if groups == inputs else f"conv/{groups}"
    return opcode_name(operator.opcode).lower()


def _detail(operator: OperatorRecord) -> str:
    if operator.opcode in (Opcode.CONV, Opcode.DECONV):
        numbers = struct.unpack_from("<6I", operator.parameters)
        return _window(numbers[:2], numbers[2:4], numbers[4:])
    if operator.opcode in (Opcode.POOL_MAX, Opcode.POOL_AVERAGE):
        numbers = struct.unpack_from("<4I", operator.parameters)
        return _window(numbers[:2], numbers[2:])
    return ""


def _groups(operator: OperatorRecord) -> int:
    return int(struct.unpack_from("<I", operator.parameters, 32)[0])


def _parameters(model: ModelFile, operator: OperatorRecord) -> int:
    """Weights and biases (a program's convolution always has one); slopes and factors that stand
    in other operators are not counted."""
    code, numbers = operator.opcode, [one for (one,) in struct.iter_unpack("<I", _words(operator))]
    shapes = [model.tensors[index].shape for index in operator.inputs]
    output = model.tensors[operator.output].shape
    if code in (Opcode.CONV, Opcode.DECONV):  # inner products are convolutions too
        return output[1] * (shapes[0][1] // numbers[8] * numbers[0] * numbers[1] + 1)
    if code is Opcode.SCALE:
        axis, span, *arrays = numbers[:4]
        return prod(output[axis : axis + span]) * sum(array != NONE for array in arrays)
    if code is Opcode.EMBED:
        return output[-1] * (numbers[0] + (numbers[2] != NONE))
    if code in (Opcode.LSTM, Opcode.RNN):
        width = output[-1]
        columns = shapes[0][-1] + width + 1 + (shapes[2][-1] if numbers[0] else 0)
        return columns * 4 * width if code is Opcode.LSTM else (columns + width + 1) * width
    return 0


def _words(operator: OperatorRecord) -> bytes:
    return operator.parameters[: len(operator.parameters) // 4 * 4]
