"""Places for boxes and wires: properties of any network's layout, and cases with one answer."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demitasse.converter.drawing.layout import Layout, Net, lay_out


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[Net]]:
    count = draw(st.integers(1, 14))
    sizes = [(draw(st.integers(20, 150)), draw(st.integers(20, 90))) for _ in range(count)]
    nets = []
    for source in range(count):
        for port in draw(st.sampled_from(((0.0,), (-9.0, 9.0)))):
            later = st.integers(source + 1, count - 1) if source + 1 < count else st.nothing()
            targets = draw(st.lists(later, max_size=4)) if source + 1 < count else []
            nets.append(Net(source, port, targets))
    return sizes, nets


@given(networks())
def test_any_network(case: tuple[list[tuple[float, float]], list[Net]]) -> None:
    sizes, nets = case
    layout = lay_out(sizes, nets)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.boxes, sizes, strict=True)]
    for one, other in combinations(boxes, 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart
    for x0, y0, x1, y1 in boxes:
        assert x0 >= -1e-6
        assert y0 >= 0
        assert x1 <= layout.size[0] + 1e-6
        assert y1 <= layout.size[1]
    for net, track in zip(nets, layout.tracks, strict=True):
        source = boxes[net.source]
        assert track.start == pytest.approx(((source[0] + source[2]) / 2 + net.port, source[3]))
        assert len(track.paths) == len(set(net.targets))
        for target, path in zip(dict.fromkeys(net.targets), track.paths, strict=True):
            check_path(path, boxes, net.source, target)
    assert lay_out(sizes, nets) == layout


def check_path(
    path: list[tuple[float, float]],
    boxes: list[tuple[float, float, float, float]],
    source: int,
    target: int,
) -> None:
    """Down all the way, into the top of its target, and past all other boxes."""
    x, y = path[-1]
    assert y == boxes[target][1]
    assert boxes[target][0] <= x <= boxes[target][2]
    for place, ((ax, ay), (bx, by)) in enumerate(pairwise(path)):
        assert ay <= by
        if place % 2 == 0:  # beside a rank
            assert ax == bx
            for i, (x0, y0, x1, y1) in enumerate(boxes):
                if i not in (source, target) and ay < y1 and by > y0:
                    assert not x0 < ax < x1


def chain(length: int) -> Layout:
    sizes = [(50 + 13 * (i % 5), 30) for i in range(length)]
    return lay_out(sizes, [Net(i, 0.0, [i + 1]) for i in range(length - 1)])


def test_a_chain_hangs_straight() -> None:
    middles = [x + (50 + 13 * (i % 5)) / 2 for i, (x, _) in enumerate(chain(40).boxes)]
    assert np.ptp(middles) < 1e-6


def test_a_diamond_is_symmetric_and_does_not_cross() -> None:
    sizes = [(60.0, 30.0)] * 4
    layout = lay_out(sizes, [Net(0, 0, [1, 2]), Net(1, 0, [3]), Net(2, 0, [3])])
    (top, _), (left, level), (right, same), (bottom, _) = layout.boxes
    assert top == pytest.approx(bottom)
    assert left + right == pytest.approx(2 * top)
    assert level == same
    ends = sorted(track.paths[0][-1][0] for track in layout.tracks[1:])
    assert ends[0] < top + 30 < ends[1]


def test_crossings_that_need_not_be_are_undone() -> None:
    """Two chains whose second boxes come in the wrong order."""
    nets = [Net(0, 0, [3]), Net(1, 0, [2]), Net(2, 0, [4]), Net(3, 0, [5])]
    boxes = lay_out([(60.0, 30.0)] * 6, nets).boxes
    assert (boxes[0][0] < boxes[1][0]) == (boxes[3][0] < boxes[2][0])
    assert (boxes[0][0] < boxes[1][0]) == (boxes[5][0] < boxes[4][0])


def test_what_reads_nothing_stands_above_its_reader() -> None:
    layout = lay_out(
        [(50.0, 30.0)] * 5, [Net(0, 0, [1]), Net(1, 0, [2]), Net(2, 0, [4]), Net(3, 0, [4])]
    )
    assert layout.boxes[3][1] == layout.boxes[2][1]


def test_nothing() -> None:
    assert lay_out([], []).size == (0.0, 0.0)
