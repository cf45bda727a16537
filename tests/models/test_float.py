"""Recorded networks in float32 by the C runtime: every blob, unfolded, and the folded outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.recorded import (
    MODELS,
    TOLERANCE,
    UNITS,
    Blobs,
    Recording,
    difference,
    recorded_model,
    recorded_unit,
)

from demitasse.converter.flat import write_model
from demitasse.converter.graph import Graph
from demitasse.converter.passes import optimize
from demitasse.runtime.model import Model


def run_all(graph: Graph, inputs: Blobs, path: Path) -> Blobs:
    """Every tensor of the graph by its name, from the C runtime."""
    write_model(graph, path)
    return Model.open(path).run(inputs, all_blobs=True)


def check_every_blob(recording: Recording, path: Path) -> None:
    graph = recording.graph()
    found = run_all(graph, recording.inputs, path)
    compared = 0
    for key, (values, largest) in recording.blobs.items():
        tensor = graph.blobs[key]
        if tensor in found:  # Split and Dropout have no tensor of their own
            assert difference(found[tensor], values, largest) <= TOLERANCE, key
            compared += 1
    assert compared >= len({graph.blobs[key] for key in recording.blobs}) * 0.8


@pytest.mark.parametrize("name", MODELS)
def test_every_blob_of_a_network(models_dir: Path, tmp_path: Path, name: str) -> None:
    check_every_blob(recorded_model(models_dir, name), tmp_path / "net.demi")


@pytest.mark.parametrize("name", UNITS.split())
def test_every_blob_of_a_layer(models_dir: Path, tmp_path: Path, name: str) -> None:
    check_every_blob(recorded_unit(models_dir, name), tmp_path / "net.demi")


@pytest.mark.parametrize("name", MODELS)
def test_folded_outputs(models_dir: Path, tmp_path: Path, name: str) -> None:
    recording = recorded_model(models_dir, name)
    graph = recording.graph()
    write_model(optimize(graph), tmp_path / "net.demi")
    found = Model.open(tmp_path / "net.demi").run(recording.inputs)
    outputs = {tensor: key for key, tensor in graph.output_keys().items()}
    compared = set()
    for blob, (values, largest) in recording.blobs.items():
        key = outputs.get(graph.blobs[blob])
        if key is not None:
            assert difference(found[key], values, largest) <= TOLERANCE, key
            compared.add(key)
    assert compared == set(found)
