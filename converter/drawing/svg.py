"""A drawing as SVG: rounded boxes coloured by family, shapes beside the wires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from demitasse.converter.drawing.boxes import Box, Drawing, Wire
from demitasse.converter.drawing.layout import Net, Point, Track, lay_out

COLOURS = {
    "weighted": "#2f5d8a",
    "norm": "#3f7f6b",
    "function": "#8a3b3b",
    "pool": "#4c7a34",
    "join": "#59595f",
    "shape": "#7a5c8e",
    "move": "#7a5c8e",
    "number": "#8a6d2f",
    "output": "#a05a2c",
    "data": "#8c8c94",
    "other": "#3c3c44",
    "problem": "#c02020",
}
MARGIN = 24.0
BAND, NAME = 20.0, 19.0  # heights of a coloured band and of the line with the name
PADDING = 10.0
LONGEST = 34  # characters of a name
CHARACTER = {11: 6.8, 12: 7.4}  # width by font size, generous

STYLE = """\
text { font-family: Helvetica, Arial, "DejaVu Sans", sans-serif; }
.kind { font-size: 12px; fill: #fff; text-anchor: middle; }
.name { font-size: 11px; fill: #222; text-anchor: middle; }
.shape { font-size: 11px; fill: #555; }
.wire { fill: none; stroke: #80808a; stroke-width: 1.2; }
.frame { fill: none; stroke: #50505a; stroke-width: 1; }
.problem { stroke: #c02020; stroke-width: 2; stroke-dasharray: 5 3; }"""


def svg(drawing: Drawing) -> str:
    """The text of an SVG file. The same drawing gives the same text."""
    ports = _ports(drawing)
    sizes = [_size(box, ports[i]) for i, box in enumerate(drawing.boxes)]
    nets = [
        Net(wire.source, port, wire.targets)
        for wire, port in zip(drawing.wires, _offsets(drawing, ports), strict=True)
    ]
    layout = lay_out(sizes, nets)
    width, height = (side + 2 * MARGIN for side in layout.size)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-MARGIN:.0f} {-MARGIN:.0f} {width:.0f} {height:.0f}">',
        f"<title>{escape(drawing.title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#80808a"/></marker></defs>',
        f'<rect x="{-MARGIN:.0f}" y="{-MARGIN:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'fill="#fff"/>',
    ]
    for wire, track in zip(drawing.wires, layout.tracks, strict=True):
        lines += _wire(wire, track)
    for i, (box, corner) in enumerate(zip(drawing.boxes, layout.boxes, strict=True)):
        lines += _box(box, i, corner, sizes[i])
    return "\n".join([*lines, "</svg>", ""])


def _ports(drawing: Drawing) -> list[list[Wire]]:
    """The wires that leave each box."""
    found: list[list[Wire]] = [[] for _ in drawing.boxes]
    for wire in drawing.wires:
        found[wire.source].append(wire)
    return found


def _offsets(drawing: Drawing, ports: Sequence[Sequence[Wire]]) -> list[float]:
    """How far right of its box's middle each wire leaves: side by side, a label's width apart."""
    offsets = []
    for wire in drawing.wires:
        those = ports[wire.source]
        step = max(_label_width(each) for each in those)
        place = next(i for i, each in enumerate(those) if each is wire)
        offsets.append((place - (len(those) - 1) / 2) * step)
    return offsets


def _size(box: Box, leaving: Sequence[Wire]) -> Point:
    """Wide enough for its texts and for the labels below it."""
    texts = [
        *(_width(part.kind, 12) for part in box.parts[1:]),
        _width(f"{box.parts[0].kind} {box.detail}", 12),
        _width(_short(box.name), 11),
    ]
    labels = [_label_width(wire) for wire in leaving] or [0.0]
    needed = 2 * max(labels) if len(labels) == 1 else max(labels) * (len(labels) + 1)
    width = max(2 * PADDING + max(texts), needed, 70.0)
    return round(width), BAND * len(box.parts) + NAME


def _box(box: Box, number: int, corner: Point, size: Point) -> Iterator[str]:
    x, y = corner
    width, height = size
    middle = x + width / 2
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{width:.0f}" height="{height:.0f}" rx="5"'
    yield f'<g><clipPath id="b{number}"><rect {frame}/></clipPath>'
    yield f'<g clip-path="url(#b{number})"><rect {frame} fill="#f4f4f6"/>'
    tops = [y, *(y + NAME + BAND * i for i in range(1, len(box.parts)))]
    for part, top, first in zip(box.parts, tops, [True] + [False] * len(tops), strict=False):
        colour = COLOURS["problem" if box.problem else part.family]
        text = f"{part.kind} {box.detail}".strip() if first else part.kind
        yield (
            f'<g><title>{escape(part.note)}</title><rect x="{x:.1f}" y="{top:.1f}" '
            f'width="{width:.0f}" height="{BAND:.0f}" fill="{colour}"/>'
            f'<text class="kind" x="{middle:.1f}" y="{top + 14:.1f}">{escape(text)}</text></g>'
        )
    yield (
        f'<text class="name" x="{middle:.1f}" y="{y + BAND + 13.5:.1f}">'
        f"{escape(_short(box.name))}</text></g>"
    )
    yield f'<rect class="frame{" problem" if box.problem else ""}" {frame}/></g>'


def _wire(wire: Wire, track: Track) -> Iterator[str]:
    x, y = track.start
    for path in track.paths or [[track.start, (x, y + 16)]]:
        yield f'<path class="wire" marker-end="url(#end)" d="{_curve(path)}"/>'
    yield f'<text class="shape" x="{x + 5:.1f}" y="{y + 13:.1f}">{escape(wire.label)}</text>'


def _curve(path: Sequence[Point]) -> str:
    """Straight beside the ranks, and bent between them."""
    x, y = path[0]
    text = [f"M{x:.1f} {y:.1f}"]
    for place, (next_x, next_y) in enumerate(path[1:]):
        if place % 2 == 0 or abs(next_x - x) < 0.05:
            text.append(f"L{next_x:.1f} {next_y:.1f}")
        else:
            half = (y + next_y) / 2
            text.append(f"C{x:.1f} {half:.1f} {next_x:.1f} {half:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    return "".join(text)


def _short(name: str) -> str:
    """A long name loses its middle."""
    half = (LONGEST - 1) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}"


def _width(text: str, size: int) -> float:
    return CHARACTER[size] * len(text)


def _label_width(wire: Wire) -> float:
    return _width(wire.label, 11) + PADDING
