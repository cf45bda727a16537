"""The float network as it is calibrated and run, and its statistics over data."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from demitasse.converter.evaluate import check_weights
from demitasse.converter.flat import serialise
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize
from demitasse.quantizer.auto import RESERVOIR, RESERVOIR_SEED, choose_methods
from demitasse.quantizer.calibrate import DEFAULT_COUNT, collect
from demitasse.quantizer.datasets import Dataset, DataSpec, open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.repair import Exponents, choose_exponents, equalize
from demitasse.quantizer.statistics import Statistics
from demitasse.runtime.model import Model


def fold(graph: Graph, exponents: Exponents | None = None) -> Graph:
    """The graph as it is calibrated and run, its channels equalized by these factors."""
    return equalize(optimize(graph), exponents or {})


def find_exponents(graph: Graph) -> dict[str, str]:
    """The factors that suit the network."""
    return choose_exponents(fold(graph))


@contextmanager
def float_model(folded: Graph) -> Iterator[Path]:
    """The folded graph as a float32 model.demi, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="demitasse-") as folder:
        path = Path(folder) / "float.demi"
        path.write_bytes(serialise(folded)[0])
        yield path


def calibrate(
    folded: Graph,
    reference: Path,
    dataset: Dataset | None,
    preprocess: Preprocess,
    samples: int | None = DEFAULT_COUNT,
    workers: int = 1,
    quiet: bool = True,
    shard: tuple[int, int] = (1, 1),
    exponents: Exponents | None = None,
) -> Statistics:
    """Statistics of a folded graph's tensors, from its float model on this machine.

    exponents: those that the graph was equalized by; the statistics remember them.
    """
    assert dataset is not None
    found = collect(
        partial(Model.open, reference),
        dataset,
        preprocess,
        {name: folded.tensors[name].shape for name in folded.inputs},
        count=samples,
        shard=shard,
        workers=workers,
        model=hashlib.sha256(reference.read_bytes()).hexdigest()[:16],
        quiet=quiet,
    )
    if not exponents:
        return found
    return replace(found, context={**found.context, "equalized": dict(exponents)})


def auto_methods(
    folded: Graph,
    statistics: Statistics,
    dataset: Dataset | None,
    preprocess: Preprocess,
    symmetric: bool = False,
    fixed: Collection[str] = (),
    quiet: bool = True,
) -> dict[str, str]:
    """The method for each tensor that a few of the images find best; not of `fixed` tensors."""
    assert dataset is not None
    feed = feed_for({name: folded.tensors[name].shape for name in folded.inputs}, preprocess)
    few = dataset.subset(RESERVOIR, RESERVOIR_SEED)
    shown = tqdm(few, desc="choose methods", unit="sample", disable=quiet, leave=False)
    return choose_methods(folded, statistics, map(feed, shown), symmetric, fixed)


def measure(
    graph: Graph,
    data: DataSpec,
    preprocess: Preprocess,
    *,
    samples: int | None = DEFAULT_COUNT,
    shard: tuple[int, int] = (1, 1),
    workers: int = 1,
    equalized: bool = True,
    quiet: bool = True,
) -> Statistics:
    """The statistics of a network as `load_caffe` gives it, over all of the data."""
    check_weights(graph)
    dataset = open_dataset(data)
    exponents = find_exponents(graph) if equalized else {}
    folded = fold(graph, exponents)
    how = (dataset, preprocess, samples, workers, quiet, shard, exponents)
    with float_model(folded) as reference:
        return calibrate(folded, reference, *how)
