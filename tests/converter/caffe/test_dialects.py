"""A caffemodel alone, fork by fork: encoded by protobuf, it reads as its own text would.

Schemas and numbers are the forks' (their `caffe.proto`), written down in `dialects.txt` apart from
the tables under test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.messages import NET, Messages

from demitasse.converter.caffe.binary import read_network
from demitasse.converter.caffe.text import Message, parse_prototxt
from demitasse.protos.dialect import DIALECTS

LAYER = 'input: "data" layer { name: "l" type: "%s" bottom: "data" top: "out" %s }'


@dataclass(frozen=True)
class Case:
    """One layer of one fork. `field` is its place in LayerParameter; `plain` says that nothing in
    it tells the fork."""

    dialect: str
    type: str
    field: str
    schema: str
    text: str
    plain: bool

    def __str__(self) -> str:
        return f"{self.dialect}-{self.type}"

    def messages(self) -> Messages:
        return Messages(f"{NET}{self.schema}\nLayerParameter: {self.field}\n")


def cases() -> Iterator[Case]:
    lines = Path(__file__).with_name("dialects.txt").read_text().splitlines()
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in lines if line[:1] != "#"))
    shared: dict[str, tuple[str, str]] = {}
    for block in filter(str.strip, blocks):
        head, *body = block.splitlines()
        text = " ".join(line[6:] for line in body if line.startswith("    = "))
        schema = "\n".join(line[4:] for line in body if line.strip() and line[4] != "=")
        schema = re.sub(r"\n +", " ", schema)
        if head == "shared":
            shared[schema.splitlines()[-1].split(":")[0]] = schema, text
            continue
        (name, kind), field = head.split(":")[0].split(), head.split(":")[1].strip()
        schema, text = shared.get(schema, (schema, text))
        plain = kind.endswith("?") or name == "bvlc"
        yield Case(name, kind.rstrip("?"), field, schema, text, plain)


CASES = list(cases())


def tree(message: Message) -> list[Any]:
    """Names and values, numbers as float32 and without lines."""
    found: list[Any] = []
    for field in message.fields:
        value: Any = field.value
        if isinstance(value, Message):
            value = tree(value)
        elif not field.quoted and re.match(r"[-+.\d]", value):
            value = float(np.float32(value))
        found.append((field.name, value, field.quoted))
    return sorted(found, key=lambda item: item[0])


def write(path: Path, net: Any) -> Path:
    path.write_bytes(net.SerializeToString())
    return path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_layer_reads_as_its_text(case: Case, tmp_path: Path) -> None:
    text = LAYER % (case.type, case.text)
    path = write(tmp_path / "net.caffemodel", case.messages().parse(text))
    network = read_network(path, case.dialect)
    assert tree(network.message) == tree(parse_prototxt(text))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_dialect_is_guessed(case: Case, tmp_path: Path) -> None:
    text = LAYER % (case.type, case.text)
    path = write(tmp_path / "net.caffemodel", case.messages().parse(text))
    network = read_network(path)
    if case.plain:
        assert (network.dialect, network.guess) == (None, "")
    else:
        assert tree(network.message) == tree(parse_prototxt(text))
        assert network.guess.startswith(f"read as dialect '{network.dialect}', guessed from ")


def test_every_dialect_has_a_case() -> None:
    assert {case.dialect for case in CASES} == set(DIALECTS)


# V1, with the types and fields that Tengine added to it.
TENGINE_V1 = f"""\
enum V1Type: 4 CONVOLUTION; 43 DEPTHWISECONVOLUTION; 44 CLIP
{NET}\
ClipParameter: 2 min float; 3 max float
ConvolutionParameter: 1 num_output uint32; 4 kernel_size uint32*
V1LayerParameter: 2 bottom string*; 3 top string*; 5 type V1Type; \
10 convolution_param ConvolutionParameter; 46 clip_param ClipParameter
"""


def test_v1_of_a_fork(tmp_path: Path) -> None:
    text = """
    layers { name: "conv" type: DEPTHWISECONVOLUTION bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 } }
    layers { name: "clip" type: CLIP bottom: "conv" top: "clip" clip_param { min: 0 max: 6 } }
    """
    path = write(tmp_path / "net.caffemodel", Messages(TENGINE_V1).parse(text))
    network = read_network(path)
    assert network.dialect == "tengine"
    conv, clip = (field.message() for field in network.message.all("layers"))
    types = [layer.all("type")[0].word() for layer in (conv, clip)]
    assert types == ["DepthwiseConvolution", "Clip"]
    param = clip.merged("clip_param")
    assert param is not None
    assert tree(param) == tree(parse_prototxt("min: 0 max: 6"))
