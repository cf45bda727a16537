"""Load a Caffe network: prototxt and caffemodel to a graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from demitasse.converter.caffe.binary import Network, read_network, without_splits
from demitasse.converter.caffe.filter import net_state, takes_part
from demitasse.converter.caffe.lower import MAX_COUNT, Builder, Options
from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.registry import Entry, readers
from demitasse.converter.caffe.text import Message, read_prototxt
from demitasse.converter.caffe.unsupported import refusal
from demitasse.converter.caffe.upgrade import Layer, upgrade
from demitasse.converter.caffe.weights import Store, read_weights
from demitasse.converter.caffe.wiring import Step, Value, Wiring, drop_labels, select, wire
from demitasse.converter.graph import Graph, Shape
from demitasse.converter.ops.base import count
from demitasse.errors import DemitasseError, ParseError, ShapeError, UnsupportedError
from demitasse.protos.dialect import DIALECTS

PathName = str | PathLike[str]
NET_FIELDS = {"name", "layer", "layers", "input", "input_dim", "input_shape", "state"}
NET_FIELDS |= {"force_backward", "debug_info"}  # no effect on inference
MAX_AXES = 32  # Caffe's

# Of a solver: nets written into it, files that hold nets, and what else tells it.
SOLVER_NETS = ("test_net_param", "net_param", "train_net_param")
SOLVER_FILES = ("net", "test_net", "train_net")
SOLVER_FIELDS = {
    "base_lr",
    "lr_policy",
    "max_iter",
    "solver_mode",
    "snapshot_prefix",
    "solver_type",
}


@dataclass(frozen=True)
class Reading:
    """A network as far as it could be read, and what is wrong with it."""

    graph: Graph
    wiring: Wiring
    builder: Builder
    problems: Problems


def load_caffe(
    prototxt: PathName,
    caffemodel: PathName | None = None,
    input_shapes: Mapping[str, Iterable[int]] | None = None,
    outputs: Iterable[str] | None = None,
    plugins: Iterable[PathName] = (),
    phase: str = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    dialect: str | None = None,
    strict: bool = False,
    random_weights: int | None = None,
) -> Graph:
    """Read a network as Caffe would, unfolded: one or more nodes for each layer.

    Args:
        prototxt: the text, of any generation; a training net becomes its deployed form. A binary
            caffemodel that stands alone tells the net itself.
        caffemodel: the weights, binary or HDF5. Without them nodes have empty weights, except
            where the text's fillers are constant or bilinear.
        input_shapes: shapes by input name, in place of those that the text gives.
        outputs: blobs to compute, `name` or `name@layer` (one may stand alone); all that nobody
            reads by default.
        plugins: Python files that register readers with `@caffe_layer`.
        phase, level, stages: the state that include and exclude rules are matched against.
        dialect: the fork that the net was made for, where a layer type has several meanings. It
            also gives the fields of a caffemodel alone their names; guessed if None.
        strict: take remarks (unknown fields, ...) for errors. Else they are DemitasseWarnings.
        random_weights: a seed. Blobs that no file gives are drawn as the text's fillers say, each
            layer's by itself; without a filler as suits (msra, BatchNorm by the size of its input),
            and smaller where activations would grow out of bounds.

    Raises:
        DemitasseError: everything that is wrong with the input, in one error; ParseError,
            UnsupportedError, ShapeError or WeightsError where it is of one kind.
    """
    reading = read_caffe(
        prototxt,
        caffemodel,
        input_shapes=input_shapes,
        outputs=outputs,
        plugins=plugins,
        phase=phase,
        level=level,
        stages=stages,
        dialect=dialect,
        strict=strict,
        random_weights=random_weights,
    )
    reading.problems.raise_all()
    return reading.graph


def read_caffe(
    prototxt: PathName,
    caffemodel: PathName | None,
    *,
    input_shapes: Mapping[str, Iterable[int]] | None,
    outputs: Iterable[str] | None,
    plugins: Iterable[PathName],
    phase: str,
    level: int,
    stages: Iterable[str],
    dialect: str | None,
    strict: bool,
    random_weights: int | None = None,
) -> Reading:
    """As `load_caffe`, but what is wrong with single layers is in `problems`, not raised."""
    path = Path(prototxt)
    if dialect is not None and dialect not in DIALECTS:
        raise DemitasseError(
            f"unknown dialect '{dialect}'", remedy=f"use one of {', '.join(DIALECTS)}"
        )
    known = readers([Path(plugin) for plugin in plugins])
    problems = Problems(path, strict)
    network = _network(path, caffemodel, dialect)
    text = _net(network.message, path)
    if network.guess:
        problems.remark(network.guess, line=0, note="choose another with --dialect")
    layers = _layers(text, problems, phase, level, tuple(stages))
    if text.all("layers"):
        layers = [_with_known_type(layer, known) for layer in layers]
    wiring = wire(without_splits(layers) if network.binary else layers, problems)
    if outputs is None:
        drop_labels(wiring, lambda layer: layer.type in known and known[layer.type].weighted)
    else:
        with problems.collect():
            select(wiring, [outputs] if isinstance(outputs, str) else outputs)
    _refuse_unknown_types(wiring, known, problems)
    if not (wiring.outputs or problems.errors):
        remedy = "take a blob that is there as the output, with --outputs"
        problems.add(ParseError("a net without outputs", remedy=remedy))
    weights = path if network.binary else None if caffemodel is None else Path(caffemodel)
    store = Store([] if weights is None else read_weights(weights))
    shapes = _input_shapes(wiring, input_shapes or {}, store, problems)
    builder = Builder(
        known, store, Options(phase, network.dialect, weights, random_weights), problems
    )
    builder.build(wiring, shapes)
    return Reading(_graph(text, wiring, builder), wiring, builder, problems)


def _network(path: Path, caffemodel: PathName | None, dialect: str | None) -> Network:
    """What the first file says. Only where it stands alone can it be a caffemodel."""
    if caffemodel is None:
        return read_network(path, dialect)
    return Network(read_prototxt(path), dialect)


def _layers(
    text: Message,
    problems: Problems,
    phase: str,
    level: int,
    stages: tuple[str, ...],
) -> list[Layer]:
    for field in text.fields:
        if field.name not in NET_FIELDS:
            problems.remark(f"unknown field {field.name} is ignored", line=field.line)
        elif field.name in ("force_backward", "debug_info"):
            with problems.collect(line=field.line):
                field.boolean()
    state = net_state(Message(), phase, level, stages)
    with problems.collect():
        state = net_state(text, phase, level, stages)
        written = (text.merged("state") or Message()).last("level")
        if written is not None and written.integer() != level:
            message = f"level {written.integer()} in the text is not used, as in Caffe"
            problems.remark(message, line=written.line, note="--level sets it")
    kept = []
    for layer in upgrade(text, problems):
        with problems.collect(layer.name, layer.line):
            if takes_part(layer, state):
                kept.append(layer)
                _check_counts(layer)
    return kept


def _check_counts(layer: Layer) -> None:
    """Raise ParseError for what training reads, once for each top or bottom, in another number."""
    tops = layer.tops
    if layer.type.endswith("Loss"):  # has a top, written or not
        tops = tops or layer.bottoms[:1]
    for name, blobs in (("loss_weight", tops), ("propagate_down", layer.bottoms)):
        fields = layer.message.all(name)
        if fields and len(fields) != len(blobs):
            message = f"{len(fields)} times {name}, expected {len(blobs)}"
            raise ParseError(message, line=fields[0].line)


def _with_known_type(layer: Layer, known: Iterable[str]) -> Layer:
    """A V1 layer whose type only forks have in their enum: `UPSAMPLE`, `ROI_POOLING`."""
    word = layer.type.replace("_", "").lower()
    names = [name for name in known if name.lower() == word]
    return layer if layer.type in names or not names else replace(layer, type=names[0])


def _net(text: Message, path: Path) -> Message:
    """The net of a text; where that is a solver, the one inside. Raises ParseError naming the file
    where a solver's net is."""
    if text.all("layer") or text.all("layers"):
        return text
    for name in SOLVER_NETS:
        if inside := text.merged(name):
            return inside
    for name in SOLVER_FILES:
        if net := text.last(name):
            raise ParseError(
                "a solver, which has no layers itself",
                file=path,
                line=net.line,
                remedy=f"give its net, {net.string()}",
            )
    solver = next((field for field in text.fields if field.name in SOLVER_FIELDS), None)
    if solver is not None:
        raise ParseError(
            "a solver, which has no layers", file=path, line=solver.line, remedy="give its net"
        )
    raise ParseError("a net without layers", file=path)


def _refuse_unknown_types(wiring: Wiring, known: Mapping[str, Entry], problems: Problems) -> None:
    """One error for each unknown type, naming its layers."""
    unknown: dict[str, list[Step]] = defaultdict(list)
    for step in wiring.steps:
        if step.layer.type not in known:
            unknown[step.layer.type].append(step)
    for steps in unknown.values():
        layers = [step.layer for step in steps]
        made = [value.blob for value in steps[0].bottoms if value not in wiring.inputs]
        names = ", ".join(layer.name for layer in layers[:5])
        more = f" and {len(layers) - 5} more" if len(layers) > 5 else ""
        what, remedy = refusal(layers[0], made, known)
        problems.add(
            UnsupportedError(
                f"{what} (layer{'s' if len(layers) > 1 else ''} {names}{more})", remedy=remedy
            ),
            line=layers[0].line,
        )


def _input_shapes(
    wiring: Wiring, given: Mapping[str, Iterable[int]], store: Store, problems: Problems
) -> dict[str, Shape]:
    """The shape of each input: the user's, else the text's."""
    shapes: dict[str, Shape] = {}
    names = [value.blob for value in wiring.inputs]
    for name in given:
        if name not in names:
            problems.add(
                ShapeError(
                    f"no input '{name}' to give a shape to",
                    remedy=f"the inputs are {', '.join(names) or 'none'}",
                )
            )
    for value in wiring.inputs:
        written, line = (value.source.shape, value.source.line) if value.source else (None, None)
        shape = tuple(map(int, given[value.blob])) if value.blob in given else written
        if shape is None:
            if not problems.blames(value.maker):
                problems.add(_missing_shape(value, _channels(value, wiring, store)), line=line)
        elif not 0 < len(shape) <= MAX_AXES or min(shape) < 1 or count(shape) > MAX_COUNT:
            error = ShapeError(f"input '{value.blob}' cannot have shape {shape}")
            problems.add(error, value.maker, line)
        else:
            shapes[value.tensor] = shape
    return shapes


def _channels(value: Value, wiring: Wiring, store: Store) -> int:
    """As many as the input's first convolution has weights for; 3 where nothing tells."""
    for step in wiring.steps:
        if value in step.bottoms and step.layer.type == "Convolution":
            weight = next(iter(store.shapes(step.layer.name)), ())
            return weight[1] if len(weight) == 4 else 3
    return 3


def _missing_shape(value: Value, channels: int) -> ShapeError:
    crop = value.source.crop_size if value.source else 0
    size = f"{crop},{crop}" if crop else "H,W"
    return ShapeError(
        f"input '{value.blob}' has no shape",
        layer=value.maker,
        remedy=f"give it with --input-shape {value.blob}=1,{channels},{size}",
    )


def _name(text: Message, problems: Problems) -> str:
    names, found = text.all("name"), ""
    with problems.collect():
        if len(names) > 1:
            raise ParseError("name is given twice", line=names[1].line)
        found = names[0].string() if names else ""
    return found


def _graph(text: Message, wiring: Wiring, builder: Builder) -> Graph:
    alive = [value for value in wiring.values() if value.tensor in builder.tensors]
    blobs = {value.key: value.tensor for value in alive}
    for blob, value in wiring.current.items():
        if value.tensor in builder.tensors:
            blobs[blob] = value.tensor
    return Graph(
        nodes=tuple(builder.nodes),
        tensors=builder.tensors,
        inputs=tuple(v.tensor for v in wiring.inputs if v.tensor in builder.tensors),
        outputs=tuple(v.tensor for v in wiring.outputs if v.tensor in builder.tensors),
        blobs=blobs,
        name=_name(text, builder.problems),
    )
