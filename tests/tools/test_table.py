"""Plain text for people."""

from __future__ import annotations

import math

import pytest

from demitasse.tools.table import (
    amount,
    decibels,
    dims,
    facts,
    near_one,
    percent,
    plural,
    size,
    table,
)


def test_columns_align() -> None:
    text = table(["name", "MACs"], [["conv1", "9.2 k"], ["a", "100 k"]])
    assert text.splitlines() == [
        "  name    MACs",
        "  ─────  ─────",
        "  conv1  9.2 k",
        "  a      100 k",
    ]


def test_a_table_without_rows_has_its_head() -> None:
    assert table(["a"], []).splitlines() == ["  a", "  ─"]


def test_facts_continue_below() -> None:
    text = facts([("input", "data 1×3"), ("outputs", "a\nb")])
    assert text.splitlines() == ["  input    data 1×3", "  outputs  a", "           b"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KB"), (443_000, "433 KB"), (1 << 20, "1.00 MB")],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(812, "812"), (10_240, "10.2 k"), (2_290_000, "2.29 M"), (4e9, "4.00 G")]
)
def test_amount(count: int, text: str) -> None:
    assert amount(int(count)) == text


def test_percent_does_not_round_the_last_error_away() -> None:
    assert percent(1.0) == "100.00 %"
    assert percent(0.99999) == "99.99 %"
    assert percent(0.00001) == "<0.01 %"
    assert percent(0.0) == "0.00 %"
    assert percent(0.1236, 1) == "12.4 %"


def test_a_cosine_is_not_rounded_up() -> None:
    assert near_one(1.0) == "1.00000"
    assert near_one(0.999999) == "0.99999"
    assert near_one(0.98765) == "0.98765"
    assert near_one(-0.5) == "-0.50000"


def test_the_rest() -> None:
    assert decibels(math.inf) == "exact"
    assert decibels(38.24) == "38.2 dB"
    assert dims((1, 3, 8)) == "1×3×8"
    assert [plural(1, "image"), plural(1000, "image")] == ["1 image", "1,000 images"]
