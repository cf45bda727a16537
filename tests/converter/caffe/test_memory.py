"""Loading copies no weights: peak memory stays near the size of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel

ROWS, COLUMNS = 4096, 6400  # 100 MiB

SCRIPT = """
import resource, sys
import demitasse
from demitasse.converter.caffe import reader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
graph = demitasse.load_caffe(sys.argv[1], sys.argv[2])
total = float(graph.nodes[0].weights["weight"].sum())  # touch every page
print(peak() - before, total)
"""


def test_peak_memory(tmp_path: Path, root: Path) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(
        f'input: "data" input_shape {{ dim: 1 dim: {COLUMNS} }}\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"\n'
        f"inner_product_param {{ num_output: {ROWS} bias_term: false }} }}"
    )
    ones = np.ones((ROWS, COLUMNS), np.float32)
    write_caffemodel(model, [WeightLayer("fc", "InnerProduct", arrays=(ones,))])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, prototxt, model],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    extra, total = map(float, run.stdout.split())
    assert total == ROWS * COLUMNS
    assert extra < 1.3 * model.stat().st_size
