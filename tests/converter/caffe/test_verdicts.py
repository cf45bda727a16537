"""Texts at the edge of what Caffe takes (`tests/data/verdicts.txt`): our verdict and its own."""

from __future__ import annotations

import re
import sys
import warnings

import pytest
from oracle import DATA

from demitasse.errors import DemitasseError

sys.path.insert(0, str(DATA))
from verdicts import Verdict, verdicts

CASES = verdicts()


def test_there_are_many() -> None:
    assert len(CASES) > 300
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(load, case: Verdict) -> None:
    if case.verdict in ("REFUSED", "USELESS"):
        with pytest.raises(DemitasseError) as caught:
            load(case.text)
        message = str(caught.value)
        assert re.search(r"net\.prototxt(:\d+)?: ", message)
        assert case.words in message
        return
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        load(case.text)
    said = [str(remark.message) for remark in remarks]
    assert len(said) == bool(case.words)
    assert all(case.words in remark for remark in said)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.verdict == "READ" and c.words], ids=lambda case: case.name
)
def test_strict_refuses_what_is_said(load, case: Verdict) -> None:
    with pytest.raises(DemitasseError) as caught:
        load(case.text, strict=True)
    assert re.search(rf"net\.prototxt:\d+: .*{re.escape(case.words)}", str(caught.value))
