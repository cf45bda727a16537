"""Run a network in every engine: the NumPy reference, the C runtime and, where it is installed,
onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import demitasse
from demitasse.converter.graph import Graph


def everywhere(graph: Graph, folder: Path, *inputs: Any) -> np.ndarray:
    """The only output, by the reference; the other engines must agree within rounding."""
    feed = {n: np.asarray(x, np.float32) for n, x in zip(graph.inputs, inputs, strict=True)}
    ((name, expected),) = demitasse.evaluate(graph, feed).items()
    demitasse.compile(graph, folder / "net.demi", precision="fp32")
    found = {"runtime": demitasse.Model.open(folder / "net.demi").run(feed)[name]}
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        session = onnxruntime.InferenceSession(
            demitasse.export_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (found["onnxruntime"],) = session.run(None, feed)
    for engine, value in found.items():
        largest = max(float(np.abs(expected).max()), 1e-30)
        np.testing.assert_allclose(value, expected, atol=1e-5 * largest, err_msg=engine)
    return expected
