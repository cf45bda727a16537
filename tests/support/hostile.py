"""Hostile inputs: texts and binaries made by their grammar, and real ones damaged."""

from __future__ import annotations

import contextlib
import inspect
import re
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from demitasse.converter.caffe.registry import readers
from demitasse.converter.caffe.text import Field, Message, read_prototxt
from demitasse.errors import DemitasseError

TESTS = Path(__file__).resolve().parents[1]
MODELS = TESTS.parents[1] / "shared" / "models"

INTEGERS = ["0", "1", "2", "3", "-1", "5", "16", "255", "46341", "65536", "2000000000"]
INTEGERS += ["2147483647", "2147483648", "4294967295", "9223372036854775807", "-2147483648"]
INTEGERS += ["18446744073709551616", "0x7fffffff", "017", "9" * 40]
WORDS = ["true", "false", "inf", "-nan", "1e38", "1e-45", "0.5", ".5f", '""', "'x'", "MAX", "AVE"]
MARKS = ["{", "}", "<", ">", "[", "]", ":", ";", ",", '"', "'", "\\", "#", "\n", "-", "\t", "\0"]
SHAPES = [
    *["1 4 8 8"] * 12,
    "1 3 8 8",
    "2 4 6 5",
    "1 2 1 1",
    "3 7",
    "1",
    "1 1 2 2 2",
    "1 4 4",
    "1 2000000000 1 1",
]
SHAPES += ["46341 46341 1 1", "1 1000 1000 1000", "0 3 8 8", "-1 3", ""]
BINARY_FIELDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 50, 100, 101, 536870911]


@cache
def vocabulary() -> dict[str, tuple[list[str], list[str], list[str]]]:
    """For each layer type that is read: the messages, fields and enums that its reader may ask for
    (all the words of its module)."""
    found = {}
    for kind, entry in readers([]).items():
        module = inspect.getmodule(entry.read)
        assert module is not None
        source = inspect.getsource(module)
        own = re.findall(r'"([a-z0-9_]+_param)"', inspect.getsource(entry.read))
        words = sorted(set(re.findall(r'"([a-z][a-z0-9_]*)"', source)))
        messages = own or [word for word in words if word.endswith("_param")] or ["x_param"]
        fields = [word for word in words if not word.endswith("_param")]
        enums = sorted(set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source)))
        found[kind] = (messages, fields or ["x"], enums or ["X"])
    return found


@st.composite
def nets(draw: st.DrawFn) -> str:
    """A text that Caffe's grammar allows, of layers that exist, with values that do not fit."""
    text = [f'input: "data" input_shape {{ {_dims(draw(st.sampled_from(SHAPES)))} }}']
    blobs = ["data"]
    for i in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(sorted(vocabulary())))
        name = draw(st.sampled_from([f"l{i}", f"l{i}", f"l{i}", "same", "", "data"]))
        count = draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3, 0]))
        bottoms = draw(st.lists(st.sampled_from(blobs), min_size=count, max_size=count))
        own = [f"b{i}"]
        tops = draw(st.sampled_from((own, own, own, own, [*own, f"c{i}"], bottoms[:1], [])))
        blobs += tops
        ports = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
        made, real = st.lists(_param(kind), max_size=1), _real_params(kind).map(lambda x: [x])
        params = draw(st.one_of(made, real, real))
        more = draw(st.sampled_from(["", "", "", 'param { name: "w" }', "include { phase: TEST }"]))
        text.append(
            f'layer {{ name: "{name}" type: "{kind}" {" ".join(ports)} {" ".join(params)} {more} }}'
        )
    return "\n".join(text)


@st.composite
def _param(draw: st.DrawFn, kind: str) -> str:
    messages, fields, enums = vocabulary()[kind]
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        field = draw(st.sampled_from(fields))
        if draw(st.integers(0, 3)) == 0 or field.endswith("filler") or field == "shape":
            inner = draw(
                st.sampled_from(["", 'type: "bilinear"', 'type: "constant" value: 2', "dim"])
            )
            inner = _dims(draw(st.sampled_from(SHAPES))) if inner == "dim" else inner
            parts.append(f"{field} {{ {inner} }}")
        else:
            small = st.sampled_from(["0", "1", "2", "3"])
            value = draw(st.one_of(small, small, st.sampled_from(INTEGERS + WORDS + enums)))
            parts.append(f"{field}: {value}")
    return f"{draw(st.sampled_from(messages))} {{ {' '.join(parts)} }}"


@st.composite
def _real_params(draw: st.DrawFn, kind: str) -> str:
    """The parameters of a layer in a real text, some values replaced."""
    known = params_of_types()
    alike = (those for those in known.values() if those[0][0].name in vocabulary()[kind][0])
    donors = known.get(kind) or next(alike, [()])
    return _written(draw, draw(st.sampled_from(donors)))


def _written(draw: st.DrawFn, fields: tuple[Field, ...]) -> str:
    words = []
    for field in fields:
        if isinstance(field.value, Message):
            words.append(f"{field.name} {{ {_written(draw, field.value.fields)} }}")
            continue
        value = f'"{field.value}"' if field.quoted else field.value
        if draw(st.integers(0, 5)) == 0:
            value = draw(st.sampled_from(INTEGERS + WORDS))
        words.append(f"{field.name}: {value}")
    return " ".join(words)


@cache
def params_of_types() -> dict[str, list[tuple[Field, ...]]]:
    """The `*_param` messages of the layers in real texts, by layer type."""
    found: dict[str, list[tuple[Field, ...]]] = {}
    for path in texts():
        with contextlib.suppress(DemitasseError):
            for layer in read_prototxt(path).all("layer"):
                kind = layer.message().last("type")
                params = tuple(f for f in layer.message().fields if f.name.endswith("_param"))
                if kind is not None and params:
                    found.setdefault(kind.string(), []).append(params)
    return {kind: those[:: max(1, len(those) // 30)] for kind, those in found.items()}


def _dims(shape: str) -> str:
    return " ".join(f"dim: {dim}" for dim in shape.split())


@st.composite
def soups(draw: st.DrawFn) -> str:
    """Tokens in any order."""
    kind = draw(st.sampled_from(sorted(vocabulary())))
    messages, fields, enums = vocabulary()[kind]
    names = ["layer", "layers", "input", "input_dim", "name", "type", "bottom", "top", "state"]
    words = [*names, *messages, *fields, *enums, *INTEGERS, *WORDS, *MARKS, f'"{kind}"', "{", "}"]
    return draw(st.sampled_from([" ", "", "\n"])).join(
        draw(st.lists(st.sampled_from(words), max_size=60))
    )


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    """A real text with lines lost, doubled, moved, and numbers replaced."""
    path = draw(st.sampled_from(texts()))
    lines = path.read_text(errors="replace").split("\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.integers(0, 5))
        if how == 0:
            del lines[at : at + draw(st.integers(1, 4))]
            lines = lines or [""]
        elif how == 1:
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif how == 2:
            value = draw(st.sampled_from(INTEGERS + WORDS))
            lines[at] = re.sub(r"[-0-9.]+|true|false", lambda _: value, lines[at], count=1)  # noqa: B023
        elif how == 3:
            value = draw(st.sampled_from(MARKS))
            column = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:column] + value + lines[at][column:]
        elif how == 4:
            kind = draw(st.sampled_from(sorted(vocabulary())))
            lines[at] = re.sub(r'type: *"\w+"', lambda _: f'type: "{kind}"', lines[at])  # noqa: B023
        else:
            lines = lines[: at + 1]
    return "\n".join(lines)


@cache
def texts() -> list[Path]:
    """Real texts, small enough to be read often."""
    found = [*sorted((TESTS / "data").glob("*.prototxt")), *sorted(MODELS.glob("zoo/*.prototxt"))]
    found += sorted(MODELS.glob("unit/*.prototxt"))
    return [path for path in found if path.stat().st_size < 60_000]


@cache
def binaries() -> list[Path]:
    """Real weight files."""
    found = sorted((TESTS / "data").glob("*.caffemodel*"))
    found += sorted(MODELS.glob("unit/*.caffemodel")) + sorted(MODELS.glob("*/*.caffemodel*"))
    return [path for path in found if path.stat().st_size < 300_000]


@cache
def networks() -> list[tuple[Path, Path]]:
    """Real texts with their weights."""
    pairs = ((path.with_name(path.name.split(".")[0] + ".prototxt"), path) for path in binaries())
    return [pair for pair in pairs if pair[0].exists()]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with some flipped, replaced, cut out, doubled, or a number grown."""
    changed = bytearray(data)
    early = st.integers(0, min(400, len(data)))  # where the structure is
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.one_of(early, st.integers(0, len(changed))))
        size = draw(st.sampled_from([1, 1, 1, 2, 4, 8, 64]))
        how = draw(st.integers(0, 5))
        if how == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif how == 1:
            changed[at : at + size] = draw(st.binary(min_size=size, max_size=size))
        elif how == 2:
            del changed[at : at + size]
        elif how == 3:
            changed[at:at] = changed[at : at + size]
        elif how == 4:
            changed[at : at + 1] = b"\xff" * draw(st.integers(1, 12))
        else:
            del changed[at:]
    return bytes(changed)


@st.composite
def messages(draw: st.DrawFn, depth: int = 4) -> bytes:
    """Protobuf's wire format, with the field numbers of Caffe's files in any place."""
    out = b""
    for _ in range(draw(st.integers(0, 5))):
        number = draw(st.sampled_from(BINARY_FIELDS))
        wire = draw(st.sampled_from([0, 2, 2, 2, 5, 1, 3, 7]))
        out += varint(number << 3 | wire)
        if wire == 0:
            out += varint(draw(st.sampled_from([0, 1, 2, 4, 2**31, 2**32 - 1, 2**63, 2**64 - 1])))
        elif wire == 2:
            body = (
                draw(messages(depth - 1))
                if depth and draw(st.booleans())
                else draw(st.binary(max_size=16))
            )
            lie = draw(st.sampled_from([0, 0, 0, 0, 1, -1, 2**31, 2**62]))
            out += varint(max(0, len(body) + lie)) + body
        else:
            out += draw(st.binary(min_size=4, max_size=8))
    return out


def varint(value: int) -> bytes:
    """A number in base 128, the lowest digit first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
