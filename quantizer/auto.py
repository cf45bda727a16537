"""The method for each tensor whose range makes the least error where the tensor is read.

A method knows the histogram alone. Here the layers that read a tensor tell: on a few images they
run in float32, once on the tensor's float values and once for each method on the values rounded as
that method's range has them. Layers that only move values pass them on to their own readers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from demitasse.converter.evaluate import float_values
from demitasse.converter.graph import Graph, Node
from demitasse.quantizer.scheme import activation_scale, quantize
from demitasse.quantizer.sharing import moves_codes, scale_sources
from demitasse.quantizer.statistics import Statistics, TensorStatistics
from demitasse.quantizer.thresholds import DEFAULT_METHOD, METHODS, find_range

RESERVOIR = 8  # images
RESERVOIR_SEED = 3
WORTHWHILE = 0.95  # another method than the default makes no more than this share of its error
HOPELESS = 2.0  # after FIRST images, a method with so many times the least error is given up
FIRST = 2
ALIKE = 0.01  # scales that differ by less are one

Scheme = tuple[float, int]  # scale and zero point


def choose_methods(
    folded: Graph,
    statistics: Statistics,
    images: Iterable[Mapping[str, np.ndarray]],
    symmetric: bool = False,
    fixed: Collection[str] = (),
) -> dict[str, str]:
    """The method for each INT8 tensor whose scale counts; `fixed` tensors are left out.

    images: inputs as `evaluate` takes them, one sample each, in a fixed order.
    """
    given = {*fixed, *statistics.context.get("ranges", {})}
    trials = [
        _Trial(name, _schemes(statistics.tensors[name], symmetric))
        for name in sorted(set(scale_sources(folded).values()) - given)
        if name in statistics.tensors
    ]
    open_trials = [trial for trial in trials if len(trial.schemes) > 1]
    consumers = folded.consumers()
    for number, inputs in enumerate(images, 1):
        values = float_values(folded, inputs)
        for trial in open_trials:
            trial.add(folded, consumers, values)
            if number == FIRST:
                trial.give_up()
    return {trial.name: trial.best() for trial in trials}


def _schemes(stat: TensorStatistics, symmetric: bool) -> dict[str, Scheme]:
    """The quantizations to choose from, the default method's first; none is like another."""
    found: dict[str, Scheme] = {}
    for method in (DEFAULT_METHOD, *METHODS):
        low, high, _ = find_range(stat, method, symmetric)
        scale, zero_point = activation_scale(low, high, "int8", symmetric)
        if not any(
            abs(scale / other - 1) < ALIKE and abs(zero_point - point) <= 1
            for other, point in found.values()
        ):
            found[method] = (float(scale), zero_point)
    return found


@dataclass
class _Trial:
    """One tensor's methods, and the error of each on each thing that reads it."""

    name: str
    schemes: dict[str, Scheme]

    def __post_init__(self) -> None:
        self.signal: dict[str, float] = {}
        self.noise: dict[tuple[str, str], float] = {}

    def add(
        self, graph: Graph, consumers: Mapping[str, list[Node]], values: Mapping[str, np.ndarray]
    ) -> None:
        """Count one image in."""
        x = values[self.name]
        exact = dict(_reach(graph, consumers, values, self.name, x))
        for name, expected in exact.items():
            power = float(np.square(expected, dtype=np.float64).sum())
            self.signal[name] = self.signal.get(name, 0.0) + power
        if self.signal.keys() == {self.name}:
            return
        for method, (scale, zero_point) in self.schemes.items():
            codes = quantize(x, scale, zero_point, "int8").astype(np.int32)
            rounded = (codes - zero_point).astype(np.float32) * np.float32(scale)
            for name, found in _reach(graph, consumers, values, self.name, rounded):
                error = float(np.square(found - exact[name], dtype=np.float64).sum())
                key = (method, name)
                self.noise[key] = self.noise.get(key, 0.0) + error

    def give_up(self) -> None:
        """Leave out what will not be the best; the default stays, to be compared with."""
        errors = self._errors()
        for method in list(errors)[1:]:
            if errors[method] > HOPELESS * min(errors.values()):
                del self.schemes[method]

    def best(self) -> str:
        """The method of the least error."""
        errors = self._errors()
        default, *others = errors
        if self.signal.keys() == {self.name}:  # the statistics tell more than these images
            return default
        best = min(others, key=lambda method: errors[method], default=default)
        return best if errors[best] < WORTHWHILE * errors[default] else default

    def _errors(self) -> dict[str, float]:
        """Of each method, relative to the power of what it falls on."""
        errors = dict.fromkeys(self.schemes, 0.0)
        for (method, name), noise in self.noise.items():
            if method in errors and self.signal[name] > 0:
                errors[method] += noise / self.signal[name]
        return errors


def _reach(
    graph: Graph,
    consumers: Mapping[str, list[Node]],
    values: Mapping[str, np.ndarray],
    name: str,
    x: np.ndarray,
) -> Iterator[tuple[str, np.ndarray]]:
    """What the value of one tensor becomes in those who read it, by the names of their outputs.

    By its own name where nobody computes with it: outputs, and what is joined or detected.
    """
    readers = [node for node in consumers.get(name, []) if not node.op.shape_only]
    itself = name in graph.outputs or not readers
    for node in readers:
        inputs = [x if source == name else values[source] for source in node.inputs]
        if node.op.capacity([v.shape for v in inputs]) is not None:
            itself = True
            continue
        results = node.op.reference(inputs, node.weights)
        for output, result in zip(node.outputs, results, strict=True):
            if moves_codes(node.op):
                yield from _reach(graph, consumers, values, output, result)
            else:
                yield output, result
    if itself:
        yield name, x
