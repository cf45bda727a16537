"""Show what a model or a network consists of, and the memory it needs.

    demitasse inspect net.demi
    demitasse inspect deploy.prototxt net.caffemodel --svg net.svg

A prototxt alone is enough. What cannot be read in it is listed, all at once, beside what can; then
the exit status is 1.
"""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from demitasse.converter.caffe.survey import UNSUPPORTED, Survey, survey_caffe
from demitasse.converter.drawing.boxes import draw
from demitasse.converter.drawing.dot import dot
from demitasse.converter.drawing.svg import svg
from demitasse.converter.files import write_whole
from demitasse.converter.flat.format import MAGIC
from demitasse.converter.flat.read import ModelFile, read_model
from demitasse.converter.summary import Output, Summary, float_rows, precision, summarise_model
from demitasse.errors import DemitasseError
from demitasse.runtime.model import Model
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.report import peak, ports
from demitasse.tools.table import amount, dims, facts, plural, size, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .demi, or a network's prototxt or caffemodel")
    parser.add_argument("caffemodel", type=Path, nargs="?", help="the network's weights")
    drawing = parser.add_argument_group("drawing the graph")
    drawing.add_argument("--svg", metavar="FILE", type=Path, help="a picture for every browser")
    drawing.add_argument("--dot", metavar="FILE", type=Path, help="a text for Graphviz")
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    answer, summary = _model(options.file) if is_model(options.file) else _network(options)
    for path, write in ((options.svg, svg), (options.dot, dot)):
        if path is not None:
            write_whole(path, [write(draw(summary)).encode()])
    return answer


def is_model(path: Path) -> bool:
    """Whether a file claims to be a .demi, by its name or by its first bytes."""
    if path.suffix == ".demi" or not path.is_file():
        return path.suffix == ".demi"
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _network(options: Namespace) -> tuple[Answer, Summary]:
    survey = survey_caffe(options.file, options.caffemodel, **shared.how_to_read(options))
    summary = survey.summary
    blobs = sum(row.memory for row in summary.rows)
    weights = 4 * summary.parameters
    partial = "at least " if survey.problems else ""
    lines = [
        ("network", f"{options.file}: {plural(len(summary.rows), 'layer')}"),
        *ports(summary),
        ("work", f"{partial}{amount(summary.macs)} multiply-accumulates"),
        ("parameters", f"{partial}{summary.parameters:,} ({size(weights)} in float32)"),
        ("blobs", f"{partial}{size(blobs)} in all layers"),
        *_wrong(survey, options.file),
    ]
    data = {
        "file": options.file,
        "network": _network_data(summary),
        "memory": {"parameters": weights, "blobs": blobs},
        "unsupported": survey.unsupported,
        "problems": [_as_data(problem) for problem in survey.problems],
    }
    text = f"{_rows(summary, 'layer')}\n\n{facts(lines)}"
    return Answer(text, data, good=not survey.problems), summary


def _wrong(survey: Survey, file: Path) -> list[tuple[str, str]]:
    """The types that we cannot read, and everything else that is wrong, each with its place."""
    lines = []
    if survey.unsupported:
        kinds = (f"{kind}: {', '.join(names)}" for kind, names in survey.unsupported.items())
        lines.append(("unsupported", "\n".join(kinds)))
    problems = "\n".join(str(problem).removeprefix(f"{file}:") for problem in survey.problems)
    return [*lines, ("problems", problems)] if problems else lines


def _as_data(problem: DemitasseError) -> dict[str, Any]:
    keys = ("message", "layer", "file", "line", "remedy")
    return {key: getattr(problem, key) for key in keys}


def _model(path: Path) -> tuple[Answer, Summary]:
    file = read_model(path)
    memory = Model.open(path, kernels="generic").device_memory  # and it checks the file
    summary, floats = summarise_model(file), float_rows(file)
    bound = int(str(file.metadata.get("lower_bound", 0)))
    data: dict[str, Any] = {
        "file": path,
        "precision": precision(file),
        "float32": floats,
        "network": _network_data(summary),
        "memory": {
            "file": file.size,
            "arena": memory.arena,
            "lower_bound": bound,
            "persistent": memory.persistent,
            "peak": memory.arena + memory.persistent,
            "sections": file.sections,
        },
        "metadata": file.metadata,
    }
    lines = [
        ("model", f"{path}: {precision(file).upper()}, format {_version(file)}"),
        *ports(summary),
        ("work", f"{amount(summary.macs)} multiply-accumulates a run"),
        ("parameters", f"{summary.parameters:,}"),
        ("file", size(file.size)),
        ("memory", peak(memory.persistent, memory.arena, bound)),
        *_origin(file),
    ]
    if precision(file) != "fp32":
        said = f"{', '.join(floats)} ({plural(len(floats), 'operator')})" if floats else "nowhere"
        lines.insert(1, ("in float32", said))
    return Answer(f"{_rows(summary, 'operator')}\n\n{facts(lines)}", data), summary


def _rows(summary: Summary, what: str) -> str:
    """The table; the further outputs of a layer stand below its first."""
    headers = [what, "type", "output", "MACs", "parameters", "memory"]
    lines = []
    for row in summary.rows:
        cells = [row.name, f"{row.kind} {row.detail}".strip()]
        numbers = [
            amount(row.macs) if row.macs else "",
            f"{row.parameters:,}" if row.parameters else "",
        ]
        said = row.problem and ("unsupported" if row.problem == UNSUPPORTED else "see below")
        for output in row.outputs:
            memory = size(output.memory) if output.memory else ""
            lines.append([*cells, _shape(output), *numbers, said or memory])
            cells, numbers, said = ["", ""], ["", ""], ""
    return table(headers, lines, left=3)


def _shape(output: Output) -> str:
    return dims(output.shape) + (f" {output.dtype}" if output.dtype != "float32" else "")


def _network_data(summary: Summary) -> dict[str, Any]:
    data = dataclasses.asdict(summary)
    for row, given in zip(data["rows"], summary.rows, strict=True):
        row["memory"] = given.memory
    return data


def _version(file: ModelFile) -> str:
    return ".".join(map(str, file.version))


def _origin(file: ModelFile) -> list[tuple[str, str]]:
    said = {key: file.metadata.get(key) for key in ("tool", "method", "sources")}
    lines = []
    if said["tool"]:
        lines.append(("made by", str(said["tool"])))
    if isinstance(said["sources"], dict) and said["sources"]:
        lines.append(("made from", "\n".join(said["sources"])))
    return lines
