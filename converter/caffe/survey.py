"""Look at a Caffe network layer by layer, as far as it can be read: for `inspect`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from demitasse.converter.caffe.reader import PathName, Reading, read_caffe
from demitasse.converter.caffe.wiring import Step, Value
from demitasse.converter.graph import Graph, Shape
from demitasse.converter.ops.base import count
from demitasse.converter.passes import single_sample
from demitasse.converter.summary import Output, Row, Summary, macs_of, window
from demitasse.errors import DemitasseError, UnsupportedError

Key = tuple[str, int] | str
UNSUPPORTED = "unsupported"  # the problem of a layer whose type nobody reads


@dataclass(frozen=True)
class Survey:
    """A network's layers, and everything that is wrong with it.

    unsupported: the layers that we cannot read, by their Caffe type.
    """

    summary: Summary
    problems: tuple[DemitasseError, ...]
    unsupported: dict[str, tuple[str, ...]]


def survey_caffe(prototxt: PathName, caffemodel: PathName | None = None, **how: Any) -> Survey:
    """Every layer of a network with what is known of it, in file order.

    Takes what `load_caffe` takes. What is wrong with layers does not stop it: theirs is a row with
    a `problem`, and behind them shapes are None. One sample, where the layers allow it.

    Raises DemitasseError where there is nothing to show: unreadable files, a text that is none.
    """
    reading = read_caffe(prototxt, caffemodel, **how)
    problems = tuple(reading.problems.everything())
    graph = reading.graph if problems else single_sample(reading.graph)
    rows = tuple(_row(step, reading, graph) for step in reading.wiring.steps)
    unsupported = defaultdict(list)
    for step, row in zip(reading.wiring.steps, rows, strict=True):
        if _is_unsupported(step, reading):
            unsupported[row.kind].append(row.name)
    if not problems:
        reading.problems.warn()
    summary = Summary(
        rows,
        _shapes(reading.wiring.inputs, graph),
        _shapes(reading.wiring.outputs, graph),
        sum(row.macs for row in rows),
        sum(_blobs(reading).values()),
        {value.blob: (value.tensor,) for value in reading.wiring.outputs},
        graph.name,
    )
    return Survey(summary, problems, {kind: tuple(names) for kind, names in unsupported.items()})


def _row(step: Step, reading: Reading, graph: Graph) -> Row:
    layer, made = step.layer, reading.builder.made.get(step.name)
    nodes = [] if made is None else made.nodes
    return Row(
        name=step.name,
        kind=layer.type or "no type",
        detail=next(filter(None, (window(node.op) for node in nodes)), ""),
        inputs=tuple(value.tensor for value in step.bottoms),
        outputs=tuple(_output(value, graph) for value in step.tops),
        macs=macs_of(graph, nodes),
        parameters=sum(_blobs(reading, step).values()),
        problem=_problem(step, reading),
        in_place=layer.bottoms[:1] == layer.tops,
    )


def _output(value: Value, graph: Graph) -> Output:
    tensor = graph.tensors.get(value.tensor)
    return Output(value.tensor, tensor.shape if tensor else None)


def _shapes(values: list[Value], graph: Graph) -> dict[str, Shape | None]:
    return {value.blob: _output(value, graph).shape for value in values}


def _blobs(reading: Reading, only: Step | None = None) -> dict[Key, int]:
    """Values in each parameter of the net (or of one layer); those that are shared have one key."""
    found: dict[Key, int] = {}
    for step in reading.wiring.steps if only is None else [only]:
        for index, shape in enumerate(_blob_shapes(step, reading)):
            shared = "".join(step.layer.params[index : index + 1])
            found.setdefault(shared or (step.name, index), count(shape))
    return found


def _blob_shapes(step: Step, reading: Reading) -> list[Shape]:
    """What the layer expects, else what the weights hold for it. How many samples a BatchNorm has
    seen, its last blob, is no parameter."""
    expected = reading.builder.expected.get(step.name)
    if expected is not None:
        return [shape for key, shape in expected.items() if key != "factor"]
    stored = reading.builder.store.shapes(step.layer.name)
    return stored[:2] if step.layer.type == "BatchNorm" else stored


def _is_unsupported(step: Step, reading: Reading) -> bool:
    return step.layer.type not in reading.builder.readers or any(
        isinstance(error, UnsupportedError) for error in _errors(step, reading)
    )


def _problem(step: Step, reading: Reading) -> str | None:
    if step.layer.type not in reading.builder.readers:
        return UNSUPPORTED
    return next((error.message for error in _errors(step, reading)), None)


def _errors(step: Step, reading: Reading) -> list[DemitasseError]:
    made = reading.builder.made.get(step.name)
    return [] if made is None else made.errors
