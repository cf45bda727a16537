"""Packed weights against the index formulas of FORMAT.md; sections of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from demitasse.converter.flat.blobs import Sections, pack, pack_halves, packing_of


def index(
    packing: int, o: int, i: int, kh: int, kw: int, shape: tuple[int, ...], groups: int
) -> int:
    outputs, height, width, inputs = shape
    per_group = outputs // groups
    g, og = divmod(o, per_group)
    if packing == 0:
        return ((o * height + kh) * width + kw) * inputs + i
    if packing == 1:
        block = g * -(-per_group // 8) + og // 8
        return (((block * height + kh) * width + kw) * inputs + i) * 8 + og % 8
    if packing == 5:
        rows, row, long, k = height * width, kh * width + kw, inputs, i
        if inputs < 8:
            rows, row, long, k = 1, 0, rows * inputs, row * inputs + i
        up, start = -(-long // 8) * 8, k - k % 16
        block = g * -(-per_group // 4) + og // 4
        n = min(16, up - start)
        return (block * rows + row) * 4 * up + 4 * start + og % 4 * n + k - start
    return (kh * width + kw) * (-(-outputs // 8) * 8) + o


@pytest.mark.parametrize(
    ("shape", "groups", "packing"),
    [
        ((5, 3, 2, 4), 1, 0),
        ((5, 3, 2, 4), 1, 1),
        ((16, 1, 1, 9), 1, 1),
        ((18, 3, 3, 4), 2, 1),
        ((12, 3, 3, 1), 12, 2),
        ((24, 3, 5, 1), 12, 2),
        ((6, 2, 2, 3), 3, 0),
        ((6, 3, 3, 3), 1, 5),
        ((9, 2, 3, 16), 1, 5),
        ((4, 1, 1, 24), 1, 5),
        ((10, 3, 2, 41), 2, 5),
    ],
)
def test_every_weight_stands_where_the_format_says(shape, groups: int, packing: int) -> None:
    weight = np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape)
    packed = pack(weight, groups, packing)
    expected = np.zeros_like(packed)
    for o, kh, kw, i in np.ndindex(*shape):
        expected[index(packing, o, i, kh, kw, shape, groups)] = weight[o, kh, kw, i]
    np.testing.assert_array_equal(packed, expected)


def test_halves_of_bytes() -> None:
    assert pack_halves(np.array([1, -1, 7, -7, 3], np.int8)).tolist() == [0xF1, 0x97, 0x03]
    assert pack_halves(np.zeros(0, np.int8)).tolist() == []


def test_packing_is_chosen_by_shape() -> None:
    for dtype, usual in (("float32", 1), ("int16", 1), ("int8", 5)):
        assert packing_of(1, 32, 32, dtype) == 2
        assert packing_of(3, 5, 1, dtype) == usual
        assert packing_of(1, 16, 1, dtype) == usual
        assert packing_of(4, 32, 2, dtype) == usual
        assert packing_of(4, 6, 2, dtype) == 0
    assert packing_of(4, 8, 2, "int8") == 5
    assert packing_of(4, 8, 2, "int16") == 0


def test_arrays_are_padded_aligned_and_stored_once() -> None:
    sections = Sections()
    bias, slope = np.array([1, 2, 3], np.int32), np.array([7], np.int32)
    first = sections.arrays([bias, slope], 3)
    second = sections.arrays([bias], 3)
    assert (first, second) == (0, 64)
    assert sections.arrays([bias, slope], 3) == 0
    words = np.frombuffer(bytes(sections.chan.data), "<i4")
    np.testing.assert_array_equal(words[:16], [1, 2, 3, 0, 0, 0, 0, 0, 7, 7, 7, 0, 0, 0, 0, 0])
