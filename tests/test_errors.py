"""How an error reads, and that it survives the way home from a worker process."""

import pickle
from pathlib import Path

import pytest

from demitasse.errors import DemitasseError, ParseError, ShapeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DemitasseError("no images"), "no images"),
        (DemitasseError("no images", file=Path("a/b")), "a/b: no images"),
        (ParseError("expected '{'", file="net.prototxt", line=7), "net.prototxt:7: expected '{'"),
        (ShapeError("found (1, 2)", layer="ip"), "layer 'ip': found (1, 2)"),
        (
            DemitasseError("no weights", file="n.prototxt", line=3, layer="c", remedy="give some"),
            "n.prototxt:3: layer 'c': no weights; give some",
        ),
    ],
)
def test_text_is_one_line_with_place_layer_and_remedy(error: DemitasseError, text: str) -> None:
    assert str(error) == text


def test_pickling_keeps_everything() -> None:
    error = ParseError("bad", file="f", line=2, layer="l", remedy="r")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ParseError
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
