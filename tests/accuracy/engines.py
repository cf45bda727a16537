"""Who runs a network: our float, INT16 and INT8 models, and the peer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accuracy.scores import Answers
from demitasse.converter.graph import Graph
from demitasse.converter.summary import summarise_graph
from demitasse.errors import DemitasseWarning
from demitasse.quantizer.compile import compile
from demitasse.quantizer.diagnosis import diagnose
from demitasse.quantizer.measure import fold
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.table import ScaleTable
from demitasse.runtime.model import Model

Blobs = list[np.ndarray]  # one for each picture, as the network's input
Run = Callable[[Blobs], Answers]
ALONE, ALONE_WORK = 8, 2e9  # pictures at most, MACs


def blobs_of(pictures: np.ndarray, preprocess: Preprocess, graph: Graph) -> Blobs:
    """What the network's only input holds for each picture; floats are blobs already."""
    (name,) = graph.inputs
    shape = graph.tensors[name].shape
    if pictures.dtype == np.uint8:
        return [preprocess.to_blob(picture, shape) for picture in pictures]
    return [blob[None] for blob in pictures]


@dataclass(frozen=True)
class Ours:
    """A model of ours, and the table behind it."""

    run: Run
    table: ScaleTable | None


def demitasse_model(
    graph: Graph, options: Mapping[str, Any], pictures: np.ndarray, how: Preprocess, folder: Path
) -> Ours:
    """With the default options but these, calibrated on all of the pictures."""
    path = folder / "net.demi"
    data: dict[str, Any] = {}
    if options["precision"] != "fp32":
        data = {"data": pictures, "judge": pictures[:1], "samples": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemitasseWarning)
        info = compile(graph, path, preprocess=how, **options, **data)
    model = Model.open(path, threads=2)
    (name,) = graph.inputs
    return Ours(lambda blobs: [model.run({name: blob}) for blob in blobs], info.table)


def layers_alone(graph: Graph, table: ScaleTable, blobs: Blobs) -> float:
    """SQNR in dB of the worst layer, each quantized alone, on a few pictures."""
    folded = fold(graph, table.equalized)
    count = max(1, min(ALONE, len(blobs), int(ALONE_WORK / summarise_graph(folded).macs)))
    few = blobs[:: -(-len(blobs) // count)]
    layers = diagnose(folded, quantize(folded, table), [{graph.inputs[0]: x} for x in few])
    return min(layer.alone.sqnr for layer in layers)
