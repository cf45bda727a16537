"""From a folded float graph and a table of scales to an integer graph.

Every tensor of the result is int8 or int16 with `Quantization(scale, zero_point)` (the scale is a
float32 value), or float32 between Dequantize and Quantize nodes. Network inputs and Constants are
integers unless only float32 operators read them; an output is whatever its producer writes. Nodes
keep their names, classes and fields, except

    Relu, Clip, PRelu, Power(power=1, shift=0)              -> Rescale
    Power and the other functions of one variable           -> Lookup
    BatchNorm, Scale, Bias: constants along axis 1, rank
    2 or 4; in int16 also Power(power=1) and HardSigmoid    -> Conv2d, depthwise 1x1 (on rank 2 too)
    Eltwise "prod" of more than two                         -> a chain of pairs
    Softmax and whatever has no integer form                -> itself, in float32

Max pooling, Unpool, Resize, Concat, Slice, Reshape, Flatten, Expand, Permute, Reverse, Crop and
Identity move codes: their inputs and outputs share one quantization (a Rescale stands before a
Concat where one differs). PoolMask reads codes where there are codes; masks are float32. New
tensors have names that start with "%". Constants of integer nodes, in `Node.weights`:

    Conv2d, InnerProduct, Deconv2d
        weight      int8 or int16, Caffe's layout
        weight_bits int32 scalar, only where the weights take four bits: 4
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
    Normalize
        table       int16 (3 * 2**(bits - 2) + 1,)
        multiplier, left, right                              int32, (1,) or (C,)
        bits, low, high                                      int32 scalars; eps a uint32
    Reduce
        multiplier, left, right, low, high                   int32 scalars
    Concat, Slice, Reshape, Flatten, Expand, Permute, Reverse, Crop, Identity, Quantize,
    Dequantize, Resize, PoolMask, Unpool                     nothing
    float32 nodes   what they had
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from demitasse.converter.evaluate import check_weights
from demitasse.converter.graph import Graph, Node, Quantization, Tensor, rebuild
from demitasse.converter.ops import (
    Concat,
    Constant,
    Dequantize,
    Operator,
    PoolMask,
    Quantize,
    Rescale,
    Unpool,
)
from demitasse.quantizer.integer import BUILDERS, Site
from demitasse.quantizer.integer.activation import rescale_weights
from demitasse.quantizer.integer.base import Built, clamp_weights
from demitasse.quantizer.integer.norm import batch_norm_as_scale
from demitasse.quantizer.scheme import quantize as codes_of
from demitasse.quantizer.sharing import LAYOUT, assign_quantization, moves_codes
from demitasse.quantizer.table import ScaleTable
from demitasse.quantizer.weight_plans import find_nodes, weight_plans
from demitasse.quantizer.weights import WeightPlan

Plan = Mapping[str, str]  # node -> "int8" or "int16", where it is not the table's


def quantize(graph: Graph, table: ScaleTable) -> Graph:
    """The integer graph (see above) of a folded float graph.

    Raises DataError where the table does not fit the graph, DemitasseError where weights are
    missing or not finite.
    """
    check_weights(graph)
    plan = plan_of(graph, table)
    schemes = {
        precision: assign_quantization(graph, table.at(precision))
        for precision in {table.precision, *plan.values()}
    }
    readers = _readers(graph, table.precision, plan)
    work = _Work(graph, table, plan, schemes, readers, weight_plans(graph, table))
    for name in graph.inputs:
        work.add_source(name)
    for node in graph.nodes:
        work.add_node(node)
    return rebuild(replace(graph, tensors=work.tensors), work.nodes)


def plan_of(graph: Graph, table: ScaleTable) -> dict[str, str]:
    """The table's layers by node; DataError names one that the network lacks.

    A layer that was folded into another stands for it; one that became several nodes for all.
    """
    nodes = find_nodes(graph, table.layers, "a precision")
    plan: dict[str, str] = {}
    for name, precision in table.layers.items():
        whole = [node.name for node in graph.nodes if name in node.origin]
        plan.update(dict.fromkeys(whole or [nodes[name]], precision))
    return plan


def _readers(graph: Graph, precision: str, plan: Plan) -> dict[str, set[str]]:
    """For each tensor the integers in which somebody reads it; outputs are read from outside."""
    found: dict[str, set[str]] = {name: set() for name in graph.tensors}
    for name in graph.outputs:
        found[name].add(precision)
    for node in reversed(graph.nodes):
        wanted: set[str] = set()
        if isinstance(node.op, (*LAYOUT, Concat, Unpool)):
            wanted = wanted.union(*(found[name] for name in node.outputs))
        elif type(node.op) in BUILDERS:
            wanted = {plan.get(node.name, precision)}
        first = isinstance(node.op, (*LAYOUT, Unpool))
        for name in node.inputs[:1] if first else node.inputs:
            found[name] |= wanted
    return found


@dataclass
class _Work:
    """The graph as it grows, and the forms (dtype -> tensor) in which each value stands.

    A value keeps its name in the form in which its producer writes it, the first; another form
    appears when somebody asks for it.
    """

    graph: Graph
    table: ScaleTable
    plan: Plan
    schemes: Mapping[str, Mapping[str, Quantization]]
    readers: Mapping[str, set[str]]
    weights: Mapping[str, WeightPlan]
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    forms: dict[str, dict[str, str]] = field(default_factory=dict)

    def add_node(self, node: Node) -> None:
        """Add what the node becomes."""
        dtype = self._dtype(node)
        if isinstance(node.op, (*LAYOUT, Concat)):
            self._add_layout(node, dtype)
        elif isinstance(node.op, Constant):
            self._add_constant(node)
        elif isinstance(node.op, PoolMask | Unpool):
            self._add_masked(node)
        elif (built := self._build(node, dtype)) is None:
            self._add_float(batch_norm_as_scale(node))
        else:
            stored = {name: self.form(name, dtype) for name in node.inputs}
            for made in built.nodes:
                inputs = tuple(stored.get(name, name) for name in made.inputs)
                self.nodes.append(replace(made, inputs=inputs))
            self.tensors.update(built.tensors)
            self._add_value(node.outputs[0], dtype)

    def add_source(self, name: str) -> str:
        """A network input or constant: a float where only float32 operators read it, for an index
        or a box would not survive being quantized."""
        wanted = self.readers[name]
        dtype = self.table.precision if self.table.precision in wanted else max(wanted, default="")
        return self._add_value(name, dtype or "float32")

    def form(self, name: str, dtype: str) -> str:
        """The value as a tensor of this type."""
        forms = self.forms[name]
        if dtype not in forms:
            source = self.tensors[next(iter(forms.values()))]
            hidden = replace(self._typed(name, dtype), name=f"%{name}.{dtype}")
            forms[dtype] = self._convert(source, hidden, f"{name}.{dtype}")
        return forms[dtype]

    def _dtype(self, node: Node) -> str:
        """What the node computes with; who only moves values does so in the form that is there."""
        if node.name in self.plan:
            return self.plan[node.name]
        if moves_codes(node.op) or isinstance(node.op, Concat):
            sources = node.inputs if isinstance(node.op, Concat) else node.inputs[:1]
            born = {next(iter(self.forms[name])) for name in sources}
            if len(born) == 1 and (isinstance(node.op, (*LAYOUT, Concat)) or born != {"float32"}):
                return born.pop()
        return self.table.precision

    def _build(self, node: Node, dtype: str) -> Built | None:
        build = BUILDERS.get(type(node.op))
        if build is None:
            return None
        inputs = tuple(self._typed(name, dtype) for name in node.inputs)
        entry = self.table.tensors.get(node.inputs[0])
        reach = None if entry is None else (entry.low, entry.high)
        output = self._typed(node.outputs[0], dtype)
        plan = self.weights.get(node.name) if dtype == self.table.precision else None
        return build(Site(node, inputs, output, plan or WeightPlan(), reach))

    def _add_constant(self, node: Node) -> None:
        tensor = self.tensors[self.add_source(node.outputs[0])]
        if tensor.quant is not None:
            quant, value = tensor.quant, node.weights["value"]
            codes = codes_of(value, quant.scale, quant.zero_point, tensor.dtype)
            node = replace(node, weights={"value": codes})
        self.nodes.append(node)

    def _add_layout(self, node: Node, dtype: str) -> None:
        """Move values as they are stored."""
        if isinstance(node.op, LAYOUT):  # the second input of a Crop gives its shape only
            inputs = [self.form(node.inputs[0], dtype), *node.inputs[1:]]
        else:
            joined = self._typed(node.outputs[0], dtype)
            inputs = [self.form(name, dtype) for name in node.inputs]
            inputs = [self._rescaled(node, i, name, joined) for i, name in enumerate(inputs)]
        self.nodes.append(replace(node, inputs=tuple(inputs)))
        for name in node.outputs:
            self._add_value(name, dtype)

    def _add_masked(self, node: Node) -> None:
        """With the values as they stand: codes have the order of reals. Masks are float32."""
        x, *masks = node.inputs
        dtype = self.plan.get(node.name, next(iter(self.forms[x])))
        inputs = (self.form(x, dtype), *(self.form(name, "float32") for name in masks))
        self.nodes.append(replace(node, inputs=inputs))
        self._add_value(node.outputs[0], dtype if masks else "float32")

    def _add_float(self, node: Node) -> None:
        inputs = tuple(self.form(name, "float32") for name in node.inputs)
        self.nodes.append(replace(node, inputs=inputs))
        for name in node.outputs:
            self._add_value(name, "float32")

    def _add_value(self, name: str, dtype: str) -> str:
        """A value as its producer writes it."""
        self.tensors[name] = self._typed(name, dtype)
        self.forms[name] = {dtype: name}
        return name

    def _rescaled(self, node: Node, index: int, name: str, joined: Tensor) -> str:
        """The tensor in the quantization that a Concat needs."""
        tensor = self.tensors[name]
        if tensor.quant == joined.quant:
            return name
        target = replace(tensor, name=f"%{node.name}.{index}", quant=joined.quant)
        return self._convert(tensor, target, f"{node.name}.{index}")

    def _convert(self, source: Tensor, target: Tensor, label: str) -> str:
        """The target, made from the source by an operator of its own."""
        op: Operator = Quantize() if source.dtype == "float32" else Rescale()
        op = Dequantize() if target.dtype == "float32" else op
        node = Node(label, op, (source.name,), (target.name,))
        if isinstance(op, Rescale):
            weights = rescale_weights(Site(node, (source,), target)) | clamp_weights(target)
            node = replace(node, weights=weights)
        self.tensors[target.name] = target
        self.nodes.append(node)
        return target.name

    def _typed(self, name: str, dtype: str) -> Tensor:
        quant = None if dtype == "float32" else self.schemes[dtype][name]
        return replace(self.graph.tensors[name], dtype=dtype, quant=quant)
