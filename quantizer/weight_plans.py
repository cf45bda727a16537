"""What a table says of the weights, by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct
from demitasse.errors import DataError
from demitasse.quantizer.differences import decode
from demitasse.quantizer.table import ScaleTable
from demitasse.quantizer.weights import WeightPlan

T = TypeVar("T")

SMALL_BITS = 4
ALL = "all"


def weight_plans(graph: Graph, table: ScaleTable) -> dict[str, WeightPlan]:
    """A plan for every node; DataError names a layer that the network lacks, or that cannot."""
    bits = by_node(graph, table.weight_bits, "weight bits")
    scales = by_node(graph, table.weights, "weight scales")
    biases = by_node(graph, table.biases, "biases")
    roundings = by_node(graph, table.rounding, "a rounding")
    plans = {}
    for node in graph.nodes:
        if bits.get(node.name) == SMALL_BITS and not takes_four_bits(node):
            raise DataError(
                f"the weights of layer '{node.name}' cannot have four bits",
                remedy="only those of convolutions and inner products can, not of depthwise ones",
            )
        scale, bias = scales.get(node.name), biases.get(node.name)
        rounding = roundings.get(node.name)
        means = table.means.get(node.inputs[0]) if node.inputs else None
        plans[node.name] = WeightPlan(
            None if scale is None else np.asarray(scale, np.float32),
            table.weight_method,
            bits.get(node.name, 8),
            None if rounding is None else decode(rounding),
            None if bias is None else np.asarray(bias, np.float32),
            None if means is None else np.asarray(means, np.float64),
        )
    return plans


def by_node(graph: Graph, rows: Mapping[str, T], what: str) -> dict[str, T]:
    """What a table says of layers, by the nodes that they became; `find_nodes` tells the errors."""
    return {node: rows[name] for name, node in find_nodes(graph, rows, what).items()}


def find_nodes(graph: Graph, names: Iterable[str], what: str) -> dict[str, str]:
    """The nodes that layers became; one that was folded into another stands for it.

    DataError names one that the network lacks.
    """
    nodes = {origin: node.name for node in graph.nodes for origin in node.origin}
    nodes |= {node.name: node.name for node in graph.nodes}
    unknown = sorted(set(names) - nodes.keys())
    if unknown:
        raise DataError(
            f"the table gives layer '{unknown[0]}' {what}, but the network has no such layer",
            remedy="take the name from `demitasse inspect`",
        )
    return {name: nodes[name] for name in names}


def takes_four_bits(node: Node) -> bool:
    """Convolutions and inner products; a depthwise kernel is small already, and loses most."""
    weight = node.weights.get("weight")
    is_depthwise = isinstance(node.op, Conv2d | Deconv2d) and node.op.groups == node.op.channels > 1
    one = is_depthwise and weight is not None and weight.shape[1] == 1
    return isinstance(node.op, Conv2d | Deconv2d | InnerProduct) and not one


def with_small_weights(graph: Graph, table: ScaleTable, layers: Iterable[str]) -> ScaleTable:
    """The table with four bits for the weights of these layers; see `small_nodes`."""
    chosen = small_nodes(graph, layers)
    if chosen and table.precision != "int8":
        raise DataError("only INT8 has weights of four bits", remedy="give --int8")
    return replace(table, weight_bits=dict.fromkeys(chosen, SMALL_BITS))


def small_nodes(graph: Graph, layers: Iterable[str]) -> list[str]:
    """The nodes that these layers became; of ("all",) all that can have weights of four bits."""
    layers = tuple(layers)
    if layers == (ALL,):
        return sorted(node.name for node in graph.nodes if takes_four_bits(node))
    return sorted(find_nodes(graph, layers, "weight bits").values())
