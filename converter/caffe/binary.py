"""Read a network from a caffemodel alone: wire format to the tree that the text reader gives.

Caffe saves the layers' parameters beside the blobs. Names are given to their numbers by a dialect
(`protos/dialects`); from there on the net is read as a text would be. Without `--dialect` every
dialect is tried, and the one holds that leaves the least unexplained: unknown numbers, other wire
types, parameters that belong to another layer type, layer types that the fork does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from demitasse.converter.caffe import sniff
from demitasse.converter.caffe.text import Field, Message, read_prototxt
from demitasse.converter.caffe.upgrade import Layer, v2_type
from demitasse.converter.caffe.wire import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Buffer,
    Fields,
    Malformed,
    Part,
    incomplete,
    open_caffemodel,
    refuse_other_messages,
    signed,
    string,
)
from demitasse.errors import ParseError
from demitasse.protos.dialect import DIALECTS, Dialect, Member, dialect

MAX_FIELDS = 2**18  # of a net, blobs apart; real ones have up to some ten thousand
BLOB_PARTS = 16  # looked at in a blob, for its tell-tales

_WIRES = {"float": FIXED32, "double": FIXED64}
_NUMBERS = {"int32", "int64", "uint32", "uint64", "bool"}
_LAYERS = {"LayerParameter", "V1LayerParameter"}
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")  # not in a string that is one


@dataclass(frozen=True)
class Network:
    """What a file says of a net. `dialect` is None where all of them would have read the same as
    BVLC's; `guess` says which one was taken, and why."""

    message: Message
    dialect: str | None = None
    guess: str = ""
    binary: bool = False


def is_caffemodel(path: Path) -> bool:
    """Whether the file is binary data, judged by its content. Raises DemitasseError if unreadable,
    ParseError for HDF5, which holds weights but no network."""
    try:
        with path.open("rb") as file:
            kind = sniff.guess(file.read(4096))
    except OSError as error:
        raise sniff.unreadable(path, error) from None
    if kind == "an HDF5 file":
        raise ParseError(
            "an HDF5 file holds weights, but no network",
            file=path,
            remedy="give the prototxt first, and this file after it",
        )
    return kind == "binary data"


def read_network(path: Path, dialect_name: str | None = None) -> Network:
    """The net of a prototxt or of a caffemodel, told by the file's content.

    A saved net has followed its include and exclude rules, so they are gone from a caffemodel's,
    unless two layers make the same blob. Raises DemitasseError (ParseError) naming the file.
    """
    if not is_caffemodel(path):
        return Network(read_prototxt(path), dialect_name)
    data = open_caffemodel(path)
    reading = _read(data, path, dialect_name or "bvlc")
    found, guess = dialect_name, ""
    if dialect_name is None and (reading.odd or reading.odd_blobs):
        others = [_read(data, path, name) for name in DIALECTS[1:]]
        best = min([reading, *others], key=_Reading.cost)
        if best.net != reading.net:
            found, guess = best.dialect.name, _explain(reading, best)
            reading = best
    if reading.damaged:
        raise reading.damaged[0]
    return Network(_without_rules(reading.net), found, guess, binary=True)


def without_splits(layers: Iterable[Layer]) -> list[Layer]:
    """The layers as they were before Caffe put a Split wherever a blob has several readers."""
    origin: dict[str, str] = {}
    kept = []
    for layer in layers:
        bottoms = tuple(origin.get(blob, blob) for blob in layer.bottoms)
        if layer.type == "Split" and _is_inserted(layer):
            origin.update(dict.fromkeys(layer.tops, bottoms[0]))
        else:
            kept.append(replace(layer, bottoms=bottoms))
    return kept


def _is_inserted(layer: Layer) -> bool:
    names = tuple(f"{layer.name}_{index}" for index in range(len(layer.tops)))
    return len(layer.bottoms) == 1 and layer.name.endswith("_split") and layer.tops == names


class _Reading:
    """A file as one dialect reads it: the tree, and what the dialect does not explain.

    Recursion follows the tables, which have no cycles, and a net's fields are counted: whatever
    the file holds, time and memory stay in proportion.
    """

    def __init__(self, data: Buffer, path: Path, dialect: Dialect) -> None:
        self.data = data
        self.path = path
        self.dialect = dialect
        self.net = Message()
        self.odd: dict[tuple[object, ...], str] = {}
        self.odd_blobs: dict[tuple[object, ...], str] = {}
        self.damaged: list[ParseError] = []
        self._left = MAX_FIELDS
        self._layer = ""
        self._seen: list[str] = []
        self._owners = {
            member.name: member.layers for member in dialect.messages["LayerParameter"].values()
        }

    def cost(self) -> tuple[int, int]:
        """How much is unexplained, parameters before blobs."""
        return len(self.odd), len(self.odd_blobs)

    def read(self) -> None:
        """Fill `net`. Raises ParseError where the layers themselves cannot be told apart."""
        fields: list[Field] = []
        last = None
        try:
            for part in Fields(self.data, 0, len(self.data)):
                refuse_other_messages(part, self.path)
                fields += self._field("NetParameter", part)
                if fields and fields[-1].name in ("layer", "layers"):
                    last = self._layer
        except Malformed as reason:
            raise incomplete(reason, last, self.path) from None
        if last is None:
            raise ParseError("expected a caffemodel, found no layers in it", file=self.path)
        self.net = Message(tuple(fields))

    def _message(self, kind: str, part: Part) -> Message:
        fields: list[Field] = []
        for inner in Fields(self.data, part.start, part.end):
            fields += self._field(kind, inner)
        return Message(tuple(fields))

    def _layer_message(self, kind: str, part: Part) -> Message:
        self._layer, self._seen = "", []
        message = self._message(kind, part)
        self._judge(message)
        return message

    def _field(self, kind: str, part: Part) -> list[Field]:
        self._left -= 1
        if self._left < 0:
            raise ParseError(f"a net of more than {MAX_FIELDS} fields", file=self.path)
        member = self.dialect.messages[kind].get(part.number)
        if member is None or not self._fits(member, part):
            where = kind if kind not in _LAYERS else f"layer '{self._layer}'"
            self.odd[kind, part.number, part.wire] = f"field {part.number} of {where}"
            return [Field(f"#{part.number}", "", 0)]
        if kind in _LAYERS:
            self._seen.append(member.name)
            if member.name == "name":
                self._layer = string(self.data, part)
        if member.type == "BlobProto":
            self._look_at_blob(part)
            return []
        if member.type in _LAYERS:
            return [Field(member.name, self._layer_message(member.type, part), 0)]
        try:
            fields = self._values(member, part)
        except Malformed as reason:
            self.odd[kind, part.number, "damaged"] = f"{member.name} of layer '{self._layer}'"
            self.damaged.append(
                ParseError(
                    f"{member.name} is damaged: {reason}",
                    file=self.path,
                    layer=self._layer,
                    remedy="fetch the file again, or give another --dialect",
                )
            )
            return []
        return [] if member.ignored else fields

    def _values(self, member: Member, part: Part) -> list[Field]:
        if member.type in self.dialect.messages:
            return [Field(member.name, self._message(member.type, part), 0)]
        if member.type in ("string", "bytes"):
            word = string(self.data, part)
            if _CONTROL.search(word):
                self.odd[member.name, "text"] = f"{member.name} of layer '{self._layer}'"
            return [Field(member.name, word, 0, quoted=True)]
        if member.type == "message":  # known by its number alone
            return []
        return [Field(member.name, word, 0) for word in self._words(member, part)]

    def _fits(self, member: Member, part: Part) -> bool:
        """Whether the wire type is the member's; repeated numbers may be packed."""
        number = member.type in _NUMBERS or member.type in self.dialect.enums
        wire = _WIRES.get(member.type, VARINT if number else BYTES)
        return part.wire == wire or (member.repeated and part.wire == BYTES)

    def _words(self, member: Member, part: Part) -> Iterator[str]:
        """A number as the text format would write it; packed ones are several."""
        if member.type in _WIRES:
            dtype = "<f4" if member.type == "float" else "<f8"
            count, rest = divmod(part.end - part.start, np.dtype(dtype).itemsize)
            if rest:
                raise Malformed(f"{member.name} holds {part.end - part.start} bytes")
            for number in np.frombuffer(self.data, dtype, count, part.start):
                yield self._counted(str(number))
        elif part.wire == VARINT:
            yield self._whole(member, part.value)
        else:
            packed = Fields(self.data, part.start, part.end)
            while packed.position < packed.end:
                yield self._counted(self._whole(member, packed.varint()))

    def _counted(self, word: str) -> str:
        self._left -= 1
        if self._left < 0:
            raise ParseError(f"a net of more than {MAX_FIELDS} fields", file=self.path)
        return word

    def _whole(self, member: Member, value: int) -> str:
        if member.type == "bool":
            return "true" if value else "false"
        if member.type == "uint32":
            return str(value & 0xFFFFFFFF)
        if member.type == "uint64":
            return str(value & (2**64 - 1))
        values = self.dialect.enums.get(member.type, {})
        return values.get(signed(value), str(signed(value)))

    def _judge(self, message: Message) -> None:
        """Note a layer type that the dialect does not have, and parameters of another type."""
        if message.all("layer"):  # V0: its parameters lie flat
            return
        field = message.last("type")
        kind = "" if field is None else v2_type(field.string())
        if kind not in self.dialect.layers:
            self.odd["type", kind] = f"layer type {kind}"
        for name in self._seen:
            owners = self._owners.get(name, ())
            if owners and kind not in owners:
                self.odd[kind, name] = f"{name} of layer '{self._layer}'"

    def _look_at_blob(self, place: Part) -> None:
        members = self.dialect.messages["BlobProto"]
        for index, part in enumerate(Fields(self.data, place.start, place.end)):
            member = members.get(part.number)
            if member is None or not self._fits(member, part):
                self.odd_blobs[part.number, part.wire] = f"field {part.number} of blobs"
            if index == BLOB_PARTS:
                return


def _read(data: Buffer, path: Path, name: str) -> _Reading:
    reading = _Reading(data, path, dialect(name))
    reading.read()
    return reading


def _explain(plain: _Reading, best: _Reading) -> str:
    """Why the guess is not BVLC."""
    odd = {**plain.odd, **plain.odd_blobs}
    solved = [text for key, text in odd.items() if key not in best.odd | best.odd_blobs]
    return f"read as dialect '{best.dialect.name}', guessed from {', '.join(solved[:3])}"


def _without_rules(net: Message) -> Message:
    made: set[str] = set()
    for field in net.all("layer") + net.all("layers"):
        layer = field.message()
        bottoms = {bottom.string() for bottom in layer.all("bottom")}
        tops = [top.string() for top in layer.all("top") if top.string() not in bottoms]
        if made.intersection(tops):
            return net
        made.update(tops)
    return replace(net, fields=tuple(_without_rule(field) for field in net.fields))


def _without_rule(field: Field) -> Field:
    if field.name not in ("layer", "layers"):
        return field
    layer = field.message()
    kept = tuple(f for f in layer.fields if f.name not in ("include", "exclude"))
    return replace(field, value=replace(layer, fields=kept))
