"""Does a written network compute what its graph does?"""

from __future__ import annotations

from pathlib import Path

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.converter.onnx.check import difference, sample
from demitasse.converter.passes import single_sample

TOLERANCE = 1e-5  # of an output's largest magnitude


def reread_error(graph: Graph, text: Path, weights: Path, seed: int = 0) -> float:
    """Read the files as anybody would and run them beside the graph on one random sample.

    Returns the largest difference of an output, as a share of its largest magnitude; infinite
    where an output is missing.
    """
    inputs = sample(single_sample(graph), seed)
    expected = evaluate(graph, inputs)
    again = load_caffe(text, weights, outputs=list(expected))
    found = evaluate(again, {key: inputs[key] for key in again.inputs})
    return max((difference(found[key], expected[key]) for key in expected), default=0.0)
