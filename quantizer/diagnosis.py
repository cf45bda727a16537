"""Which layer of an integer model is at fault, and whether its weights or its activations are.

The float graph gives every layer its true inputs. On these the layer runs in three ways, each
against its float output:

    weights      float arithmetic with the weights that the integers stand for
    activations  float arithmetic and weights, inputs and output rounded to their integers
    alone        the integers, as in the model: this layer quantized and no other

What the layers before have spoiled is no part of these; `comparison` measures that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from demitasse.converter.evaluate import float_values
from demitasse.converter.flat.prepare import prepare
from demitasse.converter.graph import Graph, Node, Quantization, Tensor
from demitasse.converter.ops import Constant, Conv2d, Dequantize, Quantize, Rescale
from demitasse.quantizer.integer.conv import Convolution, float_weights
from demitasse.quantizer.reference import run_node, store, to_real
from demitasse.quantizer.scheme import out_of_range
from demitasse.quantizer.scoring import Difference, sqnr
from demitasse.quantizer.sharing import LAYOUT

WORST = 3  # channels named
Values = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Closeness:
    """How near values come to the float ones, over all images; sqnr in dB, inf where equal."""

    sqnr: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Channel:
    """An output channel and its SQNR in dB, the layer being quantized alone."""

    index: int
    sqnr: float


@dataclass(frozen=True, slots=True)
class LayerDiagnosis:
    """One layer on float inputs. weights: None where there are none.

    clipped: share of the float output that its integers cannot say. worst: the channels of the
    least SQNR, the worst first; channels without a signal are left out.
    """

    layer: str
    blob: str
    dtype: str
    weights: Closeness | None
    activations: Closeness
    alone: Closeness
    clipped: float
    worst: tuple[Channel, ...]


def diagnose(
    folded: Graph, integer: Graph, images: Iterable[Mapping[str, np.ndarray]]
) -> tuple[LayerDiagnosis, ...]:
    """Every layer that computes, in order; one that only moves values has no error of its own.

    folded: the float graph; integer: what `quantize` made of it. images: inputs in real units, as
    `evaluate` takes them, one sample each.
    """
    integer = prepare(integer)
    layers = _layers(folded, integer)
    for inputs in images:
        floats = float_values(folded, inputs)
        stored = _alone(integer, folded, floats)
        for layer in layers:
            layer.add(integer, floats, stored)
    return tuple(layer.result() for layer in layers)


@dataclass
class _Layer:
    """A float node, the integer node that does its work, and what was measured.

    forms: each float input and the integer tensor that holds its value. weighted: the convolution
    with the weights that the integers stand for.
    """

    node: Node
    output: Tensor
    forms: Mapping[str, Tensor]
    weighted: Node | None
    weights: Difference = field(default_factory=Difference)
    activations: Difference = field(default_factory=Difference)
    alone: Difference = field(default_factory=Difference)
    signal: np.ndarray | float = 0.0  # by channel
    noise: np.ndarray | float = 0.0
    clipped: int = 0
    values: int = 0

    def add(self, integer: Graph, floats: Values, stored: Values) -> None:
        """Count one image in."""
        inputs = [floats[name] for name in self.node.inputs]
        expected = floats[self.node.outputs[0]]
        found = to_real(self.output, stored[self.output.name])
        self.alone.add(expected, found)
        rounded = [_rounded(self.forms.get(name), floats[name]) for name in self.node.inputs]
        y = self.node.op.reference(rounded, self.node.weights)[0]
        self.activations.add(expected, _rounded(self.output, y))
        if self.weighted is not None:
            self.weights.add(expected, _run_weighted(self.weighted, inputs[0]))
        wide = _by_channel(expected)
        self.signal = self.signal + np.square(wide).sum(1)
        self.noise = self.noise + np.square(_by_channel(found) - wide).sum(1)
        quant = self.output.quant or Quantization(1.0)
        self.clipped += out_of_range(expected, self.output.dtype, quant.scale, quant.zero_point)
        self.values += expected.size

    def result(self) -> LayerDiagnosis:
        """The figures so far."""
        return LayerDiagnosis(
            self.node.name,
            self.output.name,
            self.output.dtype,
            None if self.weighted is None else _closeness(self.weights),
            _closeness(self.activations),
            _closeness(self.alone),
            self.clipped / self.values,
            _worst(np.atleast_1d(self.signal), np.atleast_1d(self.noise)),
        )


def _layers(folded: Graph, integer: Graph) -> list[_Layer]:
    """The nodes to look at: those with a value of their own, of the same shape in both graphs."""
    producers, weighted = integer.producers(), {}
    for node in integer.nodes:
        if isinstance(node.op, Convolution) and "multiplier" in node.weights:
            weighted[node.name] = node
    found = []
    for node in folded.nodes:
        name = node.outputs[0]
        output = integer.tensors.get(name)
        moves = isinstance(node.op, (*LAYOUT, Constant)) or node.op.shape_only
        if moves or output is None or output.shape != folded.tensors[name].shape:
            continue
        forms = forms_read(name, folded, integer, producers)
        made = weighted.get(node.name)
        if made is not None:
            x, y = integer.tensors[made.inputs[0]], integer.tensors[made.outputs[0]]
            slope = {k: v for k, v in node.weights.items() if k == "slope"}
            op = node.op if isinstance(node.op, Convolution) else made.op
            made = replace(made, op=op, weights={**float_weights(made, x, y), **slope})
        found.append(_Layer(node, output, forms, made))
    return found


def forms_read(
    name: str, folded: Graph, integer: Graph, producers: Mapping[str, Node]
) -> dict[str, Tensor]:
    """The float values that the integer nodes behind the tensor `name` read, as they read them."""
    found: dict[str, Tensor] = {}
    left = [name]
    while left:
        node = producers.get(left.pop())
        for given in () if node is None else node.inputs:
            value = _value(given, folded, producers)
            if value is None:
                left.append(given)
            else:
                found[value] = integer.tensors[given]
    return found


def _value(name: str, folded: Graph, producers: Mapping[str, Node]) -> str | None:
    """The float tensor whose value an integer graph's tensor holds, perhaps converted; or None."""
    while name not in folded.tensors:
        node = producers[name]
        if not isinstance(node.op, Quantize | Dequantize | Rescale):
            return None
        name = node.inputs[0]
    return name


def _alone(integer: Graph, folded: Graph, floats: Values) -> Values:
    """What every integer node stores, given the stored form of its inputs' float values.

    Tensors between the integer nodes of one layer have no float value: there the nodes follow one
    another.
    """
    producers = integer.producers()

    def given(name: str) -> np.ndarray:
        value = _value(name, folded, producers)
        tensor = integer.tensors[name]
        if value is None or floats[value].shape != tensor.shape:
            return found[name]
        return store(tensor, floats[value])

    found: Values = {}
    for node in integer.nodes:
        values = [given(name) for name in node.inputs]
        floating = integer.tensors[node.outputs[0]].dtype == "float32"
        if floating and not isinstance(node.op, Dequantize):
            results = node.op.reference(values, node.weights)
        else:
            results = tuple(run_node(integer, node, values))
        found.update(zip(node.outputs, results, strict=True))
    return found


def _rounded(tensor: Tensor | None, values: np.ndarray) -> np.ndarray:
    """The values as the tensor can hold them."""
    return values if tensor is None else to_real(tensor, store(tensor, values))


def _run_weighted(node: Node, x: np.ndarray) -> np.ndarray:
    """A convolution in float32; on an (N, C) input, a depthwise one works as on 1x1 images."""
    op = node.op
    flat = x.ndim == 2 and isinstance(op, Conv2d)
    y = op.reference([x[:, :, None, None] if flat else x], node.weights)[0]
    return y[:, :, 0, 0] if flat else y


def _by_channel(values: np.ndarray) -> np.ndarray:
    """float64 (C, n): axis 1, or one channel where there is none."""
    wide = np.asarray(values, np.float64)
    if wide.ndim < 2:
        return wide.reshape(1, -1)
    return np.moveaxis(wide, 1, 0).reshape(wide.shape[1], -1)


def _worst(signal: np.ndarray, noise: np.ndarray) -> tuple[Channel, ...]:
    pairs = enumerate(zip(signal, noise, strict=True))
    ratios = sorted((sqnr(float(s), float(n)), index) for index, (s, n) in pairs if s > 0)
    return tuple(Channel(index, ratio) for ratio, index in ratios[:WORST])


def _closeness(difference: Difference) -> Closeness:
    found = difference.fidelity("")
    return Closeness(found.sqnr, found.cosine)
