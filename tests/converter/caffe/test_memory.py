"""Loading copies no weights: peak memory stays near the size of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from support.messages import NET, Messages

from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel

ROWS, COLUMNS = 4096, 6400  # 100 MiB

SCRIPT = """
import resource, sys
import demitasse
from demitasse.converter.caffe import reader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
graph = demitasse.load_caffe(*sys.argv[1:])
total = float(graph.nodes[0].weights["weight"].sum())  # touch every page
print(peak() - before, total)
"""


TEXT = f"""
layer {{ name: "in" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: {COLUMNS} }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param {{ num_output: {ROWS} bias_term: false }} }}
"""
# The numbers as bytes, which they are on the wire, so that protobuf does not count them one by one.
SCHEMA = NET.replace("5 data float* packed", "5 data bytes")
SCHEMA += "InnerProductParameter: 1 num_output uint32; 2 bias_term bool\n"
SCHEMA += "LayerParameter: 117 inner_product_param InnerProductParameter; "
SCHEMA += "143 input_param InputParameter\n"


def peak(root: Path, *files: Path) -> float:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    extra, total = map(float, run.stdout.split())
    assert total == ROWS * COLUMNS
    return extra


def test_peak_memory(tmp_path: Path, root: Path) -> None:
    prototxt, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    prototxt.write_text(TEXT)
    ones = np.ones((ROWS, COLUMNS), np.float32)
    write_caffemodel(model, [WeightLayer("fc", "InnerProduct", arrays=(ones,))])
    assert peak(root, prototxt, model) < 1.3 * model.stat().st_size


def test_peak_memory_of_a_caffemodel_alone(tmp_path: Path, root: Path) -> None:
    net = Messages(SCHEMA).parse(TEXT)
    blob = net.layer[1].blobs.add(data=np.ones((ROWS, COLUMNS), np.float32).tobytes())
    blob.shape.dim.extend((ROWS, COLUMNS))
    model = tmp_path / "net.caffemodel"
    model.write_bytes(net.SerializeToString())
    assert peak(root, model) < 1.3 * model.stat().st_size
