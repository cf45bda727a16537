"""Which layers are most worth raising to INT16, and what that is likely to gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from demitasse.converter.graph import Graph
from demitasse.quantizer.precision import Run, measure_noise, rank, relative_noise
from demitasse.quantizer.table import ScaleTable

WORTHWHILE = 3.0  # dB that a suggestion gains, if it can: half of the error gone


@dataclass(frozen=True, slots=True)
class Raised:
    """A layer to raise. sqnr: predicted, in dB, once it and all before it are raised."""

    layer: str
    sqnr: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Layers, the ones most worth their cost first. sqnr: of all outputs together, now, in dB.

    advised: how many of the layers gain what was wanted; reached: dB measured with these. models:
    how many it took to find out.
    """

    sqnr: float
    steps: tuple[Raised, ...]
    advised: int
    reached: float
    models: int
    images: int

    def layers(self, table: ScaleTable) -> dict[str, str]:
        """The table's `layers` with the advised ones raised."""
        return {**table.layers, **{s.layer: "int16" for s in self.steps[: self.advised]}}


def suggest(graph: Graph, table: ScaleTable, run: Run, wanted: float | None = None) -> Suggestion:
    """Rank the layers that an INT8 table computes in INT8, and predict what raising them gains.

    wanted: dB that the outputs should have; by default WORTHWHILE more than they have.
    """
    noise = measure_noise(graph, table, run)
    steps = [Raised(step.layer, _decibels(step.noise)) for step in rank(graph, table, noise)]
    now = _decibels(noise.total)
    wanted = now + WORTHWHILE if wanted is None else wanted
    models = len(noise.tensors) + len(noise.weights) + 3
    advised, reached, reference = _first(steps, wanted), now, run(None)
    while steps:  # a prediction may be too good
        models += 1
        names = [step.layer for step in steps[:advised]]
        tried = replace(table, layers={**table.layers, **dict.fromkeys(names, "int16")})
        reached = _decibels(relative_noise(reference, run(tried)))
        if reached >= wanted or advised == len(steps):
            break
        advised = min(len(steps), advised + 1 + advised // 4)
    return Suggestion(now, tuple(steps), advised, reached, models + 1, noise.images)


def _first(steps: Sequence[Raised], wanted: float) -> int:
    """How many steps it takes to the first that has what is wanted; all of them if none has."""
    return next((i for i, s in enumerate(steps, 1) if s.sqnr >= wanted), len(steps))


def _decibels(noise: float) -> float:
    return -10 * math.log10(noise) if noise > 0 else math.inf
