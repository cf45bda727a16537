"""Give names to the fields of a binary net: wire format to the tree that the text reader gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from demitasse.converter.caffe.text import Field, Message
from demitasse.converter.caffe.upgrade import v2_type
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
    refuse_other_messages,
    signed,
    string,
)
from demitasse.errors import ParseError
from demitasse.protos.dialect import Member, dialect

MAX_FIELDS = 2**18  # of a net, blobs apart; real ones have up to some ten thousand
BLOB_PARTS = 16  # looked at in a blob, for its tell-tales

_WIRES = {"float": FIXED32, "double": FIXED64}
_NUMBERS = {"int32", "int64", "uint32", "uint64", "bool"}
_LAYERS = {"LayerParameter", "V1LayerParameter"}
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")  # not in a string that is one


class Decoding:
    """A file as one dialect reads it: the tree, and what the dialect does not explain.

    Recursion follows the tables, which have no cycles, and a net's fields are counted: whatever
    the file holds, time and memory stay in proportion.
    """

    def __init__(self, data: Buffer, path: Path, name: str) -> None:
        """Raises ParseError where not even the layers can be told apart."""
        self.data = data
        self.path = path
        self.dialect = dialect(name)
        self.net = Message()
        self.odd: dict[tuple[object, ...], str] = {}
        self.odd_blobs: dict[tuple[object, ...], str] = {}
        self.damaged: ParseError | None = None
        self.has_blobs = self.has_parameters = self.has_tops = False
        self._left = MAX_FIELDS
        self._layer = ""
        self._seen: list[str] = []
        layer = self.dialect.messages["LayerParameter"]
        self._owners = {member.name: member.layers for member in layer.values()}
        self._read()

    def cost(self) -> tuple[int, int]:
        """How much is unexplained, parameters before blobs."""
        return len(self.odd), len(self.odd_blobs)

    def _read(self) -> None:
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

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ParseError(f"a net of more than {MAX_FIELDS} fields", file=self.path)

    def _note(self, key: tuple[object, ...], what: str) -> None:
        """Something unexplained, and the first layer that has it."""
        if key not in self.odd:
            self.odd[key] = f"{what} of layer '{self._layer[:40]}'" if self._layer else what

    def _field(self, kind: str, part: Part) -> list[Field]:
        self._count()
        member = self.dialect.messages[kind].get(part.number)
        if member is None or not self._fits(member, part):
            inside = "" if kind in _LAYERS else f" of {kind}"
            self._note((kind, part.number, part.wire), f"field {part.number}{inside}")
            return [Field(f"#{part.number}", "", 0)]
        if kind in _LAYERS:
            self._seen.append(member.name)
            self.has_parameters |= member.name == "layer" or member.name.endswith("_param")
            self.has_tops |= member.name == "top"
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
            self._note((kind, part.number, "damaged"), member.name)
            self.damaged = self.damaged or ParseError(
                f"{member.name} is damaged: {reason}",
                file=self.path,
                layer=self._layer,
                remedy="fetch the file again, or give another --dialect",
            )
            return []
        return [] if member.ignored else fields

    def _values(self, member: Member, part: Part) -> list[Field]:
        if member.type in self.dialect.messages:
            return [Field(member.name, self._message(member.type, part), 0)]
        if member.type in ("string", "bytes"):
            word = string(self.data, part)
            if _CONTROL.search(word):
                self._note((member.name, "text"), member.name)
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
                self._count()
                yield str(number)
        elif part.wire == VARINT:
            yield self._whole(member, part.value)
        else:
            packed = Fields(self.data, part.start, part.end)
            while packed.position < packed.end:
                self._count()
                yield self._whole(member, packed.varint())

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
        kind = "" if field is None else v2_type(field.word())
        if kind not in self.dialect.layers:
            self.odd["type", kind] = f"layer type {kind[:40]}"
        for name in self._seen:
            owners = self._owners.get(name, ())
            if owners and kind not in owners:
                self._note((kind, name), name)

    def _look_at_blob(self, place: Part) -> None:
        self.has_blobs = True
        members = self.dialect.messages["BlobProto"]
        for index, part in enumerate(Fields(self.data, place.start, place.end)):
            member = members.get(part.number)
            if member is None or not self._fits(member, part):
                self.odd_blobs[part.number, part.wire] = f"field {part.number} of blobs"
            if index == BLOB_PARTS:
                return
