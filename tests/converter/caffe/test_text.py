"""The prototxt tree: protobuf's text format without a schema."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demitasse.converter.caffe.text import MAX_DEPTH, Field, decode, parse_prototxt, read_prototxt
from demitasse.errors import ParseError


def one(text: str) -> Field:
    (field,) = parse_prototxt(text).fields
    return field


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 4", 4),
        ("a: 0x4", 4),
        ("a: 010", 8),
        ("a: -0x10", -16),
        ("a: - 3", -3),
        ("a: 0", 0),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert one(text).integer() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1.f", 1.0),
        ("a: 1e-1f", 0.1),
        ("a: .5", 0.5),
        ("a: -2", -2.0),
        ("a: 1E3", 1000.0),
        ("a: inf", float("inf")),
        ("a: -Infinity", float("-inf")),
    ],
)
def test_reals(text: str, value: float) -> None:
    assert one(text).real() == value


def test_nan() -> None:
    assert one("a: nan").real() != one("a: nan").real()


@pytest.mark.parametrize("word", ["true", "True", "t", "1"])
def test_true(word: str) -> None:
    assert one(f"a: {word}").boolean() is True


@pytest.mark.parametrize("word", ["false", "False", "f", "0"])
def test_false(word: str) -> None:
    assert one(f"a: {word}").boolean() is False


def test_enums_by_name_or_number() -> None:
    values = {"MAX": 0, "AVE": 1}
    assert one("pool: AVE").symbol(values) == "AVE"
    assert one("pool: 1").symbol(values) == "AVE"
    with pytest.raises(ParseError, match="one of MAX, AVE, found 'STO'"):
        one("pool: STO").symbol(values)


def test_strings_join_and_unescape() -> None:
    assert one(r"""a: 'Re' "LU" '\x5f1' """).string() == "ReLU_1"
    assert one("a: 'ä' # comment").string() == "ä"
    assert one('a: "it\'s # no comment"').string() == "it's # no comment"


def test_a_quoted_number_is_no_number() -> None:
    with pytest.raises(ParseError, match="a should be an integer"):
        one('a: "3"').integer()


def test_messages_lists_and_separators() -> None:
    net = parse_prototxt("a { b: [1, 2], c: 'x'; } a: < b: 3 > a: [{ b: 4 }, { b: 5 }] d: []")
    assert [[f.integer() for f in a.message().all("b")] for a in net.all("a")] == [
        [1, 2],
        [3],
        [4],
        [5],
    ]
    assert not net.all("d")
    merged = net.merged("a")
    assert merged is not None
    assert [f.integer() for f in merged.all("b")] == [1, 2, 3, 4, 5]


def test_the_last_one_counts() -> None:
    last = parse_prototxt("a: 1\na: 2").last("a")
    assert last is not None
    assert (last.integer(), last.line) == (2, 2)


def test_every_node_knows_its_line() -> None:
    net = parse_prototxt("# first\n\na {\n  b:\n 1 c: [2,\n3] }\n")
    a = net.fields[0]
    assert a.line == 3
    assert [(f.name, f.line) for f in a.message().fields] == [("b", 4), ("c", 5), ("c", 6)]


def test_bom_crlf_and_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes("\ufeffa: 1\r\nb: 'x' # done\r\n".encode())
    assert [f.name for f in read_prototxt(path).fields] == ["a", "b"]
    path.write_bytes("a: 1 # \u4e2d\u6587\n".encode("gbk"))
    assert read_prototxt(path).fields[0].integer() == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb", 2, "expected ':' or '{' after b, found the end of the file"),
        ("a {\nb: 1\n", 1, "'}' is missing"),
        ("a: 1\n}", 2, "expected a field name, found '}'"),
        ("a: [1 2]", 1, "expected ',' or ']' in a list, found '2'"),
        ("a: 'x\ny'", 1, "bad string"),
        ("a: '\\xff'", 1, "bad string"),
        ("a: @", 1, "expected a value for a, found '@'"),
        ("a: -", 1, "expected a value for a"),
        ("[x]: 1", 1, "expected a field name, found '['"),
        ("é: 1", 1, "expected a field name, found 'é'"),
    ],
)
def test_bad_texts(text: str, line: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_prototxt(text, Path("net.prototxt"))
    assert str(caught.value).startswith(f"net.prototxt:{line}: {message}")


def test_depth_is_limited() -> None:
    parse_prototxt("a{" * MAX_DEPTH + "}" * MAX_DEPTH)
    with pytest.raises(ParseError, match="nested more than"):
        parse_prototxt("a{" * 100_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n\x04unit\xa2\x06\x0a\x0a\x01a", "found binary data; were the prototxt and the"),
        (b"\x89HDF\r\n\x1a\n\0\0", "found an HDF5 file; were the prototxt and the caffemodel"),
        ("a: 1".encode("utf-16"), "found UTF-16 text; save it as UTF-8"),
        (b"\n<!DOCTYPE html><html>", "found an HTML page; download the raw file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer"),
        (b"", "found an empty file; check that it was downloaded completely"),
    ],
)
def test_files_that_are_no_text(data: bytes, message: str) -> None:
    with pytest.raises(ParseError, match="expected a prototxt, ") as caught:
        decode(data, Path("net.prototxt"))
    assert message in str(caught.value)


@given(st.text(alphabet="ab1.-:;,{}<>[]'\"#\\x \n", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        lines = [field.line for field in parse_prototxt(text, Path("net.prototxt")).fields]
    except ParseError as error:
        lines = [error.line or 0]
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)
