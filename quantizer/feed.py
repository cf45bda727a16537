"""From samples and files to what a network's inputs hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from demitasse.converter.graph import Shape
from demitasse.errors import DataError
from demitasse.quantizer.datasets import Sample, open_dataset
from demitasse.quantizer.datasets.arrays import read_array
from demitasse.quantizer.datasets.opening import split_key
from demitasse.quantizer.preprocess import Preprocess, check_single

Feed = Callable[[Sample], Mapping[str, np.ndarray]]


def feed_for(inputs: Mapping[str, Shape], preprocess: Preprocess) -> Feed:
    """How a sample becomes the inputs of a network; DataError for one with several inputs."""
    if len(inputs) != 1:
        raise DataError(
            f"the network has {len(inputs)} inputs ({', '.join(inputs)}), and samples have one",
            remedy="take one input, or use demitasse run",
        )
    check_single(inputs)
    ((name, shape),) = inputs.items()

    def feed(sample: Sample) -> Mapping[str, np.ndarray]:
        return {name: preprocess.apply(sample, shape)}

    return feed


def read_input(spec: str | os.PathLike[str], shape: Shape, preprocess: Preprocess) -> np.ndarray:
    """One input from a file: float arrays go in as they are, pictures are preprocessed."""
    path, key = split_key(spec)
    if path.suffix in (".npy", ".npz"):
        array, _ = read_array(Path(path), key)
        if array.dtype != np.uint8:
            return np.asarray(array, np.float32)
    samples = open_dataset(spec)
    return np.concatenate([preprocess.apply(sample, shape) for sample in samples])
