"""Every layer's blob, from the reader and the NumPy reference, against real Caffe."""

from __future__ import annotations

import pytest
from oracle import Case, cases, error

import demitasse


@pytest.mark.parametrize("case", list(cases()), ids=str)
@pytest.mark.filterwarnings("ignore:.*(no weights in fcn_head|works in place)")
def test_every_blob(case: Case) -> None:
    graph = demitasse.load_caffe(case.prototxt, case.caffemodel)
    blobs = demitasse.evaluate(graph, case.inputs, all_blobs=True)
    for (layer, top), expected in case.blobs.items():
        assert error(blobs[f"{top}@{layer}"], expected) <= 1e-4, f"{top}@{layer}"
