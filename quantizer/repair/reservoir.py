"""The few images on which weights are repaired."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from demitasse.converter.graph import Graph
from demitasse.quantizer.datasets import Dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.repair.weights import repair_weights
from demitasse.quantizer.table import ScaleTable
from demitasse.runtime.model import Model

# Images: as many as some work allows, since they run in NumPy.
WORK = 4_000_000_000  # MACs
FEWEST, MOST = 8, 256
SEED = 4


def repair_table(
    folded: Graph,
    reference: Path,
    table: ScaleTable,
    dataset: Dataset,
    preprocess: Preprocess,
    repairs: Collection[str],
) -> ScaleTable:
    """The table with roundings and biases that suit the dataset.

    reference: the float32 model of the folded graph. The images are the same ones everywhere.
    """
    feed = feed_for({name: folded.tensors[name].shape for name in folded.inputs}, preprocess)
    inputs = [feed(sample) for sample in dataset.subset(images_for(folded), SEED)]
    model = Model.open(reference)
    means: dict[str, np.ndarray] = {}

    def add(name: str, value: np.ndarray) -> None:
        means[name] = means.get(name, 0.0) + value.astype(np.float64) / len(inputs)

    for image in inputs:
        model.observe(image, add)
    return repair_weights(folded, table, inputs, means, repairs)


def images_for(folded: Graph) -> int:
    """How many images the network is repaired on."""
    macs = sum(
        node.op.macs(folded.shapes(node.inputs), folded.shapes(node.outputs))
        for node in folded.nodes
    )
    return min(max(WORK // max(macs, 1), FEWEST), MOST)
