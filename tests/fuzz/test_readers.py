"""Fuzzers of everything that reads what users hand in: texts, weights, mean files, whole nets.

`make test` tries a fixed slice, `make fuzz` new inputs for FUZZ_SECONDS in all.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from support.fuzzing import fuzz, survives
from support.hostile import (
    binaries,
    damaged,
    damaged_texts,
    messages,
    nets,
    networks,
    soups,
    varint,
)
from support.written import weight_layer

from demitasse.converter.caffe.reader import load_caffe, read_caffe
from demitasse.converter.caffe.survey import survey_caffe
from demitasse.converter.caffe.text import decode, parse_prototxt
from demitasse.converter.caffe.weights import read_weights
from demitasse.converter.caffe.writer import write_caffemodel
from demitasse.errors import DemitasseError, DemitasseWarning
from demitasse.quantizer.mean_file import read_mean

HOW = {
    **dict.fromkeys(("input_shapes", "outputs", "dialect")),
    **dict(plugins=(), phase="TEST", level=0, stages=(), strict=False),
}


def reading(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """A check that writes bytes to a file and reads it."""

    def check(data: bytes) -> None:
        path.write_bytes(data)
        survives(lambda: read(path), len(data))

    return check


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "input"


def test_any_bytes_as_a_text() -> None:
    fuzz(
        st.binary(max_size=300),
        lambda data: survives(lambda: parse_prototxt(decode(data)), len(data)),
    )


def test_token_soups() -> None:
    fuzz(soups(), lambda text: survives(lambda: parse_prototxt(text), len(text)))


def test_damaged_texts(file: Path) -> None:
    check = reading(file, load_caffe)
    fuzz(damaged_texts(), lambda text: check(text.encode(errors="replace")))


def test_nets_that_do_not_fit(file: Path) -> None:
    check = reading(file, load_caffe)
    fuzz(nets(), lambda text: check(text.encode()))


def test_nets_that_do_not_fit_are_surveyed(file: Path) -> None:
    check = reading(file, lambda path: survey_caffe(path, None, **HOW))
    fuzz(nets(), lambda text: check(text.encode()))


def test_nets_with_weights(tmp_path: Path) -> None:
    """Weights by the names of the layers: of the shapes that they expect, or of any."""
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    shapes = st.sampled_from([(), (1,), (3,), (4, 3), (2, 3, 3, 3), (1, 1, 2, 4), (0,), (3, 1)])
    arrays = st.lists(st.lists(shapes, max_size=4), min_size=5, max_size=5)

    def check(case: tuple[str, bool, list[list[tuple[int, ...]]]]) -> None:
        text, fits, drawn = case
        prototxt.write_text(text)
        found = {f"l{i}": own for i, own in enumerate(drawn)}
        if fits:
            found |= expected_blobs(prototxt)
        write_caffemodel(weights, [weight_layer(k, map(np.ones, v)) for k, v in found.items()])
        survives(lambda: load_caffe(prototxt, weights), len(text) + weights.stat().st_size)

    fuzz(st.tuples(nets(), st.booleans(), arrays), check)


def expected_blobs(prototxt: Path) -> dict[str, list[tuple[int, ...]]]:
    """What the layers of a text expect, where it is not much."""
    with warnings.catch_warnings(), contextlib.suppress(DemitasseError):
        warnings.simplefilter("ignore", DemitasseWarning)
        expected = read_caffe(prototxt, None, **HOW).builder.expected
        return {
            name: list(shapes.values())
            for name, shapes in expected.items()
            if sum(map(prod, shapes.values())) < 100_000
        }
    return {}


def test_damaged_weights(file: Path) -> None:
    """Binary ones of all generations, and HDF5."""
    strategy = st.sampled_from(binaries()).flatmap(lambda path: damaged(path.read_bytes()))
    fuzz(strategy, reading(file, read_weights))


def test_damaged_pairs(tmp_path: Path) -> None:
    """A real network, of which the text or the weights are damaged, or both."""
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"

    @st.composite
    def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
        text, model = draw(st.sampled_from(networks()))
        data = model.read_bytes()
        if draw(st.booleans()):
            return text.read_bytes(), draw(damaged(data))
        return draw(damaged(text.read_bytes())), data

    def check(case: tuple[bytes, bytes]) -> None:
        prototxt.write_bytes(case[0])
        weights.write_bytes(case[1])
        survives(lambda: load_caffe(prototxt, weights), sum(map(len, case)))

    fuzz(pairs(), check)


def test_any_message_as_weights(file: Path) -> None:
    tag = st.sampled_from([b"\xa2\x06", b"\x12"])  # a layer of V2, of V1
    layers = st.tuples(tag, messages()).map(lambda pair: pair[0] + varint(len(pair[1])) + pair[1])
    fuzz(st.lists(layers, max_size=4).map(b"".join), reading(file, read_weights))


def test_any_message_as_a_net(file: Path) -> None:
    """A caffemodel alone: its parameters are read too."""
    strategy = st.one_of(
        messages(), st.sampled_from(binaries()).flatmap(lambda path: damaged(path.read_bytes()))
    )
    fuzz(strategy, reading(file, load_caffe))


def test_any_message_as_a_mean(tmp_path: Path) -> None:
    image = b"\x08\x01\x10\x03\x18\x02\x20\x02" + b"\x2a\x30" + bytes(48)  # a BlobProto by hand
    fuzz(st.one_of(messages(), damaged(image)), reading(tmp_path / "mean.binaryproto", read_mean))
