"""Recorded networks in float32 by the C runtime: every blob, unfolded, and the folded outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bits import run_program
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


# With convolutions of every kind that has a kernel of its own, and few enough for an emulator.
ON_ARM = (
    *("lenet_mnist", "cifar10_full_v1", "mtcnn_det1", "mtcnn_det2", "mtcnn_det3"),
    *("ultraface_slim320", "mobilefacenet_rk", "hyperlpr_charrec", "hyperlpr_segmentation"),
)


@pytest.mark.arm
@pytest.mark.parametrize("name", ON_ARM)
def test_folded_outputs_on_arm(models_dir: Path, arm_tools: Any, tmp_path: Path, name: str) -> None:
    """NEON's convolutions may sum in another order, and know no subnormals."""
    recording = recorded_model(models_dir, name)
    graph, path = optimize(recording.graph()), tmp_path / "net.demi"
    write_model(graph, path)
    first = {key: value[:1] for key, value in recording.inputs.items()}
    command = [str(arm_tools.qemu), str(arm_tools.run)]
    values = np.frombuffer(run_program(command, path, first, graph.inputs), np.float32)
    for tensor in graph.output_keys().values():
        shape = (1, *graph.tensors[tensor].shape[1:])
        found, values = np.split(values, [int(np.prod(shape))])
        expected, largest = _recorded(recording, tensor)
        assert difference(found.reshape(shape), expected[:1], largest) <= TOLERANCE, tensor
    assert values.size == 0


def _recorded(recording: Recording, tensor: str) -> tuple[np.ndarray, float]:
    graph = recording.graph()
    keys = [key for key in recording.blobs if graph.blobs[key] == tensor]
    return recording.blobs[keys[0]]
