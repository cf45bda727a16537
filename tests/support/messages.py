"""Protobuf's own classes for a schema written in a test: an encoder apart from the code under test.

One message or enum a line: `Message: 1 name string; 2 dims int64* packed; 3 mode Mode`,
`enum Mode: 0 OFF; 1 ON` before its use. Everything is optional, `*` is repeated.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

# What the nets of the tests are made of, at BVLC's numbers.
NET = """\
enum Phase: 0 TRAIN; 1 TEST
NetParameter: 1 name string; 2 layers V1LayerParameter*; 3 input string*; \
8 input_shape BlobShape*; 100 layer LayerParameter*
BlobShape: 1 dim int64* packed
BlobProto: 5 data float* packed; 7 shape BlobShape
InputParameter: 1 shape BlobShape*
NetStateRule: 1 phase Phase
ParamSpec: 1 name string; 3 lr_mult float
V1LayerParameter: 4 name string
LayerParameter: 1 name string; 2 type string; 3 bottom string*; 4 top string*; \
5 loss_weight float*; 6 param ParamSpec*; 7 blobs BlobProto*; 8 include NetStateRule*; \
10 phase Phase
"""

_FIELD = descriptor_pb2.FieldDescriptorProto


class Messages:
    """`Messages(schema).parse(text)` is a NetParameter; a later line adds to an earlier message,
    or takes the place of its fields with the same number."""

    def __init__(self, schema: str) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="test.proto", package="test")
        fields: dict[str, dict[int, list[str]]] = {}
        enums: set[str] = set()
        for line in filter(None, schema.splitlines()):
            head, body = line.split(":", 1)
            rows = [part.split() for part in body.split(";") if part.strip()]
            if head.startswith("enum "):
                enums.add(head.split()[1])
                _add_enum(file.message_type.add(name=head.split()[1]), rows)
            else:
                fields.setdefault(head, {}).update({int(row[0]): row for row in rows})
        for head, numbered in fields.items():
            message = file.message_type.add(name=head)
            for row in numbered.values():
                _add_field(message, row, enums)
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(file.SerializeToString())
        net = pool.FindMessageTypeByName("test.NetParameter")
        self._net = message_factory.GetMessageClass(net)

    def parse(self, text: str) -> Any:
        """A net from text format."""
        return text_format.Parse(text, self._net())


def _add_enum(scope: Any, rows: list[list[str]]) -> None:
    """An enum `Values` inside a message of its name, so that several may share names of values."""
    enum = scope.enum_type.add(name="Values")
    for number, name in rows:
        enum.value.add(name=name, number=int(number))


def _add_field(message: Any, row: list[str], enums: set[str]) -> None:
    number, name, kind, *packed = row
    field = message.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if kind.endswith("*") else _FIELD.LABEL_OPTIONAL
    field.options.packed = bool(packed)
    kind = kind.rstrip("*")
    if kind in enums:
        field.type, field.type_name = _FIELD.TYPE_ENUM, f".test.{kind}.Values"
    elif kind[0].isupper():
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".test.{kind}"
    else:
        field.type = getattr(_FIELD, f"TYPE_{kind.upper()}")
