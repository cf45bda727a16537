"""Lower the layers of a wired net to the operators of the graph, one reader a layer type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demitasse.converter.caffe.fillers import fill, has_meaning
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

# Fields of a layer that do not belong to its type.
COMMON = {"name", "type", "bottom", "top", "phase", "include", "exclude", "param", "blobs"}
COMMON |= {"loss_weight", "loss_param", "propagate_down"}


MAX_COUNT = 2**31 - 1

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
        similar = self.store.similar(layer.name)
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
        shapes = infer_node(node, [self.tensors[name].shape for name in node.inputs])
        self.nodes.append(node)
        for name, shape in zip(node.outputs, shapes, strict=True):
            check_size(shape, f"blob {name}")
            self.tensors[name] = Tensor(name, shape)


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
                wanted = allowed if isinstance(allowed, int) else f"at least {allowed.start}"
                raise ParseError(f"{self.layer.type} takes {wanted} {word}(s), found {found}")

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
        meaning. All or nothing: without one of them the result is empty, and with a weight file
        that is an error. Raises WeightsError where number or shapes differ from what is expected.
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
                gaps[key] = blob
        if not all(has_meaning(blob.filler) for blob in gaps.values()):
            self._builder.missing(self.layer)
            return {}
        if gaps and self._builder.options.weights is not None:
            self.remark(f"no weights in {self._file}: what the text's filler says is taken")
        made = {key: fill(blob.filler, blob.shape) for key, blob in gaps.items() if blob.filler}
        return {key: found[key] if key in found else made[key] for key in expected}

    def fit(self, array: np.ndarray, shape: Shape, key: str) -> np.ndarray:
        """The array in the expected shape; axes of size 1 may differ, as in legacy files."""
        if [d for d in array.shape if d != 1] != [d for d in shape if d != 1]:
            raise WeightsError(
                f"{key} has shape {array.shape} in {self._file}, expected {shape}",
                remedy="check that prototxt and caffemodel belong together",
            )
        return array.reshape(shape)

    def finish(self) -> None:
        """Check that the reader did its work, and report the fields that it did not ask for."""
        for top in self.tops:
            if top not in self._builder.tensors:
                raise UnsupportedError(f"the reader of {self.layer.type} does not make top '{top}'")
        for path, line, note in self._unknown():
            self._builder.problems.remark(
                path, line=line, layer=self.layer.name, kind=self.layer.type, note=note
            )

    def _unknown(self) -> Iterator[tuple[str, int, str]]:
        known = COMMON | {params.name for params in self._params}
        for field in self.layer.message.fields:
            if field.name not in known:
                note = UNNAMED if field.name[0] == "#" else ""
                yield f"unknown field {field.name} is ignored", field.line, note
        for params in self._params:
            for path, field in params.unread():
                note = UNNAMED if field.name[0] == "#" else "it may change the result"
                yield f"unknown field {path} is ignored", field.line, note
            for path, field in params.repeated():
                yield f"field {path} is given twice, the last one holds", field.line, ""

    def _shared(self, index: int, stored: tuple[np.ndarray, ...]) -> np.ndarray | None:
        """Blob `index`: that of the first layer which names it, else this layer's own."""
        name = self.layer.params[index] if index < len(self.layer.params) else ""
        own = stored[index] if index < len(stored) else None
        if not name:
            return own
        if name not in self._builder.shared and own is not None:
            self._builder.shared[name] = own
        return self._builder.shared.get(name)

    @property
    def _file(self) -> str:
        path = self._builder.options.weights
        return "the weights" if path is None else path.name
