"""Make the channels that a depthwise convolution reads equally important.

One scale serves all channels of a tensor. Where a depthwise convolution reads it, a channel's
rounding error e comes out as |w| e, w being the channel's own kernel: the step that a loud channel
of small kernel needs drowns a quiet one of large kernel. The layer before may give channel c times
f and the kernel be divided by f, since ReLU and PReLU pass positive factors on. With f = |w| every
channel counts the same, and the least squared error of the tensor is that of the result.

The idea is Nagel et al., "Data-free quantization through weight equalization and bias correction"
(2019); they balance ranges of weights, which per-channel scales make needless here. Factors are
powers of two, so every float result stays the same, bit for bit.

Factors by how loud channels are on some images, for readers of any kind, gain a decibel on the
images that chose them, but channels that were quiet there burst on others: a plate reader fell from
37.9 dB to 36.0 in INT8 and from 71.5 to 61.4 in INT16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, PRelu, Relu
from demitasse.errors import DataError

EQUALIZED = "@equalized"  # ends the names of tensors whose channels are not in Caffe's units
DIGITS = "0123456789abcdef"  # an exponent each; the larger ones do not occur

# Tensor, as a convolution writes it -> a digit for each channel: its factor is two to that.
Exponents = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Span:
    """A convolution, and the depthwise one that alone reads what it writes."""

    writer: Node
    reader: Node


def choose_exponents(graph: Graph) -> dict[str, str]:
    """Factors for the tensors of a folded graph that can have them: as important as their
    channels are to the reader."""
    found = {}
    for name, span in _spans(graph).items():
        exponents = importance(span.reader.weights["weight"])
        if exponents.any():
            found[name] = "".join(DIGITS[e] for e in exponents)
    return found


def importance(weight: np.ndarray) -> np.ndarray:
    """int64 (C,): the norm of each channel's kernel (C, 1, kh, kw) as an exponent of two, above
    the least of them, within eight of the typical one; as that for a dead channel."""
    norms = np.sqrt(np.square(weight.astype(np.float64)).sum((1, 2, 3)))
    alive = (norms > 0) & np.isfinite(norms)
    if not alive.any():
        return np.zeros(len(weight), np.int64)
    exponents = np.log2(norms, where=alive, out=np.zeros(len(weight)))
    exponents = np.rint(exponents - np.median(exponents[alive]))
    exponents = np.where(alive, np.clip(exponents, -7, 8), 0).astype(np.int64)
    return exponents - exponents.min()


def equalize(graph: Graph, exponents: Exponents) -> Graph:
    """The folded graph with these factors.

    The tensors get names of their own and are no blobs of Caffe's any more. DataError where
    factors do not fit the graph.
    """
    if not exponents:
        return graph
    spans = _spans(graph)
    nodes = {node.name: node for node in graph.nodes}
    renamed: dict[str, str] = {}
    for name, digits in exponents.items():
        known = name in spans and isinstance(digits, str) and not set(digits) - set(DIGITS)
        if not known or len(digits) != graph.tensors[name].shape[1]:
            raise DataError(
                f"the channels of tensor '{name}' cannot have the factors {str(digits)[:40]}",
                remedy="use a table of this very network, or calibrate anew",
            )
        factors = np.exp2([DIGITS.index(digit) for digit in digits]).astype(np.float32)
        span = spans[name]
        nodes[span.writer.name] = _scaled(nodes[span.writer.name], factors, ("weight", "bias"))
        nodes[span.reader.name] = _scaled(nodes[span.reader.name], 1 / factors, ("weight",))
        renamed[name] = name + EQUALIZED
    return _rename(replace(graph, nodes=tuple(nodes.values())), renamed)


def _spans(graph: Graph) -> dict[str, _Span]:
    """By the tensor between the two."""
    producers, consumers = graph.producers(), graph.consumers()
    found = {}
    for reader in graph.nodes:
        name = reader.inputs[0] if _is_depthwise(reader) else ""
        writer = producers.get(name)
        alone = len(consumers[name]) == 1 and name not in graph.outputs
        if writer is not None and alone and _passes_factors(writer):
            found[name] = _Span(writer, reader)
    return found


def _is_depthwise(node: Node) -> bool:
    op, weight = node.op, node.weights.get("weight")
    return isinstance(op, Conv2d) and weight is not None and op.groups == op.channels == len(weight)


def _passes_factors(node: Node) -> bool:
    """Whether a positive factor on a channel's weights and bias is one on its output."""
    return isinstance(node.op, Conv2d) and isinstance(node.op.activation, Relu | PRelu | None)


def _scaled(node: Node, factors: np.ndarray, keys: tuple[str, ...]) -> Node:
    """The arrays of a node with channel c (axis 0) times factors[c]."""
    weights = dict(node.weights)
    for key in weights.keys() & {*keys}:
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
