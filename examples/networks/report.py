"""The tables of rk3288.py: how fast, how near to what the machine can do, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from string import Template

from peers import BOARD, COMPARED, MODELLED, Modelled

CLOCK = 1.8e6  # cycles a millisecond
BOUND = {"int8": 8, "int16": 4, "fp32": 2}  # multiply-accumulates a cycle
LINE = 64  # bytes


@dataclass(frozen=True)
class Timing:
    """Of one inference: milliseconds by both models, by A the shares of cycles that go into the
    pipeline and that wait for the second-level cache, lines of memory read; where only
    instructions were counted these are missing. arena: bytes."""

    macs: int
    arena: int
    instructions: int
    a: float | None = None
    b: float | None = None
    pipeline: float = 0
    l2: float = 0
    misses: int | None = None

    @property
    def said(self) -> str:
        if self.a is None:
            return f"{self.instructions / 1e6:.1f} million instructions"
        return f"{self.a:.1f} ms (B {self.b:.1f})"

    @property
    def macs_per_cycle(self) -> float | None:
        return self.macs / (self.a * CLOCK) if self.a else None


@dataclass
class Entry:
    """A network. text: bytes of code of its packed program; host: ms on one and two threads."""

    name: str
    precision: str
    timing: Timing
    text: int | None = None
    host: Sequence[float] = ()

    @property
    def peer(self) -> Modelled | None:
        return MODELLED.get((self.name, self.precision))


def _cell(form: str, *values: float | None) -> str:
    return form.format(*values) if None not in values else ""


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Two columns are texts, the others numbers."""
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def speed_table(entries: Iterable[Entry]) -> str:
    head = (
        *("network", "precision", "MMAC", "ms, model A", "ms, B", "MAC/cycle", "of the bound"),
        *("instructions/MAC", "ncnn, ms, A", "ncnn, B", "times faster, A / B", "ncnn, board 2022"),
    )
    return _rows(head, (_speed_row(entry) for entry in entries))


def _speed_row(entry: Entry) -> tuple[str, ...]:
    timing, peer, board = entry.timing, entry.peer, BOARD.get((entry.name, entry.precision))
    rate, short = timing.macs_per_cycle, timing.macs < 2e7
    times = (peer.a / timing.a, peer.b / timing.b) if peer and timing.a and timing.b else None
    return (
        entry.name,
        entry.precision,
        f"{timing.macs / 1e6:.1f}",
        _cell("{:.2f}" if short else "{:.1f}", timing.a),
        _cell("{:.2f}" if short else "{:.1f}", timing.b),
        _cell("{:.2f}", rate),
        _cell("{:.0f} %", rate and 100 * rate / BOUND[entry.precision]),
        f"{timing.instructions / timing.macs:.3f}",
        _cell("{:.2f}" if short else "{:.1f}", peer.a if peer else None),
        _cell("{:.2f}" if short else "{:.1f}", peer.b if peer else None),
        _cell("{:.2f} / {:.2f}", *(times or (None,))),
        _cell("{:.1f}", board and board[0]),
    )


def _memory_table(entries: Iterable[Entry]) -> str:
    head = (
        *("network", "precision", "pipeline", "L2", "DRAM", "from DRAM, MB", "ncnn, MB"),
        *("arena, KiB", "program, KB"),
    )
    rows = []
    for entry in entries:
        timing, peer = entry.timing, entry.peer
        shares = (timing.pipeline, timing.l2, 1 - timing.pipeline - timing.l2)
        megabytes = timing.misses and timing.misses * LINE / 1e6
        row = [
            *(entry.name, entry.precision),
            *(_cell("{:.0f} %", timing.a and 100 * share) for share in shares),
            _cell("{:.1f}", megabytes),
            _cell("{:.1f}", peer.misses * LINE / 1e3 if peer else None),
            f"{timing.arena / 1024:.0f}",
            _cell("{:.1f}", entry.text and entry.text / 1e3),
        ]
        rows.append(row)
    return _rows(head, rows)


def _host_table(entries: Iterable[Entry]) -> str:
    head = ("network", "precision", "ms, 1 thread", "ms, 2 threads", "times faster")
    rows = [
        [
            *(entry.name, entry.precision),
            *(f"{ms:.2f}" for ms in entry.host),
            f"{entry.host[0] / max(entry.host[1], 1e-6):.2f}",
        ]
        for entry in entries
        if entry.host
    ]
    return _rows(head, rows)


def _means(entries: Iterable[Entry]) -> str:
    """Over the compared networks that are there: int16 races ncnn's float, for it has no int16."""
    known = {(entry.name, entry.precision): entry.timing for entry in entries}
    lines = []
    for precision, against in (("int8", "int8"), ("int16", "fp32"), ("fp32", "fp32")):
        there = [
            (timing, MODELLED[name, against])
            for name in COMPARED
            if (timing := known.get((name, precision))) and timing.a
        ]
        if not there:
            continue
        sides: tuple[Callable[[Timing | Modelled], float | None], ...] = (
            lambda one: one.a,
            lambda one: one.b,
        )
        cells = []
        for side in sides:
            ratios = [(side(peer) or 0) / (side(timing) or 1) for timing, peer in there]
            mean = exp(sum(map(log, ratios)) / len(ratios))
            cells += [f"{mean:.2f}", f"{min(ratios):.2f}"]
        lines.append([precision, f"ncnn {against}", str(len(there)), *cells])
    head = ("ours", "against", "networks", "A, mean", "A, least", "B, mean", "B, least")
    return _rows(head, lines)


def report(entries: Sequence[Entry], wanted: Sequence[tuple[str, str]], program: int | None) -> str:
    """docs/rk3288-speed.md; what is wanted and not there yet is named."""
    there = {(entry.name, entry.precision) for entry in entries}
    missing = [" ".join(key) for key in wanted if key not in there]
    template = Path(__file__).with_name("rk3288-speed.md.in").read_text(encoding="utf-8")
    return Template(template).substitute(
        means=_means(entries),
        speed=speed_table(entries),
        missing=f"\nNot modelled yet: {', '.join(missing)}.\n" if missing else "",
        memory=_memory_table(entries),
        program=f"{program / 1e3:.0f} KB" if program else "an unknown size",
        host=_host_table(entries),
    )
