"""Layer by layer: an integer model against the float network that it came from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demitasse.converter.flat.read import ModelFile, TensorRecord
from demitasse.converter.summary import precision
from demitasse.errors import DataError
from demitasse.quantizer.datasets import Sample
from demitasse.quantizer.feed import Feed
from demitasse.quantizer.scheme import out_of_range
from demitasse.quantizer.scoring import Difference

# A layer is bad below this many dB: what is left of the signal then decides answers.
BAD_SQNR = {"int8": 10.0, "int16": 40.0, "fp32": 80.0}


class Engine(Protocol):
    """What runs a network and gives every blob it keeps."""

    def run(
        self, inputs: Mapping[str, np.ndarray], all_blobs: bool = False
    ) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One blob, after the operator `layer`. clipped: share of the float values out of range."""

    layer: str
    blob: str
    dtype: str
    sqnr: float
    cosine: float
    max_error: float
    clipped: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows in the order of execution; first_bad is the first row below `limit` dB."""

    rows: tuple[LayerRow, ...]
    images: int
    limit: float
    first_bad: LayerRow | None


def compare(
    model: Engine,
    reference: Engine,
    file: ModelFile,
    samples: Iterable[Sample],
    feed: Feed,
    limit: float | None = None,
) -> Comparison:
    """Compare every blob that both models keep.

    file: the records of `model`. limit: dB below which a layer is bad; by default by precision.
    Raises DataError where the two have no blob in common.
    """
    layers = _layers(file)
    differences: dict[str, Difference] = {}
    clipped: dict[str, int] = {}
    images = 0
    for sample in samples:
        inputs = feed(sample)
        expected = reference.run(inputs, all_blobs=True)
        found = model.run(inputs, all_blobs=True)
        images += 1
        for blob in layers:
            if blob not in expected or expected[blob].shape != found[blob].shape:
                continue
            differences.setdefault(blob, Difference()).add(expected[blob], found[blob])
            tensor = layers[blob][1]
            outside = out_of_range(expected[blob], tensor.dtype, tensor.scale, tensor.zero_point)
            clipped[blob] = clipped.get(blob, 0) + outside
    if not differences:
        raise DataError("the model and the network have no blob in common")
    rows = []
    for blob, difference in differences.items():
        layer, tensor = layers[blob]
        got = difference.fidelity(blob)
        share = clipped[blob] / (images * math.prod(tensor.shape))
        rows.append(LayerRow(layer, blob, tensor.dtype, got.sqnr, got.cosine, got.max_error, share))
    limit = BAD_SQNR[precision(file)] if limit is None else limit
    bad = next((row for row in rows if not row.sqnr >= limit), None)
    return Comparison(tuple(rows), images, limit, bad)


def _layers(file: ModelFile) -> dict[str, tuple[str, TensorRecord]]:
    """Layer and tensor of each blob with a name, in the order in which they are computed.

    Left out: views of other blobs (reshaped, permuted, concatenated), unless they are outputs;
    detections, whose rows may be other ones.
    """
    makers = dict.fromkeys(file.outputs.values(), "(output)")
    makers |= dict.fromkeys(file.inputs.values(), "(input)")
    makers |= {operator.output: operator.name or "" for operator in file.operators}
    order = sorted(makers, key=lambda i: (file.tensors[i].after, i))
    return {
        name: (makers[i], tensor)
        for i in order
        if (name := (tensor := file.tensors[i]).name) is not None and not tensor.count
    }
