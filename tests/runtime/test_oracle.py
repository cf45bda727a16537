"""The float runtime against real Caffe: every blob of the recorded networks that is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle import Case, cases, error

import demitasse


@pytest.mark.parametrize("case", list(cases()), ids=str)
@pytest.mark.filterwarnings("ignore:.*(no weights in fcn_head|works in place)")
def test_every_blob(case: Case, tmp_path: Path) -> None:
    graph = demitasse.load_caffe(case.prototxt, case.caffemodel)
    demitasse.compile(graph, tmp_path / "net.demi", precision="fp32")
    model = demitasse.Model.open(tmp_path / "net.demi")
    blobs = model.run(case.inputs, all_blobs=True)
    last = {top: blob for (_, top), blob in case.blobs.items()}
    assert {info.name for info in model.outputs} <= blobs.keys()
    for name in blobs.keys() & last.keys():
        assert error(blobs[name], last[name]) <= 1e-4, name
