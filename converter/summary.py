"""What a network consists of, counted: for `inspect` and for reports."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from demitasse.converter.flat.format import ITEM_SIZES, Opcode
from demitasse.converter.flat.read import ModelFile, OperatorRecord
from demitasse.converter.graph import Graph, Shape


@dataclass(frozen=True, slots=True)
class Row:
    """One operator. parameters: trained values (weights and biases). dtype, shape: its output's."""

    name: str
    kind: str
    shape: Shape
    dtype: str
    macs: int
    parameters: int
    output: str


@dataclass(frozen=True, slots=True)
class Summary:
    """All operators of a network."""

    rows: tuple[Row, ...]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    macs: int
    parameters: int
    name: str = ""


def summarise_graph(graph: Graph) -> Summary:
    """The nodes of a graph; arrays that several nodes share count once in the total."""
    rows = tuple(
        Row(
            name=node.name,
            kind=type(node.op).__name__,
            shape=graph.tensors[node.outputs[0]].shape,
            dtype=graph.tensors[node.outputs[0]].dtype,
            macs=node.op.macs(graph.shapes(node.inputs), graph.shapes(node.outputs)),
            parameters=sum(array.size for array in node.weights.values()),
            output=node.outputs[0],
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
        graph.name,
    )


def summarise_model(model: ModelFile) -> Summary:
    """The operators of a model.demi."""
    rows = tuple(
        Row(
            name=operator.name or f"#{i}",
            kind=_kind(model, operator),
            shape=model.tensors[operator.output].shape,
            dtype=model.tensors[operator.output].dtype,
            macs=operator.macs,
            parameters=_parameters(model, operator),
            output=model.tensors[operator.output].name or "",
        )
        for i, operator in enumerate(model.operators)
    )

    def shapes(ports: dict[str, int]) -> dict[str, Shape]:
        return {name: model.tensors[index].shape for name, index in ports.items()}

    totals = (sum(row.macs for row in rows), sum(row.parameters for row in rows))
    return Summary(rows, shapes(model.inputs), shapes(model.outputs), *totals)


def precision(model: ModelFile) -> str:
    """`int8`, `int16` or `fp32`: what the multiply-accumulates are done in."""
    macs = dict.fromkeys(ITEM_SIZES, 0)
    for operator in model.operators:
        macs[operator.dtype] += 1 + operator.macs
    widest = max(macs, key=lambda dtype: macs[dtype])
    return "fp32" if widest == "float32" else widest


def _kind(model: ModelFile, operator: OperatorRecord) -> str:
    kind = operator.opcode.name.lower()
    if operator.opcode is Opcode.CONV:
        kernel, inputs, groups = _conv(model, operator)
        if groups > 1:
            kind = "depthwise" if groups == inputs else f"conv/{groups}"
        return f"{kind} {kernel[0]}x{kernel[1]}"
    return kind


def _conv(model: ModelFile, operator: OperatorRecord) -> tuple[tuple[int, int], int, int]:
    """Kernel, input channels and groups of a convolution."""
    kernel_h, kernel_w = struct.unpack_from("<2I", operator.parameters, 0)
    (groups,) = struct.unpack_from("<I", operator.parameters, 32)
    return (kernel_h, kernel_w), model.tensors[operator.inputs[0]].shape[1], groups


def _parameters(model: ModelFile, operator: OperatorRecord) -> int:
    """Weights and biases of a convolution (inner products are convolutions too)."""
    if operator.opcode not in (Opcode.CONV, Opcode.DECONV):
        return 0
    kernel, inputs, groups = _conv(model, operator)
    channels = model.tensors[operator.output].shape[1]
    return channels * (inputs // groups) * kernel[0] * kernel[1] + channels
