"""Lower the layers of a wired net to the operators of the graph, one reader a layer type."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demitasse.converter.caffe.fillers import check, fill, has_meaning
from demitasse.converter.caffe.magnitudes import LARGEST, Magnitudes
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.registry import Entry
from demitasse.converter.caffe.text import Message
from demitasse.converter.caffe.upgrade import Layer
from demitasse.converter.caffe.weights import Store
from demitasse.converter.caffe.wiring import Names, Step, Wiring
from demitasse.converter.graph import Arrays, Node, Shape, Tensor, infer_node
from demitasse.converter.ops import Operator
from demitasse.converter.ops.base import count
from demitasse.errors import (
    DemitasseError,
    ParseError,
    ShapeError,
    UnsupportedError,
    WeightsError,
)
from demitasse.protos.dialect import dialect

# Fields of a layer that do not belong to its type.
COMMON = {"name", "type", "bottom", "top", "phase", "include", "exclude", "param", "blobs"}
COMMON |= {"loss_weight", "loss_param", "propagate_down"}
COMMON |= {"quantization_param"}  # of forks: not part of the float network, but a table of scales


MAX_COUNT = 2**31 - 1
MAX_HINTS = 20  # at similar names, each of which is searched among all
# Fields of the messages that every layer may have.
RULE = {"phase", "min_level", "max_level", "stage", "not_stage"}
NESTED = {
    "param": {"name", "lr_mult", "decay_mult", "share_mode"},
    "include": RULE,
    "exclude": RULE,
}
DOUBT = "it may change the result"
MANY = 1000  # bottoms or tops: no limit of the layer's

# Of a number in a caffemodel alone.
UNNAMED = "it may change the result, another --dialect may know it"


@dataclass(frozen=True)
class Blob:
    """What a layer expects of one of its blobs: its shape, and the filler that the text gives."""

    shape: Shape
    filler: Message | None = None


@dataclass(frozen=True)
class Options:
    """How the net is read."""

    phase: str = "TEST"
    dialect: str | None = None
    weights: Path | None = None
    random_weights: int | None = None  # a seed, where weights that no file gives are drawn


@dataclass(frozen=True)
class Made:
    """What came of a layer."""

    nodes: list[Node]
    errors: list[DemitasseError]


def check_size(shape: Shape, what: str) -> None:
    """Caffe counts elements in an int. Raises ShapeError beyond."""
    if count(shape) > MAX_COUNT:
        raise ShapeError(f"{what} of shape {shape} has more than {MAX_COUNT} elements")


class Builder:
    """Grows nodes and tensors, layer by layer."""

    def __init__(
        self, readers: Mapping[str, Entry], store: Store, options: Options, problems: Problems
    ) -> None:
        self.readers = readers
        self.store = store
        self.options = options
        self.problems = problems
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.shared: dict[str, np.ndarray] = {}
        self.made: dict[str, Made] = {}  # by the step's name
        self.expected: dict[str, dict[str, Shape]] = {}  # shapes of the blobs, likewise
        self.names = Names()
        self.magnitudes = Magnitudes()  # kept where weights are random
        self.hints = 0

    def build(self, wiring: Wiring, input_shapes: Mapping[str, Shape]) -> None:
        """Read every layer. What is wrong goes to `problems`; a layer whose bottoms have no shape
        because of that is passed over."""
        for name, shape in input_shapes.items():
            self.tensors[name] = Tensor(name, shape)
        self.names = Names(
            [step.name for step in wiring.steps] + [value.tensor for value in wiring.values()]
        )
        repeats = Counter(step.layer.name for step in wiring.steps)
        for step in wiring.steps:
            entry = self.readers.get(step.layer.type)
            if entry is None:
                continue
            if any(value.tensor not in self.tensors for value in step.bottoms):
                self._note_missing(step.layer, entry)
                continue
            context = Context(self, step, repeats[step.layer.name] > 1)
            nodes, errors = len(self.nodes), len(self.problems.errors)
            with self.problems.collect(step.layer.name, step.layer.line):
                entry.read(context)
                context.finish()
            self.made[step.name] = Made(self.nodes[nodes:], self.problems.errors[errors:])

    def missing(self, layer: Layer) -> None:
        """Report a layer without weights, if there is a file that should have them."""
        if self.options.weights is None:
            return
        self.hints += 1
        similar = self.store.similar(layer.name) if self.hints <= MAX_HINTS else None
        hint = f"; it has '{similar}'" if similar and similar != layer.name else ""
        self.problems.add(
            WeightsError(
                f"no weights in {self.options.weights.name}{hint}",
                remedy="check that prototxt and caffemodel belong together",
            ),
            layer.name,
            layer.line,
        )

    def _note_missing(self, layer: Layer, entry: Entry) -> None:
        """A layer that cannot be read for want of shapes; its missing weights can still be told."""
        params = [f.value for f in layer.message.fields if isinstance(f.value, Message)]
        filled = any(f.name.endswith("filler") for message in params for f in message.fields)
        if entry.weighted and not filled and not self.store.has(layer.name):
            self.missing(layer)

    def add(self, node: Node) -> None:
        """Append a node and infer its outputs. Raises ShapeError."""
        given = [self.tensors[name].shape for name in node.inputs]
        try:
            shapes = infer_node(node, given)
        except ShapeError as error:
            if len(given) > 1:
                pairs = zip(node.inputs, given, strict=True)
                error.message += f" (bottoms {', '.join(f'{name} {s}' for name, s in pairs)})"
            raise
        for name, shape in zip(node.outputs, shapes, strict=True):
            check_size(shape, f"blob {name}")
        self.nodes.append(node)
        if self.options.random_weights is not None:
            self.magnitudes.add(node)
        for name, shape in zip(node.outputs, shapes, strict=True):
            self.tensors[name] = Tensor(name, shape)


def _some(allowed: range | int, word: str) -> str:
    """`1 bottom`, `2 to 3 bottoms`, `at least 2 bottoms`."""
    if isinstance(allowed, int):
        return f"{allowed} {word}{'' if allowed == 1 else 's'}"
    if len(allowed) == 1:
        return _some(allowed.start, word)
    if allowed.stop > MANY:
        return f"at least {_some(allowed.start, word)}"
    return f"{allowed.start} to {_some(allowed.stop - 1, word)}"


class Context:
    """One layer as its reader sees it: its fields by name, its weights, and where nodes go."""

    def __init__(self, builder: Builder, step: Step, repeats: bool) -> None:
        self._builder = builder
        self._repeats = repeats
        self._params: list[Params] = []
        self._stored: tuple[np.ndarray, ...] | None = None
        self.name = step.name
        self.layer: Layer = step.layer
        self.bottoms = tuple(value.tensor for value in step.bottoms)
        self.tops = tuple(value.tensor for value in step.tops)
        self.shapes = tuple(builder.tensors[name].shape for name in self.bottoms)
        self.phase = builder.options.phase
        self.dialect = builder.options.dialect

    @property
    def shape(self) -> Shape:
        """The first bottom's shape."""
        return self.shapes[0]

    def params(self, name: str) -> Params:
        """The layer's message of this name, empty where it is absent."""
        if len(fields := self.layer.message.all(name)) > 1:
            raise ParseError(f"{name} is given twice", line=fields[1].line)
        params = Params(name, self.layer.param(name))
        self._params.append(params)
        return params

    def expect(self, *, bottoms: range | int = 1, tops: range | int = 1) -> None:
        """Raise ParseError unless the layer has this many bottoms and tops."""
        for found, allowed, word in (
            (len(self.bottoms), bottoms, "bottom"),
            (len(self.tops), tops, "top"),
        ):
            if found not in (range(allowed, allowed + 1) if isinstance(allowed, int) else allowed):
                raise ParseError(f"{self.layer.type} takes {_some(allowed, word)}, found {found}")

    def refuse_in_place(self) -> None:
        """Raise ParseError where a top is the first bottom, which Caffe cannot compute then."""
        if set(self.layer.bottoms[:1]).intersection(self.layer.tops):
            raise ParseError(
                f"{self.layer.type} cannot work in place", remedy="give its top another name"
            )

    def remark(self, message: str, note: str = "") -> None:
        """Say something about the layer that the user should know."""
        self._builder.problems.remark(
            message, line=self.layer.line, layer=self.layer.name, kind=self.layer.type, note=note
        )

    def emit(
        self,
        op: Operator,
        weights: Arrays | None = None,
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        """Add a node; without `inputs` and `outputs` it spans all bottoms and tops."""
        self._builder.add(
            Node(
                name=self._builder.names.unique(self.name),
                op=op,
                inputs=tuple(self.bottoms if inputs is None else inputs),
                outputs=tuple(self.tops if outputs is None else outputs),
                weights=weights or {},
                origin=(self.layer.name,),
            )
        )

    def chain(self, *ops: Operator, source: str | None = None, top: str | None = None) -> None:
        """Add operators without weights, each reading the one before, from `source` (the first
        bottom) to `top` (the first top)."""
        x = self.bottoms[0] if source is None else source
        for op in ops[:-1]:
            x = self.between(op, x)
        self.emit(ops[-1], inputs=[x], outputs=[self.tops[0] if top is None else top])

    def between(self, op: Operator, *inputs: str, **weights: np.ndarray) -> str:
        """Add a node whose result stays inside the layer; returns the tensor."""
        tensor = self.internal(type(op).__name__.lower())
        self.emit(op, weights, inputs=inputs, outputs=[tensor])
        return tensor

    def internal(self, suffix: str) -> str:
        """A tensor between two nodes of this layer."""
        return self._builder.names.unique(f"{self.name}/{suffix}")

    def shape_of(self, tensor: str) -> Shape:
        """The shape of a tensor that has been made."""
        return self._builder.tensors[tensor].shape

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The layer's blobs as they are stored; none where the file lacks the layer."""
        if self._stored is None:
            source = self._builder.store.take(self.layer.name, self._repeats)
            self._stored = () if source is None else source.arrays
        return self._stored

    def weights(self, **expected: Blob) -> dict[str, np.ndarray]:
        """The layer's blobs by the given names, which are in Caffe's order.

        Each comes from the file, from the layer it is shared with, or from a filler with a
        meaning; with a seed from any filler. All or nothing: without one of them the result is
        empty, and with a weight file that is an error. Raises WeightsError where number or shapes
        differ from what is expected, ParseError or ShapeError for a filler that Caffe refuses.
        """
        stored = self.arrays()
        self._builder.expected[self.name] = {key: blob.shape for key, blob in expected.items()}
        if stored and len(stored) != len(expected):
            raise WeightsError(
                f"expected {len(expected)} blobs ({', '.join(expected)}), found {len(stored)} "
                f"in {self._file}"
            )
        found: dict[str, np.ndarray] = {}
        gaps = {}
        for index, (key, blob) in enumerate(expected.items()):
            check_size(blob.shape, key)
            array = self._shared(index, stored)
            if array is not None:
                found[key] = self.fit(array, blob.shape, key)
            else:
                gaps[key] = index
                if blob.filler is not None:
                    check(blob.filler, blob.shape)
        seed = self._builder.options.random_weights
        if seed is None and not all(has_meaning(expected[key].filler) for key in gaps):
            self._builder.missing(self.layer)
            return {}
        if gaps and self._builder.options.weights is not None:
            self.remark(f"no weights in {self._file}: what the text's filler says is taken")
        for key, index in gaps.items():
            found[key] = self._filled(index, key, expected[key])
            self._share(index, found[key])
        return {key: found[key] for key in expected}

    def _filled(self, index: int, key: str, blob: Blob) -> np.ndarray:
        """What no file gives: by the filler, a generator for each blob. Matrices at random are
        drawn smaller where their input has grown large, as it does in deep residual nets."""
        size = self._builder.magnitudes[self.bottoms[0]] if self.bottoms else 1.0
        if key == "variance" and blob.filler is None:
            return np.full(blob.shape, size**2, np.float32)
        seed = self._builder.options.random_weights or 0
        rng = np.random.default_rng((seed, zlib.crc32(self.name.encode()), index))
        made = fill(blob.filler, blob.shape, key, rng)
        if size > LARGEST and len(blob.shape) > 1 and not has_meaning(blob.filler):
            made *= np.float32(LARGEST / size)
        return made

    def fit(self, array: np.ndarray, shape: Shape, key: str) -> np.ndarray:
        """The array in the expected shape; axes of size 1 may differ, as in legacy files."""
        if [d for d in array.shape if d != 1] != [d for d in shape if d != 1]:
            raise WeightsError(
                f"{key} has shape {array.shape} in {self._file}, expected {shape}",
                remedy="check that prototxt and caffemodel belong together",
            )
        return array.reshape(shape)

    def finish(self) -> None:
        """Check that the reader did its work, and report the fields that it did not ask for.

        Raises ParseError for what is given too often."""
        for top in self.tops:
            if top not in self._builder.tensors:
                raise UnsupportedError(f"the reader of {self.layer.type} does not make top '{top}'")
        for path, field in (pair for params in self._params for pair in params.repeated()):
            raise ParseError(f"{path} is given twice", line=field.line)
        blobs = len(self._builder.expected.get(self.name, self._stored or ()))
        if len(self.layer.params) > max(blobs, len(self._stored or ())):
            raise ParseError(
                f"{len(self.layer.params)} times param, but {self.layer.type} has {blobs} blobs"
            )
        for path, line, note in self._unknown():
            self._builder.problems.remark(
                path, line=line, layer=self.layer.name, kind=self.layer.type, note=note
            )

    def _unknown(self) -> Iterator[tuple[str, int, str]]:
        known = COMMON | {params.name for params in self._params}
        of_others = {member.name for member in dialect("bvlc").messages["LayerParameter"].values()}
        for field in self.layer.message.fields:
            if field.name in of_others - known:
                yield f"{field.name} has no effect on {self.layer.type}", field.line, ""
            elif field.name in NESTED and isinstance(field.value, Message):
                for inner in field.value.fields:
                    if inner.name not in NESTED[field.name]:
                        path = f"{field.name}.{inner.name}"
                        yield f"unknown field {path} is ignored", inner.line, DOUBT
            elif field.name not in known:
                note = UNNAMED if field.name[0] == "#" else DOUBT
                yield f"unknown field {field.name} is ignored", field.line, note
        for params in self._params:
            for path, field in params.unread():
                note = UNNAMED if field.name[0] == "#" else DOUBT
                yield f"unknown field {path} is ignored", field.line, note

    def _shared(self, index: int, stored: tuple[np.ndarray, ...]) -> np.ndarray | None:
        """Blob `index`: that of the first layer which names it, else this layer's own."""
        own = stored[index] if index < len(stored) else None
        if own is not None:
            self._share(index, own)
        return self._builder.shared.get(self._param(index), own)

    def _share(self, index: int, array: np.ndarray) -> None:
        """Make blob `index` that of every layer which gives it the same name, unless one has."""
        if name := self._param(index):
            self._builder.shared.setdefault(name, array)

    def _param(self, index: int) -> str:
        return self.layer.params[index] if index < len(self.layer.params) else ""

    @property
    def _file(self) -> str:
        path = self._builder.options.weights
        return "the weights" if path is None else path.name
