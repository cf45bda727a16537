"""Places for boxes and wires: ranks from top to bottom, few crossings, long wires straight.

The method of Sugiyama, Tagawa and Toda (1981). Every box has a rank below all that it reads; a wire
that passes a rank has a point in it. Boxes and points of a rank are ordered by the mean place of
their neighbours, and then stand as near to them as order and distances allow, which is isotonic
regression.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

Point = tuple[float, float]
Rows = list[list["_Item"]]

ORDERINGS, PLACINGS = 12, 13  # sweeps over all ranks
BESIDE = 28.0  # between the boxes of a rank
BELOW = 30.0  # between ranks, for the curves, at least
STUB = 20.0  # below a box, for the label of its wire
POINT = 4.0  # the width of a wire that passes
ENTRY = 16.0  # between the wires that enter a box
STRAIGHT = 8.0  # how much more a straight wire is worth than a centred box


@dataclass(frozen=True)
class Net:
    """A wire to lay: from a box, `port` right of its middle, to other boxes."""

    source: int
    port: float
    targets: Sequence[int]


@dataclass(frozen=True)
class Track:
    """Where a wire leaves its box, and polylines from there to each end. Their first, third, ...
    piece goes straight down beside a rank, the second, fourth, ... bends from rank to rank."""

    start: Point
    paths: Sequence[Sequence[Point]]


@dataclass(frozen=True)
class Layout:
    """Upper left corners of the boxes, tracks of the nets, and the size of the whole."""

    boxes: Sequence[Point]
    tracks: Sequence[Track]
    size: Point


@dataclass(eq=False)
class _Item:
    """A box, or the point where a wire passes a rank."""

    rank: int
    width: float
    is_box: bool = True
    up: list[tuple[_Item, float]] = field(default_factory=list)  # with the port that is used
    down: list[tuple[_Item, float]] = field(default_factory=list)
    place: int = 0
    x: float = 0.0


def lay_out(sizes: Sequence[Point], nets: Sequence[Net]) -> Layout:
    """Places for boxes of the given sizes (width, height); every net goes to later boxes."""
    ranks = _ranks(len(sizes), nets)
    boxes = [_Item(rank, width) for rank, (width, _) in zip(ranks, sizes, strict=True)]
    threads = [_thread(boxes, net) for net in nets]
    items = boxes + [item for thread in threads for item in thread[1:]]
    rows: Rows = [[] for _ in range(max(ranks, default=-1) + 1)]
    for item in items:
        rows[item.rank].append(item)
    _order(rows)
    _place(rows)
    left = min((item.x - item.width / 2 for item in items), default=0.0)
    for item in items:
        item.x -= left
    heights = {item: height for item, (_, height) in zip(boxes, sizes, strict=True)}
    spans = _spans(rows, heights)
    corners = [(item.x - item.width / 2, spans[item.rank][0]) for item in boxes]
    tracks = _tracks(boxes, nets, threads, spans, heights)
    right = max((item.x + item.width / 2 for item in items), default=0.0)
    return Layout(corners, tracks, (right, spans[-1][1] + STUB if spans else 0.0))


def _ranks(count: int, nets: Sequence[Net]) -> list[int]:
    """One below the lowest box that is read; a box that reads nothing stands above its reader."""
    ranks = [0] * count
    readers: dict[int, list[int]] = {}
    reads: set[int] = set()
    for net in sorted(nets, key=lambda net: net.source):
        readers.setdefault(net.source, []).extend(net.targets)
        reads.update(net.targets)
        for target in net.targets:
            ranks[target] = max(ranks[target], ranks[net.source] + 1)
    for source, targets in readers.items():
        if targets and source not in reads:
            ranks[source] = min(ranks[target] for target in targets) - 1
    return ranks


def _thread(boxes: Sequence[_Item], net: Net) -> list[_Item]:
    """The source of a net and a point in each rank that it passes, linked with each other and
    with the targets."""
    source = boxes[net.source]
    thread = [source]
    lowest = max((boxes[target].rank for target in net.targets), default=0)
    for rank in range(source.rank + 1, lowest):
        point = _Item(rank, POINT, is_box=False)
        _link(thread[-1], point, net.port if thread[-1] is source else 0.0)
        thread.append(point)
    for target in dict.fromkeys(net.targets):
        above = thread[boxes[target].rank - source.rank - 1]
        _link(above, boxes[target], net.port if above is source else 0.0)
    return thread


def _link(upper: _Item, lower: _Item, port: float) -> None:
    upper.down.append((lower, -port))
    lower.up.append((upper, port))


def _order(rows: Rows) -> None:
    """Sort every rank so that few wires cross."""
    best, fewest = [list(row) for row in rows], -1
    for sweep in range(ORDERINGS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            for place, item in enumerate(row):
                item.place = place
            row.sort(key=lambda item: _mean_place(item, item.up if downwards else item.down))
            for place, item in enumerate(row):
                item.place = place
        crossings = sum(_crossings(row) for row in rows)
        if fewest < 0 or crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
        if crossings == 0:
            break
    rows[:] = best


def _mean_place(item: _Item, neighbours: Sequence[tuple[_Item, float]]) -> float:
    """Ports decide between the wires of one box."""
    if not neighbours:
        return item.place
    return sum(other.place + port * 1e-4 for other, port in neighbours) / len(neighbours)


def _crossings(row: Sequence[_Item]) -> int:
    """Crossings of the wires below a rank."""
    places = {item: place for place, item in enumerate(row)}
    ends = sorted((places[item], lower.place) for item in row for lower, _ in item.down)
    seen: list[int] = []
    total = 0
    for _, lower in ends:
        total += len(seen) - bisect_right(seen, lower)
        insort(seen, lower)
    return total


def _place(rows: Rows) -> None:
    """Give every item its x: near those above and those below in turn, above at last, so that
    chains hang straight."""
    for row in rows:
        _settle(row, [0.0] * len(row), [1.0] * len(row))
    for sweep in range(PLACINGS):
        downwards = sweep % 2 == 0
        for row in rows if downwards else reversed(rows):
            wanted, weights = [], []
            for item in row:
                pulls = [
                    (1.0 if item.is_box or other.is_box else STRAIGHT, other.x + port)
                    for other, port in (item.up if downwards else item.down)
                ]
                total = sum(weight for weight, _ in pulls)
                wanted.append(sum(w * x for w, x in pulls) / total if pulls else item.x)
                weights.append(total or 1e-3)
            _settle(row, wanted, weights)


def _settle(row: Sequence[_Item], wanted: Sequence[float], weights: Sequence[float]) -> None:
    """The places nearest to the wanted ones (weighted least squares) that keep the distances.

    Less the distances the places must not fall: neighbours that would are pooled in their mean.
    """
    steps = [
        (left.width + right.width) / 2 + (BESIDE if left.is_box or right.is_box else BESIDE / 2)
        for left, right in pairwise(row)
    ]
    shifts = list(accumulate(steps, initial=0.0))
    pools: list[tuple[float, float, int]] = []  # mean, weight, items
    for x, weight, shift in zip(wanted, weights, shifts, strict=False):
        mean, size = x - shift, 1
        while pools and pools[-1][0] > mean:
            other, other_weight, other_size = pools.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, size = weight + other_weight, size + other_size
        pools.append((mean, weight, size))
    means = (mean for mean, _, size in pools for _ in range(size))
    for item, mean, shift in zip(row, means, shifts, strict=False):
        item.x = mean + shift


def _spans(rows: Rows, heights: Mapping[_Item, float]) -> list[Point]:
    """Top and bottom of each rank; wires that go far to the side get more room to bend."""
    spans = []
    top = 0.0
    for row in rows:
        bottom = top + max(heights.get(item, 0.0) for item in row)
        spans.append((top, bottom))
        aside = max((abs(other.x - item.x) for item in row for other, _ in item.down), default=0.0)
        top = bottom + STUB + BELOW + min(aside / 8, 2 * BELOW)
    return spans


def _tracks(
    boxes: Sequence[_Item],
    nets: Sequence[Net],
    threads: Sequence[list[_Item]],
    spans: Sequence[Point],
    heights: Mapping[_Item, float],
) -> list[Track]:
    entries = _entries(boxes, nets, threads)
    tracks = []
    for index, (net, thread) in enumerate(zip(nets, threads, strict=True)):
        source = thread[0]
        x = source.x + net.port
        start = (x, spans[source.rank][0] + heights[source])
        paths = []
        for target in dict.fromkeys(net.targets):
            path = [start, (x, spans[source.rank][1] + STUB)]
            for point in thread[1 : boxes[target].rank - source.rank]:
                top, bottom = spans[point.rank]
                path += [(point.x, top), (point.x, bottom + STUB)]
            path.append((entries[index, target], spans[boxes[target].rank][0]))
            paths.append(path)
        tracks.append(Track(start, paths))
    return tracks


def _entries(
    boxes: Sequence[_Item], nets: Sequence[Net], threads: Sequence[list[_Item]]
) -> dict[tuple[int, int], float]:
    """Where each net enters each of its targets: side by side, in the order they come from."""
    arriving: dict[int, list[tuple[float, int]]] = {}
    for index, (net, thread) in enumerate(zip(nets, threads, strict=True)):
        for target in dict.fromkeys(net.targets):
            above = thread[boxes[target].rank - thread[0].rank - 1]
            x = above.x + (net.port if above is thread[0] else 0.0)
            arriving.setdefault(target, []).append((x, index))
    found = {}
    for target, those in arriving.items():
        step = min(ENTRY, (boxes[target].width - ENTRY) / max(1, len(those) - 1))
        for place, (_, index) in enumerate(sorted(those)):
            found[index, target] = boxes[target].x + (place - (len(those) - 1) / 2) * step
    return found
