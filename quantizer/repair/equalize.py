"""Make the channels that a depthwise convolution reads equally important.

One scale serves all channels of a tensor. Where a depthwise convolution reads it, a channel's
rounding error e comes out as |w| e, w being the channel's own kernel: the step that a loud channel
of small kernel needs drowns a quiet one of large kernel. The layer before may give channel c times
f and the kernel be divided by f, since ReLU and PReLU pass positive factors on. With f = |w| every
channel counts the same, and the least squared error of the tensor is that of the result.

The idea is Nagel et al., "Data-free quantization through weight equalization and bias correction"
(2019); they balance ranges of weights, which per-channel scales make needless here. Factors are
powers of two, so every float result stays the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, PRelu, Relu

EQUALIZED = "@equalized"  # ends the names of tensors whose channels are not in Caffe's units
LARGEST = 20  # exponent of the largest factor


def equalize(graph: Graph) -> Graph:
    """Rewrite every convolution, with ReLU or PReLU or none, that one depthwise convolution reads.

    The tensor between them gets a name of its own and is no blob of Caffe's any more.
    """
    nodes = {node.name: node for node in graph.nodes}
    producers, consumers = graph.producers(), graph.consumers()
    renamed: dict[str, str] = {}
    for reader in graph.nodes:
        if not _is_depthwise(reader):
            continue
        source = reader.inputs[0]
        writer = producers.get(source)
        alone = len(consumers[source]) == 1 and source not in graph.outputs
        if writer is None or not alone or not _passes_factors(writer):
            continue
        factors = importance(reader.weights["weight"])
        if np.all(factors == 1):
            continue
        nodes[writer.name] = _scaled(nodes[writer.name], factors, ("weight", "bias"))
        nodes[reader.name] = _scaled(nodes[reader.name], 1 / factors, ("weight",))
        renamed[source] = source + EQUALIZED
    return _rename(replace(graph, nodes=tuple(nodes.values())), renamed)


def is_equalized(names: Iterable[str]) -> bool:
    """Whether the tensors of these names come from an equalized graph."""
    return any(name.endswith(EQUALIZED) for name in names)


def importance(weight: np.ndarray) -> np.ndarray:
    """float32 (C,): the norm of each channel's kernel (C, 1, kh, kw), as a power of two relative
    to the typical one; 1 for a dead channel."""
    norms = np.sqrt(np.square(weight.astype(np.float64)).sum((1, 2, 3)))
    alive = (norms > 0) & np.isfinite(norms)
    if not alive.any():
        return np.ones(len(weight), np.float32)
    exponents = np.log2(norms, where=alive, out=np.zeros(len(weight)))
    exponents = np.rint(exponents - np.median(exponents[alive]))
    return np.exp2(np.where(alive, np.clip(exponents, -LARGEST, LARGEST), 0)).astype(np.float32)


def _is_depthwise(node: Node) -> bool:
    op, weight = node.op, node.weights.get("weight")
    return isinstance(op, Conv2d) and weight is not None and op.groups == op.channels == len(weight)


def _passes_factors(node: Node) -> bool:
    """Whether a positive factor on a channel's weights and bias is one on its output."""
    return isinstance(node.op, Conv2d) and isinstance(node.op.activation, Relu | PRelu | None)


def _scaled(node: Node, factors: np.ndarray, keys: tuple[str, ...]) -> Node:
    """The arrays of a node with channel c (axis 0) times factors[c]."""
    weights = dict(node.weights)
    for key in weights.keys() & keys:
        weights[key] = weights[key] * factors.reshape(-1, *(1,) * (weights[key].ndim - 1))
    return replace(node, weights=weights)


def _rename(graph: Graph, names: dict[str, str]) -> Graph:
    """The graph with tensors renamed; their blobs are gone, since the values are others."""

    def new(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in given)

    nodes = tuple(replace(n, inputs=new(n.inputs), outputs=new(n.outputs)) for n in graph.nodes)
    tensors = {
        names.get(name, name): replace(tensor, name=names.get(name, name))
        for name, tensor in graph.tensors.items()
    }
    blobs = {key: name for key, name in graph.blobs.items() if name not in names}
    return replace(
        graph, nodes=nodes, tensors=tensors, blobs={**blobs, **{n: n for n in names.values()}}
    )
