"""Show what a model or a network consists of, and the memory it needs.

    demitasse inspect net.demi
    demitasse inspect deploy.prototxt net.caffemodel

A prototxt alone is enough; what we cannot read in it is listed with its lines.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from demitasse.converter.flat.format import MAGIC
from demitasse.converter.flat.read import ModelFile, read_model
from demitasse.converter.passes import single_sample
from demitasse.converter.summary import Summary, precision, summarise_graph, summarise_model
from demitasse.runtime.model import Model
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.report import peak, ports
from demitasse.tools.table import amount, dims, facts, plural, size, table


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .demi, or a network's prototxt")
    parser.add_argument("caffemodel", type=Path, nargs="?", help="the network's weights")
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    if is_model(options.file):
        return _model(options.file)
    options.prototxt = options.file
    summary = summarise_graph(single_sample(shared.graph(options)))
    lines = facts(
        [
            ("network", f"{options.file}: {plural(len(summary.rows), 'layer')}"),
            *ports(summary),
            ("work", f"{amount(summary.macs)} multiply-accumulates"),
            (
                "parameters",
                f"{summary.parameters:,}" if summary.parameters else "the caffemodel has them",
            ),
        ]
    )
    return Answer(f"{_rows(summary)}\n\n{lines}", {"file": options.file, "network": summary})


def is_model(path: Path) -> bool:
    """Whether a file claims to be a .demi, by its name or by its first bytes."""
    if path.suffix == ".demi" or not path.is_file():
        return path.suffix == ".demi"
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _model(path: Path) -> Answer:
    file = read_model(path)
    summary = summarise_model(file)
    memory = Model.open(path, kernels="generic").memory  # as on the device
    bound = int(str(file.metadata.get("lower_bound", 0)))
    data: dict[str, Any] = {
        "file": path,
        "precision": precision(file),
        "network": summary,
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
    lines = facts(
        [
            ("model", f"{path}: {precision(file).upper()}, format {_version(file)}"),
            *ports(summary),
            ("work", f"{amount(summary.macs)} multiply-accumulates a run"),
            ("parameters", f"{summary.parameters:,}"),
            ("file", size(file.size)),
            ("memory", peak(memory.persistent, memory.arena, bound)),
            *_origin(file),
        ]
    )
    return Answer(f"{_rows(summary)}\n\n{lines}", data)


def _rows(summary: Summary) -> str:
    return table(
        ["operator", "type", "output", "dtype", "MACs", "parameters"],
        [
            [
                row.name,
                row.kind,
                dims(row.shape),
                row.dtype,
                amount(row.macs) if row.macs else "",
                f"{row.parameters:,}" if row.parameters else "",
            ]
            for row in summary.rows
        ],
        left=4,
    )


def _version(file: ModelFile) -> str:
    return ".".join(map(str, file.version))


def _origin(file: ModelFile) -> list[tuple[str, str]]:
    said = {key: file.metadata.get(key) for key in ("tool", "method", "sources")}
    lines = []
    if said["tool"]:
        lines.append(("made by", str(said["tool"])))
    if isinstance(said["sources"], dict):
        lines.append(("made from", "\n".join(said["sources"])))
    return lines
