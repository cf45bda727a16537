"""Runs an exported graph and compares it with the NumPy reference."""

from __future__ import annotations

import numpy as np
import onnx

from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.converter.onnx.check import difference, run
from demitasse.converter.onnx.export import export_onnx


def worst(graph: Graph, inputs: dict[str, np.ndarray], opset: int) -> float:
    """The largest difference of any output, in units of its range."""
    model = export_onnx(graph, opset)
    onnx.checker.check_model(model, full_check=True)
    found = run(model, inputs, [output.name for output in model.graph.output])
    expected = evaluate(graph, inputs).values()
    return max(difference(a, b) for a, b in zip(found, expected, strict=True))
