"""One model, every engine: NumPy reference, kernel sets of this machine, ARMv7 under qemu."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from demitasse.converter.evaluate import float_values
from demitasse.converter.flat import write_model
from demitasse.converter.graph import Graph
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import build_table
from demitasse.runtime.model import Model

Blobs = Mapping[str, np.ndarray]


def quantized(
    graph: Graph,
    inputs: Blobs,
    precision: str,
    symmetric: bool = False,
    layers: Mapping[str, str] | None = None,
) -> Graph:
    """An optimized float graph as integers, calibrated on one feed by the NumPy reference."""
    statistics = Statistics()
    for name, value in float_values(graph, inputs).items():
        statistics.update(name, value)
    table = build_table(statistics, precision, "mse", symmetric)
    return quantize(graph, replace(table, layers=layers or {}))


def stored_bytes(outputs: Blobs, graph: Graph) -> bytes:
    """Outputs as `dmt_run --quantized` writes them."""
    rows = graph.counted()
    found = b""
    for key, name in graph.output_keys().items():
        found += np.uint32(outputs[key].shape[2]).tobytes() if name in rows else b""
        found += np.ascontiguousarray(outputs[key]).tobytes()
    return found


def check_host(graph: Graph, inputs: Blobs, path: Path) -> bytes:
    """Write the model; assert reference = every kernel set; return the outputs' bytes."""
    write_model(graph, path)
    order = list(graph.output_keys())
    expected = run_integer(graph, inputs)
    for kernels in ("generic", None):
        found = Model.open(path, kernels=kernels).run_quantized(inputs)
        for key in order:
            assert found[key].dtype == expected[key].dtype, key
            np.testing.assert_array_equal(found[key], expected[key], err_msg=f"{key} {kernels}")
    return stored_bytes(expected, graph)


def run_program(
    command: list[str], path: Path, inputs: Blobs, order: tuple[str, ...], *options: str
) -> bytes:
    """What `dmt_run --quantized` writes for the model at `path`."""
    source, target = path.with_suffix(".in"), path.with_suffix(".out")
    source.write_bytes(b"".join(np.asarray(inputs[key], "<f4").tobytes() for key in order))
    done = subprocess.run(
        [*command, str(path), str(source), str(target), "--quantized", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target.read_bytes()
