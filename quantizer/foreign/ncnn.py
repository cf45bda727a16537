"""ncnn's scale table (`.table`), written and read.

One record a line, fields and line end preceded by a blank: first the weights of every layer,
`LAYER_param_0 s0 s1 ... `, one a channel (one a group where there are groups), then the layers'
inputs, `LAYER s `. Numbers are multipliers, 127 / largest magnitude, with six decimals. The input
belongs to the layer that reads it, so one tensor may have several lines. An empty line ends the
table; a layer whose name is changed (people put # before it) is not quantized.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops.conv import Conv2d, InnerProduct
from demitasse.errors import DataError
from demitasse.quantizer.foreign.base import LEVELS, read_text, require_symmetric, symmetric
from demitasse.quantizer.table import ScaleTable, float32

WEIGHTS = "_param_0"
MAX_KEY = 255


def write(table: ScaleTable, graph: Graph, path: Path) -> None:
    """Write the table of a folded graph."""
    write_whole(path, [to_ncnn(table, graph).encode()])


def read(path: Path, graph: Graph) -> ScaleTable:
    """Read a table for a folded graph."""
    return from_ncnn(read_text(path, "ncnn table"), graph, path)


def to_ncnn(table: ScaleTable, graph: Graph) -> str:
    """The text for ncnn. DataError unless the table is symmetric INT8, all that ncnn knows."""
    require_symmetric(table, "an ncnn table")
    nodes = list(_weighted(graph))
    weights = [_line(n.name + WEIGHTS, _weight_multipliers(n, table)) for n in nodes]
    inputs = [_line(n.name, [1.0 / table.tensor(n.inputs[0]).scale]) for n in nodes]
    return "".join(weights + inputs)


def from_ncnn(text: str, graph: Graph, path: Path | None = None) -> ScaleTable:
    """The table that a text holds: scales of the tensors that convolutions and the like read.

    Tensors that no such layer reads are missing: complete them with `build_table`'s.
    """
    found = _parse(text, {node.name: node for node in _weighted(graph)}, path)
    scales: dict[str, float] = {}
    for name, multiplier in found.inputs.items():
        tensor, scale = found.nodes[name].inputs[0], float32(1.0 / multiplier)
        if scales.setdefault(tensor, scale) != scale:
            found.warnings.append(f"tensor '{tensor}': its readers differ; the widest range counts")
            scales[tensor] = max(scales[tensor], scale)
    tensors = {name: symmetric(scale) for name, scale in sorted(scales.items())}
    warnings = tuple(found.warnings)
    return ScaleTable("int8", True, "ncnn", "", tensors, found.weights, warnings=warnings)


def _weighted(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if isinstance(node.op, (Conv2d, InnerProduct)))


def _groups(node: Node) -> int:
    """Into how many records ncnn divides a layer's weights."""
    groups = node.op.groups if isinstance(node.op, Conv2d) else 1
    return groups if groups > 1 else len(node.weights["weight"])


def _weight_multipliers(node: Node, table: ScaleTable) -> list[float]:
    """127 / largest magnitude per record; 1 where all weights are zero."""
    if node.name in table.weights:
        largest = np.array(table.weights[node.name]) * LEVELS
    else:
        weight = node.weights["weight"]
        largest = np.abs(weight.reshape(len(weight), -1)).max(1).astype(np.float64)
    largest = largest.reshape(_groups(node), -1).max(1)
    return [LEVELS / x if x > 0 else 1.0 for x in largest]


def _line(key: str, values: list[float]) -> str:
    if not key or len(key) > MAX_KEY or any(c.isspace() for c in key):
        raise DataError(
            f"ncnn cannot read the key '{key[:60]}' (blanks, or over {MAX_KEY} letters)"
        )
    numbers = [f"{np.float32(value):f}" for value in values]
    if not all(float(number) > 0 for number in numbers):
        raise DataError(
            "a scale vanishes in the six decimals of an ncnn table",
            layer=key.removesuffix(WEIGHTS),
            remedy="use a .dtable",
        )
    return " ".join([key, *numbers]) + " \n"


@dataclass
class _Found:
    nodes: Mapping[str, Node]
    inputs: dict[str, float] = field(default_factory=dict)
    weights: dict[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def _parse(text: str, nodes: Mapping[str, Node], path: Path | None) -> _Found:
    found = _Found(nodes)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            break
        key, *fields = line.split()
        name = key.removesuffix(WEIGHTS)
        if name.startswith("#") and name not in nodes:
            found.warnings.append(f"line {number}: layer '{name[1:]}' is left out")
            continue
        if name not in nodes:
            raise DataError(
                "the network has no such layer with weights",
                file=path,
                line=number,
                layer=name,
                remedy="use the table of this very network",
            )
        try:
            _record(found, name, key == name, [_multiplier(f) for f in fields])
        except ValueError as error:
            raise DataError(str(error), file=path, line=number, layer=name) from None
    if not found.inputs:
        raise DataError("holds no layer's input scale", file=path)
    return found


def _record(found: _Found, name: str, is_input: bool, values: list[float]) -> None:
    node = found.nodes[name]
    expected = 1 if is_input else _groups(node)
    if len(values) != expected:
        raise ValueError(f"{expected} numbers expected, {len(values)} found")
    if is_input:
        if values[0] == 0:
            raise ValueError("the scale of the input is 0")
        found.inputs[name] = values[0]
        return
    # An all-zero channel has multiplier 0 in some tools' tables; any scale will do.
    scales = np.array([float32(1.0 / v) if v else 1.0 for v in values])
    channels = len(node.weights["weight"])
    found.weights[name] = tuple(np.repeat(scales, channels // expected).tolist())


def _multiplier(word: str) -> float:
    value = float(word)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{word} is no scale")
    return value
