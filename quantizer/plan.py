"""Which layers are most worth raising to INT16, and what that is likely to gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from demitasse.converter.graph import Graph
from demitasse.quantizer.precision import Run, candidates, relative_noise, sensitivities
from demitasse.quantizer.table import ScaleTable

WORTHWHILE = 3.0  # dB that a suggestion gains, if it can: half of the error gone


@dataclass(frozen=True, slots=True)
class Step:
    """A layer to raise. sqnr: predicted, in dB, once it and all before it are raised."""

    layer: str
    sqnr: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Steps, the one most worth its cost first. sqnr: of all outputs together, now, in dB.

    advised: how many of the steps gain what was wanted. models, images: what it took to find out.
    """

    sqnr: float
    steps: tuple[Step, ...]
    advised: int
    models: int
    images: int

    def layers(self, table: ScaleTable) -> dict[str, str]:
        """The table's `layers` with the advised ones raised."""
        return {**table.layers, **{s.layer: "int16" for s in self.steps[: self.advised]}}


def suggest(graph: Graph, table: ScaleTable, run: Run, wanted: float | None = None) -> Suggestion:
    """Rank the layers that an INT8 table computes in INT8, and predict what raising them gains.

    wanted: dB that the outputs should have; by default WORTHWHILE more than they have. The errors
    of layers are taken to add up: a prediction is what was measured less the shares of the raised.
    """
    reference = run(None)
    everything = replace(table, layers={n.name: "int16" for n in candidates(graph)})
    total = relative_noise(reference, run(table))
    least = relative_noise(reference, run(everything))  # what INT16 cannot mend
    ranked = [s for s in sensitivities(graph, table, run) if s.layer not in table.layers]
    shares = [max(s.noise - least, 0.0) for s in ranked]
    left = all_shares = math.fsum(shares)
    steps = []
    for each, share in zip(ranked, shares, strict=True):
        left = max(left - share, 0.0)
        noise = least + max(total - least, 0.0) * (left / all_shares if all_shares else 0.0)
        steps.append(Step(each.layer, _decibels(noise)))
    now = _decibels(total)
    advised = _first(steps, now + WORTHWHILE if wanted is None else wanted)
    return Suggestion(now, tuple(steps), advised, len(candidates(graph)) + 4, len(reference))


def _first(steps: Sequence[Step], wanted: float) -> int:
    """How many steps it takes to the first that has what is wanted; all of them if none has."""
    return next((i for i, s in enumerate(steps, 1) if s.sqnr >= wanted), len(steps))


def _decibels(noise: float) -> float:
    return -10 * math.log10(noise) if noise > 0 else math.inf
