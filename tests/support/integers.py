"""Scale tables and comparisons for the tests of integer graphs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.scheme import activation_scale
from demitasse.quantizer.table import ScaleTable, TensorScale

Blobs = dict[str, np.ndarray]


def table_of(
    ranges: Mapping[str, tuple[float, float]], precision: str, symmetric: bool = False
) -> ScaleTable:
    """A table with the scheme's scales for the given ranges."""
    tensors = {}
    for name, (low, high) in ranges.items():
        scale, zero_point = activation_scale(low, high, precision, symmetric)
        tensors[name] = TensorScale(float(scale), zero_point, low, high, low, high)
    return ScaleTable(precision, symmetric, "minmax", "", tensors)


def calibrated(
    graph: Graph, inputs: Mapping[str, np.ndarray], precision: str, symmetric: bool = False
) -> ScaleTable:
    """Min-max scales from one float run."""
    blobs = evaluate(graph, inputs, all_blobs=True)
    ranges = {name: (float(x.min()), float(x.max())) for name, x in blobs.items()}
    return table_of(ranges, precision, symmetric)


def both(
    graph: Graph, inputs: Mapping[str, np.ndarray], precision: str, symmetric: bool = False
) -> tuple[Graph, Blobs, Blobs]:
    """The integer graph, every float blob, and every integer blob in real units."""
    integer = quantize(graph, calibrated(graph, inputs, precision, symmetric))
    stored = run_integer(integer, inputs, all_blobs=True)
    real = {
        name: to_real(integer.tensors[integer.blobs[name]], value) for name, value in stored.items()
    }
    return integer, evaluate(graph, inputs, all_blobs=True), real


def sqnr(expected: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantization noise in dB."""
    noise = np.square(expected.astype(np.float64) - found).sum()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).sum() / max(noise, 1e-30)))
