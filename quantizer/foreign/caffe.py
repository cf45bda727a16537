"""`quantization_param` of a prototxt as a scale table; read, never written.

Ristretto (and CHaiDNN) say in bits what a layer reads, writes and weighs with: `bw_layer_in: 8
fl_layer_in: 3` is a step of 2^-3 and codes of eight bits, -128 to 127. Fewer bits keep their range
and take the step of ours; more than eight raise the layer to INT16, and say nothing of weights.

Intel's Caffe says what reals are multiplied with: `scale_in: 42.5`, one for each bottom,
`scale_out`, and `scale_params`, one or one a channel (0: all its weights are). Inputs are unsigned
unless `is_negative_input` stands there; outputs are where a ReLU follows.

What a layer reads goes before what its maker writes, and the widest range before others. More than
16 bits, where 32 is the default, are a float's and say nothing. Nor do minifloats and weights that
are powers of two; and where a BatchNorm or Scale is folded into a layer its weights and its output
are others than those that the text speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.text import read_prototxt
from demitasse.converter.caffe.upgrade import Layer, upgrade
from demitasse.converter.graph import Graph, Node
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct, Relu
from demitasse.errors import DataError
from demitasse.quantizer.table import ScaleTable, TensorScale, float32
from demitasse.quantizer.weight_plans import SMALL_BITS, takes_four_bits

PARAM = "quantization_param"
FIXED_POINT, MINIFLOAT, POWERS = range(3)
PRECISIONS = {
    "DYNAMIC_FIXED_POINT": FIXED_POINT,
    "MINIFLOAT": MINIFLOAT,
    "INTEGER_POWER_OF_2_WEIGHTS": POWERS,
}
FLOAT_BITS = 32
MOST_BITS = 16
MOST_FRACTION = 64  # bits behind the point, or before it

# Layers that may follow in a node without changing its weights or the unit of its output.
HARMLESS = {"ReLU", "ReLU6", "PReLU", "Clip", "Dropout", "Split"}


def read(path: Path, graph: Graph) -> ScaleTable:
    """The scales that a text gives for a folded graph; other tensors are missing."""
    problems = Problems(path)
    layers = {layer.name: layer for layer in upgrade(read_prototxt(path), problems)}
    nodes: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.origin or (node.name,):
            nodes.setdefault(name, []).append(node)
    found = _Found({name: layer.type for name, layer in layers.items()})
    for name, layer in layers.items():
        params = Params(PARAM, layer.param(PARAM))
        if params.message.fields and name in nodes:
            with problems.collect(name, params.message.line):
                _take(found, layer, params, nodes[name])
    if problems.errors:
        problems.raise_all()
    if not found.inputs and not found.outputs:
        raise DataError(
            f"no {PARAM} says a scale of this network",
            file=path,
            remedy="give a prototxt of Ristretto or of Intel's calibrator, or another table",
        )
    return found.table()


@dataclass(frozen=True)
class _Record:
    """The quantization of a tensor: codes of `bits` bits, in steps of `step`."""

    bits: int
    step: float
    unsigned: bool = False

    @property
    def span(self) -> float:
        return self.step * 2.0**self.bits

    def scale(self, bits: int) -> TensorScale:
        """The same range in codes of 8 or 16 bits; those of 16 have no zero point."""
        low = 0.0 if self.unsigned else -self.span / 2
        low, high = float32(low), float32(low + self.span - self.step)
        step, zero_point = self.span / 2**bits, 0
        if self.unsigned and bits == 8:
            zero_point = -128
        elif self.unsigned:
            step *= 2
        return TensorScale(float32(step), zero_point, low, high, low, high)


@dataclass
class _Found:
    types: dict[str, str]
    inputs: dict[str, _Record] = field(default_factory=dict)
    outputs: dict[str, _Record] = field(default_factory=dict)
    weights: dict[str, tuple[float, ...]] = field(default_factory=dict)
    small: dict[str, int] = field(default_factory=dict)
    wide: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read_as(self, tensor: str, record: _Record) -> None:
        known = self.inputs.setdefault(tensor, record)
        if known != record:
            self.warnings.append(f"tensor '{tensor}': its readers differ; the widest range counts")
            self.inputs[tensor] = max(known, record, key=lambda each: each.span)

    def keeps(self, layer: str, node: Node) -> bool:
        """Whether the node's weights and output are the layer's own."""
        others = {self.types.get(name, "") for name in node.origin if name != layer}
        return others <= HARMLESS

    def table(self) -> ScaleTable:
        """INT16 where every record has more than eight bits, else INT8 with layers of INT16."""
        records = {**self.outputs, **self.inputs}
        wide = all(record.bits > 8 for record in records.values())
        tensors = {name: each.scale(16 if wide else 8) for name, each in sorted(records.items())}
        return ScaleTable(
            "int16" if wide else "int8",
            not any(each.zero_point for each in tensors.values()),
            PARAM,
            "",
            tensors,
            {} if wide else self.weights,
            {} if wide else dict.fromkeys(self.wide, "int16"),
            tuple(self.warnings),
            weight_bits={} if wide else self.small,
        )


def _take(found: _Found, layer: Layer, params: Params, nodes: Sequence[Node]) -> None:
    """What one layer says. ParseError or DataError where it makes no sense."""
    precision = PRECISIONS[params.symbol("precision", PRECISIONS, "DYNAMIC_FIXED_POINT")]
    if precision == MINIFLOAT:
        found.warnings.append(f"layer '{layer.name}': minifloats are no integers")
        return
    first, last = nodes[0], nodes[-1]
    reads = list(_records(params, "in", len(first.inputs)))
    if first.origin[:1] in ((), (layer.name,)):
        for tensor, record in zip(first.inputs, reads, strict=False):
            found.read_as(tensor, record)
    if not found.keeps(layer.name, last):
        return
    follows = isinstance(getattr(last.op, "activation", None), Relu)
    unsigned = follows and not last.op.activation.negative_slope  # type: ignore[attr-defined]
    for tensor, record in zip(last.outputs, _records(params, "out", 1, unsigned), strict=False):
        found.outputs[tensor] = record
        reads.append(record)
    if any(record.bits > 8 for record in reads):
        found.wide += [node.name for node in nodes]
    elif precision == FIXED_POINT and len(nodes) == 1:
        _take_weights(found, params, first)


def _records(params: Params, side: str, count: int, unsigned: bool = False) -> Iterator[_Record]:
    """For each bottom (side "in") or top; nothing where the text says nothing."""
    bits = _bits(params, f"bw_layer_{side}")
    if bits > MOST_BITS:
        return
    if scales := params.reals(f"scale_{side}"):
        if side == "in":
            unsigned = not params.boolean("is_negative_input")
        steps = [1 / _positive(scale) for scale in scales]
    else:
        unsigned = False
        steps = [_step(length) for length in params.integers(f"fl_layer_{side}")]
    if len(steps) == 1:
        steps *= count
    yield from (_Record(bits, step, unsigned) for step in steps[:count])


def _take_weights(found: _Found, params: Params, node: Node) -> None:
    bits = _bits(params, "bw_params")
    if bits > 8 or not isinstance(node.op, Conv2d | Deconv2d | InnerProduct):
        return
    if scales := params.reals("scale_params"):
        steps = [1 / _positive(scale) if scale else 1.0 for scale in scales]
    else:
        steps = [_step(length) for length in params.integers("fl_params")]
    channels = node.op.channels
    if len(steps) == 1:
        steps *= channels
    if steps and len(steps) != channels:
        raise DataError(f"{len(steps)} scales of weights, expected 1 or {channels}")
    if steps:
        found.weights[node.name] = tuple(float32(step) for step in steps)
        if bits <= SMALL_BITS and takes_four_bits(node):
            found.small[node.name] = SMALL_BITS


def _bits(params: Params, name: str) -> int:
    bits = params.integer(name, FLOAT_BITS)
    if bits < 1:
        raise DataError(f"{name}: {bits} is no number of bits")
    return bits


def _step(length: int) -> float:
    """2^-length, length being the bits behind the point."""
    if abs(length) > MOST_FRACTION:
        raise DataError(f"{length} bits behind the point are beyond {MOST_FRACTION}")
    return 2.0**-length


def _positive(scale: float) -> float:
    if not 2.0**-MOST_FRACTION <= scale <= 2.0**MOST_FRACTION:
        raise DataError(f"{scale} is no scale")
    return scale
