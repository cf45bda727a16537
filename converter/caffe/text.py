"""Prototxt as a tree of names: protobuf's text format, read without a schema.

Names decide. Forks of Caffe give one field number to different things, so a compiled schema would
refuse or misread their texts; here every field is kept, with its line, until a layer's reader asks
for it by name. Tokens come from protobuf's own `Tokenizer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf import text_encoding, text_format

from demitasse.converter.caffe import sniff
from demitasse.errors import ParseError

MAX_DEPTH = 64  # real nets nest five deep; protobuf itself gives up at 100

_QUOTES = ("'", '"')
_CLOSING = {"{": "}", "<": ">"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+\Z")
_INTEGER = re.compile(r"-?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")
_LONGEST = 80  # characters of an integer; Python itself refuses thousands
_REAL = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fF]?\Z")
_SPECIAL = re.compile(r"(-?)(inf|infinity|nan)f?\Z", re.IGNORECASE)
_ESCAPES = re.compile(
    r"\\(?:[abfnrtv\\'\"?]|[0-7]|[xX][0-9a-fA-F]|u[0-9a-fA-F]{4}|U00[01][0-9a-fA-F]{5})|[^\\]"
)
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "t", "1"), True),
    **dict.fromkeys(("false", "False", "f", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Message:
    """What stands between braces: fields in order, names possibly repeated."""

    fields: tuple[Field, ...] = ()
    line: int = 0

    def all(self, name: str) -> list[Field]:
        """Every field of this name, in order."""
        return [field for field in self.fields if field.name == name]

    def last(self, name: str) -> Field | None:
        """The field of this name that counts where only one can."""
        return next((field for field in reversed(self.fields) if field.name == name), None)

    def merged(self, name: str) -> Message | None:
        """The sub-message of this name; given several times, its parts add up."""
        parts = [field.message() for field in self.all(name)]
        if not parts:
            return None
        return Message(tuple(f for part in parts for f in part.fields), parts[0].line)


@dataclass(frozen=True, slots=True)
class Field:
    """`name: value` or `name { ... }`. A scalar stays the word that was written until it is asked
    for as a number, a truth value or a name; the conversions raise ParseError with the line."""

    name: str
    value: str | Message
    line: int
    quoted: bool = False
    listed: bool = False  # stands in brackets

    def message(self) -> Message:
        if isinstance(self.value, Message):
            return self.value
        raise self._wrong("a message in braces")

    def string(self) -> str:
        word = self._word("a string")
        if not self.quoted:
            raise self._wrong("a string in quotes")
        return word

    def word(self) -> str:
        """A name, in quotes or not."""
        return self._word("a name")

    def integer(self) -> int:
        word = self._word("an integer")
        if _INTEGER.match(word) and len(word) <= _LONGEST and not self.quoted:
            digits = word.lstrip("-")
            octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
            value = int(digits, 8) if octal else int(digits, 0)
            if value < 2**63:
                return -value if word[0] == "-" else value
        raise self._wrong("an integer")

    def real(self) -> float:
        word = self._word("a number")
        if not self.quoted:
            if _REAL.match(word):
                return float(word.rstrip("fF"))
            if special := _SPECIAL.match(word):
                return float(special[1] + special[2])
        raise self._wrong("a number")

    def boolean(self) -> bool:
        word = self._word("true or false")
        if word not in _BOOLEANS or self.quoted:
            raise self._wrong("true or false")
        return _BOOLEANS[word]

    def symbol(self, values: Mapping[str, int]) -> str:
        """An enum's name, given by name or by number."""
        word = self.word()
        if word in values and not self.quoted:
            return word
        if _INTEGER.match(word) and not self.quoted:
            number = self.integer()
            for name, value in values.items():
                if value == number:
                    return name
        raise self._wrong("one of " + ", ".join(values))

    def _word(self, wanted: str) -> str:
        if isinstance(self.value, Message):
            raise self._wrong(wanted)
        return self.value

    def _wrong(self, wanted: str) -> ParseError:
        if isinstance(self.value, Message):
            found = "a message"
        else:
            found = f'"{_short(self.value)}"' if self.quoted else repr(_short(self.value))
        return ParseError(f"{self.name} should be {wanted}, found {found}", line=self.line)


def read_prototxt(path: Path) -> Message:
    """Parse a prototxt file.

    Raises ParseError naming file and line, and the likely mistake where the file is no text.
    """
    return parse_prototxt(decode(sniff.read_bytes(path), path), path)


def decode(data: bytes, path: Path | None = None) -> str:
    """Bytes of a prototxt as text: UTF-8 with or without BOM, other 8-bit encodings in comments."""
    kind = sniff.guess(data[:4096])
    if kind != "text" or b"\0" in data:
        kind = "binary data" if kind == "text" else kind
        raise ParseError(
            f"expected a prototxt, found {kind}", file=path, remedy=sniff.explain(kind, "text")
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_prototxt(text: str, path: Path | None = None) -> Message:
    """Parse the text of a prototxt; `path` is for error messages only. Raises ParseError."""
    try:
        return _Parser(text).parse()
    except ParseError as error:
        error.file = None if path is None else str(path)
        raise


class _Lines:
    """Lines for the tokenizer. It draws a line only when it needs it, so that the number of lines
    drawn is the line of the token it stands at."""

    def __init__(self, text: str) -> None:
        self.lines = iter(text.split("\n"))
        self.drawn = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.drawn += 1
        return line


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        self.lines = _Lines(text)
        self.tokens = text_format.Tokenizer(self.lines)

    def parse(self) -> Message:
        fields = []
        while not self.tokens.AtEnd():
            fields += self.field(0)
        return Message(tuple(fields), 1)

    def field(self, depth: int) -> list[Field]:
        """One field; a list in brackets gives one field for each element."""
        name, line = self.tokens.token, self.lines.drawn
        if not _NAME.match(name):
            raise self.error("a field name")
        self.tokens.NextToken()
        colon = self.tokens.TryConsume(":")
        if colon and self.tokens.token == "[":
            fields = self.elements(name, depth)
        elif colon or self.tokens.token in _CLOSING:
            fields = [self.value(name, line, depth)]
        else:
            raise self.error(f"':' or '{{' after {_short(name)}")
        if not self.tokens.TryConsume(","):
            self.tokens.TryConsume(";")
        return fields

    def elements(self, name: str, depth: int) -> list[Field]:
        fields: list[Field] = []
        self.tokens.Consume("[")
        while not self.tokens.TryConsume("]"):
            if fields and not self.tokens.TryConsume(","):
                raise self.error("',' or ']' in a list")
            value = self.value(name, self.lines.drawn, depth)
            fields.append(replace(value, listed=True))
        return fields

    def value(self, name: str, line: int, depth: int) -> Field:
        token = self.tokens.token
        if token in _CLOSING:
            return Field(name, self.message(line, depth + 1), line)
        if token[:1] in _QUOTES:
            return Field(name, self.string(), line, quoted=True)
        if token == "-":  # protobuf allows space between the sign and the number
            self.tokens.NextToken()
            token += self.tokens.token or " "
        if not _WORD.match(token):
            raise self.error(f"a value for {_short(name)}")
        self.tokens.NextToken()
        return Field(name, token, line)

    def message(self, line: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise ParseError(f"nested more than {MAX_DEPTH} deep", line=self.lines.drawn)
        closing = _CLOSING[self.tokens.token]
        self.tokens.NextToken()
        fields: list[Field] = []
        while not self.tokens.TryConsume(closing):
            if self.tokens.AtEnd():
                raise ParseError(
                    f"'{closing}' is missing for the message that begins here",
                    line=line,
                    remedy="check that the file is complete",
                )
            fields += self.field(depth)
        return Message(tuple(fields), line)

    def string(self) -> str:
        """Adjacent strings are one."""
        line, data = self.lines.drawn, b""
        try:
            while self.tokens.token[:1] in _QUOTES:
                data += self.literal()
            return data.decode()
        except ValueError:
            raise ParseError(f"bad string {_short(self.tokens.token)}", line=line) from None

    def literal(self) -> bytes:
        token = self.tokens.token
        if len(token) < 2 or token[-1] != token[0] or _ESCAPES.sub("", token[1:-1]):
            raise ValueError
        self.tokens.NextToken()
        return text_encoding.CUnescape(token[1:-1])

    def error(self, wanted: str) -> ParseError:
        found = repr(_short(self.tokens.token)) if self.tokens.token else "the end of the file"
        quote = "is a quote missing before it?" if self.tokens.token[:1] in _QUOTES else None
        message = f"expected {wanted}, found {found}"
        return ParseError(message, line=self.lines.drawn, remedy=quote)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
