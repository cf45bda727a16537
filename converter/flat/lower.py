"""From graph nodes to the runtime's steps: which opcode, on which views, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from demitasse.converter.flat.custom import custom_operator
from demitasse.converter.flat.format import ITEM_SIZES, MAX_INPUTS, MAX_RANK, Opcode
from demitasse.converter.flat.layout import (
    View,
    assign,
    default_strides,
    join_regions,
    moved_views,
)
from demitasse.converter.flat.prepare import HIDDEN, prepare
from demitasse.converter.graph import Graph, Node, Quantization
from demitasse.converter.ops import (
    ArgMax,
    Bias,
    Concat,
    Constant,
    Conv2d,
    Crop,
    Deconv2d,
    Dequantize,
    DetectionOutput,
    Eltwise,
    Embed,
    Expand,
    Flatten,
    Gather,
    InnerProduct,
    Lookup,
    Lrn,
    Lstm,
    Mvn,
    Normalize,
    Permute,
    Pool2d,
    PoolMask,
    PRelu,
    PsRoiPool,
    Quantize,
    Reduce,
    Rescale,
    Reshape,
    Resize,
    Rnn,
    RoiPool,
    Scale,
    Slice,
    Softmax,
    Unary,
    Unpool,
    YoloOutput,
)
from demitasse.errors import UnsupportedError


@dataclass(frozen=True, slots=True)
class Operand:
    """One tensor record: a typed view of a buffer. `name` is None for what nobody asks for.

    counted: the number of its rows (axis 2) stands behind its buffer.
    """

    name: str | None
    dtype: str
    quant: Quantization | None
    view: View
    counted: bool = False

    @property
    def end(self) -> int:
        """Where the view ends in its buffer, in bytes."""
        return (self.view.offset + self.view.extent()) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator record. `node` says what the parameters are; None for a copy."""

    opcode: Opcode | int
    inputs: tuple[Operand, ...]
    output: Operand
    node: Node | None = None
    macs: int = 0

    @property
    def dtype(self) -> str:
        """The operator's: that of its first input, or without inputs of its output."""
        return (*self.inputs, self.output)[0].dtype


@dataclass(frozen=True, slots=True)
class Program:
    """Steps in order, and the graph that they compute with every tensor's operand.

    `after[name]` steps have run when the tensor's value stands.
    """

    graph: Graph
    steps: tuple[Step, ...]
    operands: dict[str, Operand]
    after: dict[str, int]


def lower(graph: Graph) -> Program:
    """Lower an optimized graph. Raises UnsupportedError naming what the runtime lacks."""
    graph = prepare(graph)
    operands = {name: _operand(graph, name, view) for name, view in assign(graph).items()}
    _check_unread(graph)
    for name in graph.counted():
        operands[name] = replace(operands[name], counted=True)
    steps: list[Step] = []
    after = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        steps.extend(_steps(graph, node, operands))
        after.update(dict.fromkeys(node.outputs, len(steps)))
    return Program(graph, tuple(steps), operands, after)


def _check_unread(graph: Graph) -> None:
    """Nothing in the runtime reads a tensor that has as many rows as a run finds."""
    names = graph.counted()
    for node in graph.nodes:
        if read := names.intersection(node.inputs):
            raise UnsupportedError(
                f"reads {read.pop()}, of which only a run tells how many rows it has",
                layer=node.name,
                remedy="cut the network there: --outputs",
            )


def _operand(graph: Graph, name: str, view: View) -> Operand:
    tensor = graph.tensors[name]
    if len(tensor.shape) > MAX_RANK:
        raise UnsupportedError(f"tensor {name} has {len(tensor.shape)} axes, at most {MAX_RANK}")
    hidden = name.startswith(HIDDEN)
    return Operand(None if hidden else name, tensor.dtype, tensor.quant, view)


def _steps(graph: Graph, node: Node, operands: dict[str, Operand]) -> Iterator[Step]:
    """The steps of one node; none where views say it all."""
    inputs = [operands[name] for name in node.inputs]
    output = operands[node.outputs[0]]
    if isinstance(node.op, MOVES):
        outputs = [operands[name] for name in node.outputs]
        shapes = [x.view.shape for x in outputs]
        moved = moved_views(node, [x.view for x in inputs], shapes)
        for target, view in zip(outputs, moved, strict=True):
            if view is None:
                yield Step(Opcode.COPY, (inputs[0],), target)
            elif not target.view.same_place(view):
                yield Step(Opcode.COPY, (replace(inputs[0], name=None, view=view),), target)
    elif isinstance(node.op, Concat):
        regions = join_regions(node, [x.view for x in inputs], output.view)
        for x, region in zip(inputs, regions, strict=True):
            if not x.view.same_place(region):
                yield Step(Opcode.COPY, (x,), replace(output, name=None, view=region))
    else:
        opcode, image = _opcode(node)
        if image:
            copies = [_channels_last(node, i, x) for i, x in enumerate(inputs)]
            yield from (
                Step(Opcode.COPY, (x,), copy)
                for x, copy in zip(inputs, copies, strict=True)
                if copy is not x
            )
            inputs = copies
        if len(inputs) > MAX_INPUTS:
            raise UnsupportedError(
                f"{len(inputs)} inputs, the runtime takes {MAX_INPUTS}", layer=node.name
            )
        macs = node.op.macs(graph.shapes(node.inputs), graph.shapes(node.outputs))
        yield Step(opcode, tuple(inputs), output, node, macs)


def _channels_last(node: Node, index: int, x: Operand) -> Operand:
    """`x` itself if its channels are contiguous, else a copy of it that has them so."""
    shape, strides = x.view.shape, x.view.strides
    if shape[1] == 1 or strides[1] == 1:
        return x
    buffer = f"{HIDDEN}{node.name}.{index}"
    return replace(x, name=None, view=View(buffer, shape, default_strides(shape)))


MOVES = (Slice, Crop, Expand, Permute, Reshape, Flatten)

ELTWISE = {"sum": Opcode.SUM, "prod": Opcode.PROD, "max": Opcode.MAX}
POOL = {"max": Opcode.POOL_MAX, "average": Opcode.POOL_AVERAGE}

# class of the operator -> (opcode, or one for each of its kinds; whether it reads images)
OPCODES: dict[type, tuple[Opcode | dict[str, Opcode], bool]] = {
    Constant: (Opcode.CONSTANT, False),
    Conv2d: (Opcode.CONV, True),
    InnerProduct: (Opcode.CONV, True),
    Deconv2d: (Opcode.DECONV, True),
    Pool2d: (POOL, True),
    Eltwise: (ELTWISE, False),
    Rescale: (Opcode.RESCALE, False),
    Lookup: (Opcode.LOOKUP, False),
    Unary: (Opcode.UNARY, False),
    PRelu: (Opcode.UNARY, False),
    Scale: (Opcode.SCALE, False),
    Bias: (Opcode.SCALE, False),
    Lrn: (Opcode.LRN, True),
    Softmax: (Opcode.SOFTMAX, False),
    Mvn: (Opcode.MVN, False),
    Normalize: (Opcode.NORMALIZE, False),
    Resize: (Opcode.RESIZE, True),
    PoolMask: (Opcode.POOL_MASK, True),
    Unpool: (Opcode.UNPOOL, True),
    Lstm: (Opcode.LSTM, False),
    Rnn: (Opcode.RNN, False),
    Quantize: (Opcode.QUANTIZE, False),
    Dequantize: (Opcode.DEQUANTIZE, False),
    Gather: (Opcode.GATHER, False),
    Embed: (Opcode.EMBED, False),
    Reduce: (Opcode.REDUCE, False),
    ArgMax: (Opcode.ARGMAX, False),
    DetectionOutput: (Opcode.DETECTION, False),
    YoloOutput: (Opcode.YOLO, False),
    RoiPool: (Opcode.ROI_POOL, True),
    PsRoiPool: (Opcode.PSROI_POOL, True),
}


def _opcode(node: Node) -> tuple[Opcode | int, bool]:
    if custom := custom_operator(node.op):
        return custom.opcode, custom.image
    for kind in type(node.op).__mro__:
        if kind in OPCODES:
            choice, image = OPCODES[kind]
            if isinstance(choice, dict):
                choice = choice[getattr(node.op, "kind")]  # noqa: B009
            return choice, image
    raise UnsupportedError(
        f"the runtime has no operator for {type(node.op).__name__}",
        layer=node.name,
        remedy="register_operator() of converter/flat/custom.py adds one",
    )
