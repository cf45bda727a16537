"""Give the channels of a tensor factors, so that its one scale serves them all.

One scale serves all channels of a tensor: where one is loud, the others have few steps left. A
convolution or inner product may write channel c times f[c], through ReLU, PReLU and pooling, if the
convolutions that read it have weights divided by f[c]. (The idea is Nagel et al., "Data-free
quantization through weight equalization and bias correction", 2019; they go by weights.)

Here the loudness r of the channels on a few images tells, doubled, since other images may be
louder. Factors are (max r / r)**a, rounded down to powers of two, so that no channel gets louder
than the loudest was and every float result stays the same, bit for bit. Large factors spare the
activations and cost the readers' weights, which have one scale for all the channels they read; of a
few a, that of the least squared error in the readers' sums is taken: with n the norm of the weights
that meet a channel, s the readers' weight scales and m the channels' mean square,

    (max f r)**2 sum (n / f)**2  +  sum s**2 sum f**2 m
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct, Pool2d, PRelu, Relu
from demitasse.errors import DataError
from demitasse.quantizer.weights import limit_of

EQUALIZED = "@equalized"  # ends the names of tensors whose channels are not in Caffe's units
DIGITS = "0123456789abcdef"  # an exponent each; the larger ones do not occur
SHARES = (0.25, 0.5, 0.75, 1.0)  # what a may be, and 0
LARGEST = 12
# What a channel may yet become, of what was seen: boxes of ultraface_slim320 on photos that did not
# calibrate overlap float's by 0.970 without headroom, 0.981 with it, 0.973 without any factors.
HEADROOM = 2.0
WORTHWHILE = 0.8  # factors make no more than this share of the error without them

# Tensor, as a convolution writes it -> a digit for each channel: its factor is two to that.
Exponents = Mapping[str, str]


class Observed(Protocol):
    """What shows every tensor of a run, as `Model` does."""

    def observe(
        self, inputs: Mapping[str, np.ndarray], callback: Callable[[str, np.ndarray], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Loudness:
    """Of every channel: the largest magnitude, and the mean square; float64 (C,)."""

    largest: np.ndarray
    square: np.ndarray


@dataclass(frozen=True, slots=True)
class _Span:
    """A writer, the tensors that its channels reach in order, and the weighted nodes at the end."""

    writer: Node
    tensors: tuple[str, ...]
    readers: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of a reader's weights: the scale that those of each output and input ask for (G, O, I), and
    the sum of squares for each input (G, I)."""

    steps: np.ndarray
    square: np.ndarray
    taps: int


def choose_exponents(
    graph: Graph, loudness: Mapping[str, Loudness], small: Collection[str] = ()
) -> dict[str, str]:
    """Factors for the tensors of a folded graph that can have them and gain by them.

    small: nodes whose weights will have four bits.
    """
    found = {}
    for span in _spans(graph):
        name = span.tensors[0]
        if name in loudness:
            sizes = [
                _sizes(
                    node,
                    len(loudness[name].largest),
                    limit_of("int8", 4 if node.name in small else 8),
                )
                for node in span.readers
            ]
            exponents = _choose(sizes, loudness[name])
            if exponents.any():
                found[name] = "".join(DIGITS[e] for e in exponents)
    return found


def listen(model: Observed, images: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Loudness]:
    """How loud the channels of all tensors of rank 2 and 4 are on these inputs."""
    largest: dict[str, np.ndarray] = {}
    square: dict[str, np.ndarray] = {}
    count = 0

    def observe(name: str, value: np.ndarray) -> None:
        if value.ndim in (2, 4):
            axes = (0, 2, 3)[: value.ndim - 1]
            size = np.abs(value).max(axes).astype(np.float64)
            power = np.square(value, dtype=np.float64).mean(axes)
            largest[name] = np.maximum(largest.get(name, 0.0), size)
            square[name] = square.get(name, 0.0) + power

    for image in images:
        model.observe(image, observe)
        count += 1
    return {name: Loudness(largest[name], square[name] / count) for name in largest}


def equalize(graph: Graph, exponents: Exponents) -> Graph:
    """The folded graph with these factors.

    The tensors get names of their own and are no blobs of Caffe's any more. DataError where
    factors do not fit the graph.
    """
    if not exponents:
        return graph
    spans = {span.tensors[0]: span for span in _spans(graph)}
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
        nodes[span.writer.name] = _louder(nodes[span.writer.name], factors)
        for reader in span.readers:
            nodes[reader.name] = _divided(nodes[reader.name], factors)
        renamed |= {each: each + EQUALIZED for each in span.tensors}
    return _rename(replace(graph, nodes=tuple(nodes.values())), renamed)


def _spans(graph: Graph) -> Iterable[_Span]:
    consumers = graph.consumers()
    for node in graph.nodes:
        if not _writes_channels(node) or len(graph.tensors[node.outputs[0]].shape) not in (2, 4):
            continue
        tensors, readers = [node.outputs[0]], []
        for name in tensors:  # grows
            if name in graph.outputs or not consumers[name]:
                break
            for consumer in consumers[name]:
                if _passes_factors(consumer):
                    tensors.append(consumer.outputs[0])
                elif _reads_channels(consumer, len(graph.tensors[name].shape)):
                    readers.append(consumer)
                else:
                    break
            else:
                continue
            break
        else:
            yield _Span(node, tuple(tensors), tuple(readers))


def _writes_channels(node: Node) -> bool:
    """Whether a positive factor on a channel's weights and bias is one on its output."""
    op = node.op
    if not isinstance(op, Conv2d | InnerProduct) or getattr(op, "axis", 1) != 1:
        return False
    return isinstance(op.activation, Relu | PRelu | None)


def _passes_factors(node: Node) -> bool:
    return isinstance(node.op, Pool2d | Relu | PRelu)


def _reads_channels(node: Node, rank: int) -> bool:
    if isinstance(node.op, InnerProduct):
        return node.op.axis == 1 and rank in (2, 4)
    return isinstance(node.op, Conv2d | Deconv2d)


def _choose(sizes: Sequence[_Sizes], loudness: Loudness) -> np.ndarray:
    """The exponents of the least error; int64 (C,)."""
    best = np.zeros(len(loudness.largest), np.int64)
    alive = (loudness.largest > 0) & np.isfinite(loudness.largest)
    if not alive.any():
        return best
    most = loudness.largest[alive].max()
    reach = np.where(alive, np.minimum(HEADROOM * loudness.largest, most), 0.0)
    loudness = replace(loudness, largest=reach)
    distance = np.log2(most / np.where(alive, reach, 1.0))
    least = WORTHWHILE * sum(_noise(size, best, loudness) for size in sizes)
    for share in SHARES:
        exponents = np.where(alive, np.clip(np.floor(share * distance), 0, LARGEST), 0)
        noise = sum(_noise(size, exponents, loudness) for size in sizes)
        if noise < least:
            least, best = noise, exponents.astype(np.int64)
    return best


def _sizes(node: Node, channels: int, limit: int) -> _Sizes:
    """Of a reader's weights, whose codes go up to the limit."""
    weight, op = node.weights["weight"], node.op
    if isinstance(op, InnerProduct):
        grouped = weight.reshape(1, op.channels, channels, -1)
    else:
        assert isinstance(op, Conv2d | Deconv2d)
        outputs, inputs = op.channels // op.groups, channels // op.groups
        if isinstance(op, Deconv2d):
            grouped = weight.reshape(op.groups, inputs, outputs, -1).swapaxes(1, 2)
        else:
            grouped = weight.reshape(op.groups, outputs, inputs, -1)
    largest = np.maximum(grouped.max(3), -grouped.min(3)).astype(np.float64)
    square = np.einsum("goit,goit->gi", grouped, grouped, dtype=np.float64)
    return _Sizes(largest / limit, square, grouped.shape[3])


def _noise(sizes: _Sizes, exponents: np.ndarray, loudness: Loudness) -> float:
    """Squared error of a reader's sums, but for a factor."""
    factors = np.exp2(exponents)
    step = (factors * loudness.largest).max() / 255
    grouped = factors.reshape(sizes.square.shape)
    scale = (sizes.steps / grouped[:, None, :]).max(2)
    power = (factors**2 * loudness.square).reshape(grouped.shape).sum(1)
    alive = (loudness.largest > 0).reshape(grouped.shape)  # the others are exactly 0
    activations = step**2 * (sizes.square / grouped**2).sum(where=alive)
    return float(activations + sizes.taps * (np.square(scale).sum(1) @ power))


def _divided(node: Node, factors: np.ndarray) -> Node:
    """A reader whose input channels have these factors."""
    weight, op = node.weights["weight"], node.op
    if isinstance(op, Deconv2d):
        scaled = weight / factors.reshape(-1, 1, 1, 1)
    else:
        groups = op.groups if isinstance(op, Conv2d) else 1
        grouped = weight.reshape(groups, len(weight) // groups, len(factors) // groups, -1)
        scaled = (grouped / factors.reshape(groups, 1, -1, 1)).reshape(weight.shape)
    return replace(node, weights={**node.weights, "weight": scaled})


def _louder(node: Node, factors: np.ndarray) -> Node:
    """A writer of channels with these factors."""
    weights = dict(node.weights)
    for key in weights.keys() & {"weight", "bias"}:
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
