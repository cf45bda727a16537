"""Plain text for people: aligned tables, labelled lines, sizes and counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from demitasse.converter.summary import dims

__all__ = [
    "amount",
    "decibels",
    "dims",
    "facts",
    "near_one",
    "percent",
    "plural",
    "size",
    "table",
]

INDENT = "  "


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Columns under headers and a rule; the first `left` columns stand left, the others right."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]

    def aligned(line: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return (INDENT + "  ".join(cells)).rstrip()

    rule = INDENT + "  ".join("─" * width for width in widths)
    return "\n".join([aligned(lines[0]), rule, *map(aligned, lines[1:])])


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Labelled lines; the further lines of a text stand below its first."""
    known = list(pairs)
    width = max((len(label) for label, _ in known), default=0)
    lines = []
    for label, text in known:
        for line in text.split("\n"):
            lines.append(f"{INDENT}{label.ljust(width)}  {line}".rstrip())
            label = ""
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes: 812 B, 10.2 KB, 1.43 MB (1 KB = 1024 B)."""
    if count < 1024:
        return f"{count} B"
    unit, value = ("KB", count / 1024) if count < 1024 * 1024 else ("MB", count / 1024**2)
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def amount(count: int, unit: str = "") -> str:
    """A count with its prefix: 812, 10.2 k, 1.43 M, 220 M."""
    for limit, prefix in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= limit:
            value = count / limit
            digits = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:.{digits}f}{prefix}{unit}"
    return f"{count} {unit}" if unit else str(count)


def decibels(value: float) -> str:
    """A ratio in dB; `exact` where nothing differs."""
    return "exact" if value == math.inf else f"{value:.1f} dB"


def percent(share: float, digits: int = 2) -> str:
    """A share of one; never rounded up to 100 % or down to 0 %."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) == 100:
        text = f"{100 - 10**-digits:.{digits}f}"
    if share > 0 and float(text) == 0:
        return f"<{10**-digits:.{digits}f} %"
    return f"{text} %"


def near_one(value: float) -> str:
    """A cosine with five decimals; never rounded up to 1."""
    return f"{math.floor(value * 1e5 + 1e-6) / 1e5:.5f}" if math.isfinite(value) else "none"


def plural(count: int, noun: str) -> str:
    """1 image, 1,000 images."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
