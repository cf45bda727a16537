"""What the numbers of a binary net mean, fork by fork: the tables in `dialects/`.

`bvlc.txt` says how a table is written; the others hold what differs. They are facts of the forks'
file formats, in our own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = Path(__file__).with_name("dialects")

# Of those that explain a file equally well, the first is taken.
DIALECTS: tuple[str, ...] = (
    *("bvlc", "ssd", "nvidia", "intel", "yjxiong", "segnet", "pspnet", "deeplab", "yolo"),
    *("rfcn", "microsoft", "ristretto", "opencl", "caffe2onnx", "tengine", "ppq"),
)


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a message. `layers` are the layer types that it belongs to, empty for all."""

    name: str
    type: str
    repeated: bool = False
    ignored: bool = False
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """Messages by name, their fields by number; enums by name, their values by number."""

    name: str
    messages: Mapping[str, Mapping[int, Member]]
    enums: Mapping[str, Mapping[int, str]]
    layers: frozenset[str]


@cache
def dialect(name: str) -> Dialect:
    """The dialect of this name, one of DIALECTS. The tables are read when they are first needed."""
    lines = (TABLES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    base = next((line.split()[1] for line in lines if line.startswith("base ")), "bvlc")
    below = Dialect("", {}, {}, frozenset()) if name == base else dialect(base)
    messages = {key: dict(fields) for key, fields in below.messages.items()}
    enums = {key: dict(values) for key, values in below.enums.items()}
    layers = set(below.layers)
    members: dict[int, Member] = {}
    values: dict[int, str] | None = None  # of the enum that the lines are about
    for line in lines:
        words = line.strip("[]").split()
        if line.startswith("[enum "):
            values = enums.setdefault(words[1], {})
        elif line.startswith("["):
            members, values = messages.setdefault(words[0], {}), None
        elif line.startswith("types "):
            layers.update(words[1:])
        elif words and words[0].isdigit() and values is not None:
            values[int(words[0])] = words[1]
        elif words and words[0].isdigit():
            members[int(words[0])] = _member(words)
    fields = messages["LayerParameter"].values()
    layers.update(layer for member in fields for layer in member.layers)
    return Dialect(name, messages, enums, frozenset(layers))


def _member(words: list[str]) -> Member:
    """`106 convolution_param ConvolutionParameter Convolution Deconvolution`"""
    _, name, kind, *layers = words
    return Member(
        name=name,
        type=kind.strip("-*") or "message",
        repeated=kind.endswith("*"),
        ignored=kind.startswith("-"),
        layers=tuple(layers),
    )
