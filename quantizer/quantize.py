"""From a folded float graph and a table of scales to an integer graph.

Every tensor of the result is int8 or int16 with `Quantization(scale, zero_point)` (the scale is a
float32 value), or float32 between Dequantize and Quantize nodes. Network inputs and Constants are
integers unless only float32 operators read them; an output is whatever its producer writes. Nodes
keep their names, classes and fields, except

    Relu, Clip, PRelu, Power(power=1, shift=0)              -> Rescale
    Elu, Sigmoid, Tanh, Abs, Power                          -> Lookup
    BatchNorm, Scale, Bias: constants along axis 1, rank
    2 or 4; in int16 also Power(power=1)                    -> Conv2d, depthwise 1x1 (on rank 2 too)
    Eltwise "prod" of more than two                         -> a chain of pairs
    Softmax and whatever has no integer form                -> itself, in float32

Max pooling, Concat, Slice, Reshape, Flatten, Permute, Crop and Identity move codes: their inputs
and outputs share one quantization (a Rescale stands before a Concat where one differs). New
tensors have names that start with "%". Constants of integer nodes, in `Node.weights`:

    Conv2d, InnerProduct, Deconv2d
        weight      int8 or int16, Caffe's layout
        bias        int32 (O,), the true bias in accumulator units (zero points not folded)
        multiplier, left, right                              int32 (O,)
        negative_multiplier, negative_left, negative_right   int32 (O,), only with a slope below 0
        low, high   int32 scalars: the clamp, fused activation included (`op.activation` only tells)
    Pool2d "average"
        divisors    int32 (n, 4): rows divisor, multiplier, left, right, ascending
        low, high
    Pool2d "max"    nothing
    Eltwise
        multiplier  int32 (inputs,)  "sum" and "max"; (1,) "prod"
        left, right int32 scalars    "sum"; (inputs,) "max"; (1,) "prod"
        low, high
    Rescale
        multiplier, left, right, and with a slope below 0 negative_*: int32, (1,) or (C,)
        low, high
    Lookup
        table       int8 (256,) or int16 (2**bits + 1,)
        bits        int32 scalar: 8 for int8, 7..12 for int16
    Lrn
        table       int16 ((33 - bits) * 2**bits + 1,)
        bits, shift, multiplier, left, right, low, high      int32 scalars
    Concat, Slice, Reshape, Flatten, Permute, Crop, Identity, Quantize, Dequantize   nothing
    float32 nodes   what they had
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from demitasse.converter.evaluate import check_weights
from demitasse.converter.graph import Graph, Node, Quantization, Tensor, rebuild
from demitasse.converter.ops import Concat, Constant, Dequantize, Operator, Quantize, Rescale
from demitasse.quantizer.integer import BUILDERS, Site
from demitasse.quantizer.integer.activation import rescale_weights
from demitasse.quantizer.integer.base import clamp_weights
from demitasse.quantizer.integer.norm import batch_norm_as_scale
from demitasse.quantizer.scheme import quantize as codes_of
from demitasse.quantizer.sharing import LAYOUT, assign_quantization
from demitasse.quantizer.table import ScaleTable


def quantize(graph: Graph, table: ScaleTable) -> Graph:
    """The integer graph (see above) of a folded float graph.

    Raises DataError where the table does not fit the graph, DemitasseError where weights are
    missing or not finite.
    """
    check_weights(graph)
    work = _Work(graph, table, assign_quantization(graph, table), _read_as_integers(graph))
    for name in graph.inputs:
        work.add_source(name)
    for node in graph.nodes:
        work.add_node(node)
    return rebuild(replace(graph, tensors=work.tensors), work.nodes)


def _read_as_integers(graph: Graph) -> set[str]:
    """The tensors that an operator with an integer form reads, or somebody outside."""
    wanted = set(graph.outputs)
    for node in reversed(graph.nodes):
        moves = isinstance(node.op, (*LAYOUT, Concat))
        if type(node.op) in BUILDERS or (moves and wanted.intersection(node.outputs)):
            wanted.update(node.inputs[:1] if isinstance(node.op, LAYOUT) else node.inputs)
    return wanted


@dataclass
class _Work:
    """The graph as it grows, and where each value stands as an integer and as a float.

    A value keeps its name in the form in which its producer writes it; the other form appears
    when somebody asks for it.
    """

    graph: Graph
    table: ScaleTable
    quants: dict[str, Quantization]
    wanted: set[str]  # by somebody who computes with integers
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    integers: dict[str, str] = field(default_factory=dict)
    reals: dict[str, str] = field(default_factory=dict)

    def add_node(self, node: Node) -> None:
        """Add what the node becomes."""
        if isinstance(node.op, (*LAYOUT, Concat)):
            self._add_layout(node)
            return
        if isinstance(node.op, Constant):
            self._add_constant(node)
            return
        build = BUILDERS.get(type(node.op))
        site = Site(
            node,
            tuple(self._typed(self.graph.tensors[name]) for name in node.inputs),
            self._typed(self.graph.tensors[node.outputs[0]]),
            self._weight_scale(node),
            self._reach(node.inputs[0]),
        )
        built = None if build is None else build(site)
        if built is None:
            self._add_float(batch_norm_as_scale(node))
            return
        stored = {name: self.integer(name) for name in node.inputs}
        for made in built.nodes:
            inputs = tuple(stored.get(name, name) for name in made.inputs)
            self.nodes.append(replace(made, inputs=inputs))
        self.tensors.update(built.tensors)
        self.add_integer(node.outputs[0])

    def _add_constant(self, node: Node) -> None:
        name = node.outputs[0]
        self.add_source(name)
        if name in self.integers:
            quant = self.quants[name]
            codes = codes_of(
                node.weights["value"], quant.scale, quant.zero_point, self.table.precision
            )
            node = replace(node, weights={"value": codes})
        self.nodes.append(node)

    def _add_layout(self, node: Node) -> None:
        """Move codes, or floats where no input exists as an integer."""
        sources = node.inputs if isinstance(node.op, Concat) else node.inputs[:1]
        if not any(name in self.integers for name in sources):
            self._add_float(node)
            return
        inputs = [self.integer(name) for name in sources]
        if isinstance(node.op, Concat):
            quant = self.quants[node.outputs[0]]
            inputs = [self._rescaled(node, i, name, quant) for i, name in enumerate(inputs)]
        # the second input of a Crop gives its shape only
        self.nodes.append(replace(node, inputs=(*inputs, *node.inputs[len(inputs) :])))
        for name in node.outputs:
            self.add_integer(name)

    def _add_float(self, node: Node) -> None:
        sources = node.inputs if not isinstance(node.op, LAYOUT) else node.inputs[:1]
        inputs = tuple(self.real(name) for name in sources)
        self.nodes.append(replace(node, inputs=(*inputs, *node.inputs[len(inputs) :])))
        for name in node.outputs:
            self._add_real(name)

    def add_source(self, name: str) -> None:
        """A network input or constant: a float where only float32 operators read it, for an index
        or a box would not survive being quantized."""
        if name in self.wanted:
            self.add_integer(name)
        else:
            self._add_real(name)

    def _add_real(self, name: str) -> None:
        self.tensors[name] = self.graph.tensors[name]
        self.reals[name] = name

    def add_integer(self, name: str) -> None:
        """A value that is an integer by birth."""
        self.tensors[name] = self._typed(self.graph.tensors[name])
        self.integers[name] = name

    def integer(self, name: str) -> str:
        """The value as an integer tensor."""
        if name not in self.integers:
            tensor = self._typed(self.graph.tensors[name])
            self.integers[name] = self._convert(Quantize(), name, tensor, tensor.dtype)
        return self.integers[name]

    def real(self, name: str) -> str:
        """The value as a float32 tensor."""
        if name not in self.reals:
            tensor = self.graph.tensors[name]
            self.reals[name] = self._convert(Dequantize(), name, tensor, "float32")
        return self.reals[name]

    def _convert(self, op: Operator, name: str, tensor: Tensor, suffix: str) -> str:
        hidden = f"%{name}.{suffix}"
        self.tensors[hidden] = replace(tensor, name=hidden)
        self.nodes.append(Node(f"{name}.{suffix}", op, (name,), (hidden,)))
        return hidden

    def _rescaled(self, node: Node, index: int, name: str, quant: Quantization) -> str:
        """The tensor in the quantization that a Concat needs."""
        tensor = self.tensors[name]
        if tensor.quant == quant:
            return name
        target = replace(tensor, name=f"%{node.name}.{index}", quant=quant)
        rescale = Node(f"{node.name}.{index}", Rescale(), (name,), (target.name,))
        weights = rescale_weights(Site(rescale, (tensor,), target)) | clamp_weights(target)
        self.tensors[target.name] = target
        self.nodes.append(replace(rescale, weights=weights))
        return target.name

    def _typed(self, tensor: Tensor) -> Tensor:
        return replace(tensor, dtype=self.table.precision, quant=self.quants[tensor.name])

    def _weight_scale(self, node: Node) -> np.ndarray | None:
        scale = self.table.weights.get(node.name)
        return None if scale is None else np.asarray(scale, np.float32)

    def _reach(self, name: str) -> tuple[float, float] | None:
        entry = self.table.tensors.get(name)
        return None if entry is None else (entry.low, entry.high)
