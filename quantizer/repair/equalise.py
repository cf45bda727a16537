"""Channels of one tensor brought to one range, by powers of two, where that is exact and free.

A depthwise convolution reads each channel by itself: multiply channel c of its input by 2**s and
its weights for that channel by 2**-s, and every bit of a float result stays as it was. The
convolution that writes the input takes the factor in its weights and bias, past a (leaky) ReLU or
PReLU between them. With one activation scale per tensor, a channel far smaller than the largest
one thereby gains s bits. (Cross-layer equalisation: Nagel et al., 2019; here from ranges of
activations, since weights have a scale per channel anyway.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, PRelu, Relu
from demitasse.errors import DataError
from demitasse.quantizer.scheme import activation_scale
from demitasse.quantizer.statistics import Statistics, TensorStatistics
from demitasse.quantizer.table import ScaleTable, TensorScale, float32

MOST = 6  # a channel that calibration hardly moved shall not saturate on the first other sample


def equalise(graph: Graph, statistics: Statistics, table: ScaleTable) -> ScaleTable:
    """The table with shifts for every tensor of the folded graph that takes them.

    An entry with shifts holds the scale and the ranges of what is stored. INT16 has bits enough
    and symmetric tables are for tools that know no shifts: both stay as they are.
    """
    if table.precision != "int8" or table.symmetric:
        return table
    tensors, shifts = dict(table.tensors), {}
    for name in _pairs(graph):
        stat = statistics.tensors.get(name)
        found = np.zeros(0, np.int64) if stat is None else channel_shifts(stat)
        if stat is not None and found.any():
            tensors[name] = _entry(stat, found)
            shifts[name] = tuple(int(s) for s in found)
    return replace(table, tensors=tensors, shifts=shifts)


def channel_shifts(stat: TensorStatistics) -> np.ndarray:
    """For each channel the largest shift, up to MOST, that leaves it inside the tensor's range."""
    low, high = _ranges(stat)
    peak = np.maximum(-low, high)
    if not peak.any():
        return np.zeros(len(peak), np.int64)
    with np.errstate(divide="ignore"):
        room = np.floor(np.log2(peak.max() / peak))
    return np.where(peak > 0, np.minimum(room, MOST), 0).astype(np.int64)


def apply_shifts(graph: Graph, shifts: Mapping[str, tuple[int, ...]]) -> Graph:
    """The float graph with its channels multiplied by 2**shift; outputs stay the same bits.

    Raises DataError where the graph has no such place.
    """
    pairs = _pairs(graph)
    nodes = {node.name: node for node in graph.nodes}
    for name in shifts:
        if name not in pairs or len(shifts[name]) != graph.tensors[name].shape[1]:
            raise DataError(
                f"the table shifts {len(shifts[name])} channels of tensor '{name}', "
                "which this network does not allow",
                remedy="calibrate this network anew",
            )
        writer, reader = pairs[name]
        factor = np.exp2(np.asarray(shifts[name], np.float32))
        nodes[writer] = _scaled(nodes[writer], factor, ("weight", "bias"))
        repeat = len(nodes[reader].weights["weight"]) // len(factor)
        nodes[reader] = _scaled(nodes[reader], np.repeat(1 / factor, repeat), ("weight",))
    return replace(graph, nodes=tuple(nodes[node.name] for node in graph.nodes))


def hide(graph: Graph, names: Collection[str]) -> Graph:
    """The graph with these tensors renamed "%name" and without their blobs.

    For tensors with shifts, which hold no Caffe blob any more.
    """

    def renamed(name: str) -> str:
        return f"%{name}" if name in names else name

    nodes = tuple(
        replace(
            node,
            inputs=tuple(map(renamed, node.inputs)),
            outputs=tuple(map(renamed, node.outputs)),
        )
        for node in graph.nodes
    )
    tensors = {renamed(n): replace(t, name=renamed(n)) for n, t in graph.tensors.items()}
    blobs = {key: name for key, name in graph.blobs.items() if name not in names}
    return replace(graph, nodes=nodes, tensors=tensors, blobs=blobs)


def _pairs(graph: Graph) -> dict[str, tuple[str, str]]:
    """Tensors between a convolution and the only, depthwise convolution that reads them."""
    producers, consumers = graph.producers(), graph.consumers()
    found = {}
    for name, readers in consumers.items():
        writer = producers.get(name)
        if writer is None or len(readers) != 1 or name in graph.outputs:
            continue
        if _keeps_factors(writer) and _is_depthwise(readers[0], graph.tensors[name].shape[1]):
            found[name] = (writer.name, readers[0].name)
    return found


def _keeps_factors(node: Node) -> bool:
    """Whether a positive factor on a channel's weights and bias is one on its output."""
    return isinstance(node.op, Conv2d) and isinstance(node.op.activation, Relu | PRelu | None)


def _is_depthwise(node: Node, channels: int) -> bool:
    return isinstance(node.op, Conv2d) and node.op.groups == channels > 1


def _scaled(node: Node, factor: np.ndarray, keys: tuple[str, ...]) -> Node:
    """The arrays of a node with their first axis multiplied."""
    scaled = {
        key: node.weights[key] * factor.reshape(-1, *(1,) * (node.weights[key].ndim - 1))
        for key in keys
        if key in node.weights
    }
    return replace(node, weights={**node.weights, **scaled})


def _ranges(stat: TensorStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each channel, zero included; 0 where nothing was finite."""
    low = np.where(np.isfinite(stat.low), np.minimum(stat.low, 0), 0).astype(np.float64)
    high = np.where(np.isfinite(stat.high), np.maximum(stat.high, 0), 0).astype(np.float64)
    return low, high


def _entry(stat: TensorStatistics, shifts: np.ndarray) -> TensorScale:
    low, high = (ends * np.exp2(shifts) for ends in _ranges(stat))
    bottom, top = float32(low.min()), float32(high.max())
    scale, zero_point = activation_scale(bottom, top, "int8")
    return TensorScale(float(scale), zero_point, bottom, top, bottom, top)
