"""What a drawing of a network shows: boxes and the wires between them, without places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from demitasse.converter.summary import Output, Row, Summary, dims

# Family -> words, one of which is in the lower-case kind; the first family that fits holds.
FAMILIES = {
    "output": ("detection", "yolo", "region", "priorbox", "proposal", "softmax", "argmax"),
    "shape": ("reshape", "shuffle", "tile", "reorg", "im2col", "expand", "batchreindex"),
    "pool": ("pool", "spp", "upsample", "interp", "resize"),
    "weighted": ("conv", "depthwise", "innerproduct", "embed", "lstm", "rnn"),
    "norm": ("norm", "bn", "lrn", "mvn", "scale", "bias", "axpy"),
    "join": ("concat", "slice", "split", "eltwise", "sum", "prod", "crop", "gather", "max"),
    "move": ("flatten", "permute", "transpose", "reverse", "copy", "filter"),
    "number": ("quantize",),
    "data": ("input", "constant", "data", "parameter"),
    "function": (
        *(
            "relu",
            "elu",
            "sigmoid",
            "tanh",
            "power",
            "exp",
            "log",
            "abs",
            "bnll",
            "clip",
            "dropout",
        ),
        *("threshold", "swish", "mish", "lookup", "unary", "identity"),
    ),
}


@dataclass(frozen=True)
class Part:
    """A coloured band: a layer's type. `note` is what a reader sees who asks for more."""

    kind: str
    family: str
    note: str


@dataclass
class Box:
    """A layer, and those that work in place on what it makes."""

    name: str
    detail: str
    parts: list[Part]
    problem: bool = False


@dataclass
class Wire:
    """A value from the box that makes it to those that read it."""

    source: int
    label: str
    targets: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    """Boxes in the order of execution; wires only go forward."""

    title: str
    boxes: Sequence[Box]
    wires: Sequence[Wire]


def draw(summary: Summary) -> Drawing:
    """The boxes and wires of a network. Layers that work in place stand in the box of the layer
    before them."""
    boxes: list[Box] = []
    wires: dict[str, Wire] = {}  # by the value's name
    for name, shape in summary.inputs.items():
        wires[name] = Wire(len(boxes), dims(shape))
        boxes.append(Box(name, "", [Part("Input", "data", f"{name} {dims(shape)}")]))
    outputs: dict[int, int] = defaultdict(int)
    for row in summary.rows:
        host = wires.get(row.inputs[0]) if row.in_place and len(row.inputs) == 1 else None
        if host is not None and outputs[host.source] == 1 and row.problem is None:
            boxes[host.source].parts.append(_part(row))
            host.label = dims(row.outputs[0].shape)
            wires[row.outputs[0].name] = host
            continue
        for name in dict.fromkeys(row.inputs):
            if name in wires:
                wires[name].targets.append(len(boxes))
        outputs[len(boxes)] = len(row.outputs)
        for output in row.outputs:
            wires[output.name] = Wire(len(boxes), dims(output.shape))
        boxes.append(Box(row.name, row.detail, [_part(row)], row.problem is not None))
    unique = {id(wire): wire for wire in wires.values()}
    for name, shape in summary.outputs.items():
        for source in summary.sources[name]:
            if source in wires:
                wires[source].targets.append(len(boxes))
        boxes.append(Box(name, "", [Part("Output", "data", f"{name} {dims(shape)}")]))
    return Drawing(summary.name, boxes, list(unique.values()))


def family(kind: str) -> str:
    """The family of a layer type, which decides its colour."""
    lower = kind.lower()
    for name, words in FAMILIES.items():
        if any(word in lower for word in words):
            return name
    return "other"


def _part(row: Row) -> Part:
    return Part(row.kind, family(row.kind), _note(row))


def _note(row: Row) -> str:
    lines = [row.name, f"{row.kind} {row.detail}".strip()]
    lines += [_said(output) for output in row.outputs]
    if row.macs:
        lines.append(f"{row.macs:,} multiply-accumulates")
    if row.parameters:
        lines.append(f"{row.parameters:,} parameters")
    if row.problem:
        lines.append(row.problem)
    return "\n".join(lines)


def _said(output: Output) -> str:
    return f"{output.name} {dims(output.shape)} {output.dtype}"
