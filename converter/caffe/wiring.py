"""Who reads whose blob: versions of blobs written in place, names, outputs.

A layer whose top repeats its bottom writes the blob anew; whoever reads the name later gets the
new value. Each value becomes a tensor of its own. The last value of blob `conv1` is the tensor
`conv1`, an earlier one `conv1@layer` after the layer that made it; only a net input keeps its
plain name whatever is done to it later.

Some layers only give their bottom's memory another name or shape. Where another layer then works in
place on that, Caffe's blob has changed under both names, and so it has here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from demitasse.converter.caffe import deploy
from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.text import Message
from demitasse.converter.caffe.upgrade import Layer
from demitasse.errors import DemitasseError, ParseError

# Layers whose tops are the bottom's memory; Concat and Slice only where there is nothing to do.
SHARING = {"Split", "Flatten", "Reshape"}
SHARED = "value of shared memory"  # no type of a text, and none of Caffe's


@dataclass(eq=False)
class Memory:
    """What a blob stands in. `written` counts the layers that worked in place on it, `last` is what
    the latest of them made."""

    written: int = 0
    last: Value | None = None


@dataclass(eq=False)
class Value:
    """One value of a blob, made by the node `maker`; `tensor` is set when all are known. `written`
    is its memory's when the value was made: a larger number there means that it is gone."""

    blob: str
    maker: str
    source: deploy.Source | None = None
    readers: int = 0
    dropped_readers: int = 0
    silenced: bool = False
    tensor: str = ""
    memory: Memory = field(default_factory=Memory)
    written: int = 0

    @property
    def key(self) -> str:
        return f"{self.blob}@{self.maker}"


@dataclass(frozen=True)
class Step:
    """A layer with the values that it reads and makes. `name` is unique in the net."""

    name: str
    layer: Layer
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...]


@dataclass
class Wiring:
    """The net's structure, before any layer is understood."""

    inputs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    current: dict[str, Value] = field(default_factory=dict)  # the last value of each blob

    def values(self) -> list[Value]:
        return [*self.inputs, *(value for step in self.steps for value in step.tops)]


def wire(layers: Sequence[Layer], problems: Problems) -> Wiring:
    """Connect the layers in file order. Refuses what Caffe refuses: an unknown bottom, a top that
    already exists, an in-place layer on a blob that another layer reads too."""
    wiring = Wiring()
    layers = deploy.predictions(layers, problems)
    names = Names(layer.name for layer in layers)
    constants = deploy.constant_data(layers)
    for layer in layers:
        with problems.collect(layer.name, layer.line):
            _connect(wiring, layer, names, problems, layer in constants)
            for path, field in deploy.unknown_fields(layer):
                message = f"unknown field {path} is ignored"
                problems.remark(message, line=field.line, layer=layer.name, kind=layer.type)
        for blob in layer.tops:  # after an error: its readers are not to blame
            if not deploy.is_sink(layer):
                wiring.current.setdefault(blob, Value(blob, layer.name))
    wiring.inputs = [value for value in wiring.inputs if not _is_label(value)]
    unread = [
        _as_it_is(wiring, value, names)
        for value in [*wiring.current.values()]
        if value.readers == 0 and not value.silenced and not _is_label(value)
    ]
    wiring.outputs = sorted(unread, key=lambda value: value.blob.encode())  # Caffe's order
    _name_tensors(wiring)
    return wiring


def select(wiring: Wiring, keys: Iterable[str]) -> None:
    """Make the named blobs (`name` or `name@layer`) the outputs and drop what they do not need.

    Raises DemitasseError listing what there is.
    """
    known = {value.key: value for value in wiring.values()} | wiring.current
    chosen = []
    for key in keys:
        if key not in known:
            near = get_close_matches(key, known, 3) or sorted(wiring.current)[:20]
            raise DemitasseError(
                f"no blob '{key}' to take as output", remedy=f"there is {', '.join(near)}, ..."
            )
        chosen.append(known[key])
    _keep(wiring, list(dict.fromkeys(chosen)))


def drop_labels(wiring: Wiring, weighted: Callable[[Layer], bool]) -> None:
    """Drop what only prepares labels for a loss: between it and the data no layer has weights."""
    learned: set[Value] = set()
    data = {value for value in wiring.inputs if value.source and value.source.data_layer}
    for step in wiring.steps:
        if weighted(step.layer) or learned.intersection(step.bottoms):
            learned.update(step.tops)
        elif data.issuperset(step.bottoms):
            data.update(step.tops)
    kept = [value for value in wiring.outputs if not (value in data and value.dropped_readers)]
    if learned.intersection(kept) and len(kept) < len(wiring.outputs):
        _keep(wiring, kept)


def _keep(wiring: Wiring, outputs: list[Value]) -> None:
    """Make these the outputs and drop what they do not need."""
    needed = set(outputs)
    for step in reversed(wiring.steps):
        if needed.intersection(step.tops):
            needed.update(step.bottoms)
    wiring.outputs = outputs
    wiring.steps = [step for step in wiring.steps if needed.intersection(step.tops)]
    wiring.inputs = [value for value in wiring.inputs if value in needed]


class Names:
    """Gives every name once: a repeated `relu` becomes `relu_1`."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved = set(reserved)
        self._used: set[str] = set()
        self._counts: dict[str, int] = {}  # the last number that each name was given

    def unique(self, name: str) -> str:
        result, count = name, self._counts.get(name, 0)
        while result in self._used or (count and result in self._reserved):
            count += 1
            result = f"{name}_{count}"
        self._used.add(result)
        self._counts[name] = count
        return result


def _connect(
    wiring: Wiring, layer: Layer, names: Names, problems: Problems, constant: bool
) -> None:
    bottoms = []
    for index, blob in enumerate(layer.bottoms):
        if blob not in wiring.current:
            raise ParseError(f"unknown bottom blob '{blob}' (bottom {index})")
        old = wiring.current[blob]
        value = _as_it_is(wiring, old, names)
        if value is not old:
            message = f"reads '{blob}', whose memory layer {value.maker} has written anew"
            problems.remark(message, line=layer.line, layer=layer.name)
        bottoms.append(value)
    if layer.type == "Silence" or deploy.is_sink(layer):
        if layer.type == "Silence" and layer.tops:
            raise ParseError(f"Silence takes 0 tops, found {len(layer.tops)}")
        for value in bottoms:
            value.dropped_readers += 1
            value.silenced |= layer.type == "Silence"
        return
    name = names.unique(layer.name or next(iter(layer.tops), layer.type.lower()))
    for value in bottoms:
        value.readers += 1
    origins = deploy.sources(layer) if deploy.is_source(layer) else [None] * len(layer.tops)
    tops = []
    for index, (blob, source) in enumerate(zip(layer.tops, origins, strict=True)):
        in_place = index < len(bottoms) and layer.bottoms[index] == blob
        if blob in wiring.current and (not in_place or _is_shared(bottoms[index])):
            reason = "is read by another layer too" if in_place else "exists already"
            raise ParseError(f"top blob '{blob}' is produced twice: it {reason}")
        value = Value(blob, name, source)
        if bottoms and (in_place or _shares(layer)):
            value.memory = bottoms[index if in_place else 0].memory
            if in_place and layer.type != "Dropout":  # which leaves it as it is
                value.memory.written += 1
                value.memory.last = value
            value.written = value.memory.written
        wiring.current[blob] = value
        tops.append(value)
    if deploy.is_source(layer) and not constant:
        wiring.inputs += tops
    else:
        wiring.steps.append(Step(name, layer, tuple(bottoms), tuple(tops)))


def _shares(layer: Layer) -> bool:
    """Whether the tops stand in the first bottom's memory."""
    single = len(layer.bottoms) == 1 == len(layer.tops)
    return layer.type in SHARING or (layer.type in ("Concat", "Slice") and single)


def _as_it_is(wiring: Wiring, value: Value, names: Names) -> Value:
    """What the value's memory holds now, in the value's shape: itself, or a new value of its blob,
    as made by the layer that was the last to write there."""
    last = value.memory.last
    if last is None or value.written == value.memory.written:
        return value
    now = replace(value, maker=last.maker, source=None, written=value.memory.written)
    name = f"{last.maker}/{value.blob}"
    layer = Layer(name, SHARED, (last.blob, value.blob), (value.blob,), (), Message())
    wiring.steps.append(Step(names.unique(name), layer, (last, value), (now,)))
    wiring.current[value.blob] = now
    return now


def _is_shared(value: Value) -> bool:
    """Whether others than the last reader read it; a layer that is dropped counts too."""
    return value.readers + value.dropped_readers > 1


def _is_label(value: Value) -> bool:
    """An input that feeds nothing but what was dropped."""
    source = value.source
    return (
        source is not None
        and value.readers == 0
        and (source.data_layer or value.dropped_readers > 0)
    )


def _name_tensors(wiring: Wiring) -> None:
    values = wiring.values()
    inputs = {value.blob for value in wiring.inputs}
    names = Names(wiring.current)
    for value in values:
        plain = value in wiring.inputs or (
            wiring.current[value.blob] is value and value.blob not in inputs
        )
        if plain:
            value.tensor = names.unique(value.blob)
    for value in values:
        if not value.tensor:
            value.tensor = names.unique(value.key)
