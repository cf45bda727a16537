"""Which tensors share one quantization, and which one it is.

Operators that only move codes give their output their input's quantization. What is joined by a
Concat takes the joined tensor's where nothing else reads it: its producer requantizes once in any
case. Other inputs keep their own, and need a Rescale before the Concat.
"""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Graph, Node, Quantization
from demitasse.converter.ops import (
    Concat,
    Crop,
    Expand,
    Flatten,
    Identity,
    Operator,
    Permute,
    Pool2d,
    Reshape,
    Resize,
    Reverse,
    Slice,
    Unpool,
)
from demitasse.errors import DataError
from demitasse.quantizer.scheme import RANGES
from demitasse.quantizer.table import ScaleTable

LAYOUT = (Slice, Reshape, Flatten, Expand, Permute, Reverse, Crop, Identity)


def moves_codes(op: Operator) -> bool:
    """Whether outputs are codes of input 0, unchanged or between two of them."""
    return isinstance(op, (*LAYOUT, Resize, Unpool)) or (
        isinstance(op, Pool2d) and op.kind == "max"
    )


def assign_quantization(graph: Graph, table: ScaleTable) -> dict[str, Quantization]:
    """The quantization of every tensor, were all of them integers.

    Raises DataError where the table lacks a tensor or holds a scale that cannot be.
    """
    sources = scale_sources(graph)
    read = {source: _read(table, source) for source in dict.fromkeys(sources.values())}
    return {name: read[source] for name, source in sources.items()}


def scale_sources(graph: Graph) -> dict[str, str]:
    """For each tensor the one whose quantization it takes, often itself."""
    root = _roots(graph)
    joined = _join(graph, root)
    found = {}
    for name in graph.tensors:
        source = root[name]
        while source in joined:
            source = joined[source]
        found[name] = source
    return found


def _roots(graph: Graph) -> dict[str, str]:
    """For each tensor the one whose codes it holds."""
    root = {name: name for name in graph.tensors}
    for node in graph.nodes:
        if moves_codes(node.op):
            root.update(dict.fromkeys(node.outputs, root[node.inputs[0]]))
    return root


def _join(graph: Graph, root: dict[str, str]) -> dict[str, str]:
    """Roots that take the quantization of another: that of the only Concat that reads them."""
    readers: dict[str, set[Node | None]] = {name: set() for name in graph.tensors}
    for node in graph.nodes:
        if not moves_codes(node.op):
            for name in node.inputs:
                readers[root[name]].add(node)
    for name in graph.outputs:
        readers[root[name]].add(None)
    return {
        root[name]: root[node.outputs[0]]
        for node in graph.nodes
        if isinstance(node.op, Concat)
        for name in node.inputs
        if readers[root[name]] == {node} and root[name] not in graph.inputs
    }


def _read(table: ScaleTable, name: str) -> Quantization:
    entry = table.tensor(name)
    scale, zero_point = np.float32(entry.scale), int(entry.zero_point)
    low, high = RANGES[table.precision]
    if not (np.isfinite(scale) and scale > 0):
        raise DataError(f"the table's scale of tensor '{name}' is {scale}, expected more than 0")
    if not low <= zero_point <= high or (table.precision == "int16" and zero_point):
        raise DataError(f"the table's zero point of tensor '{name}' is {zero_point}")
    return Quantization(float(scale), zero_point)
