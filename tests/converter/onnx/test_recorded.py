"""Exported networks, run by onnxruntime, against what real Caffe recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import oracle
import pytest
from support.recorded import (
    MODELS,
    TOLERANCE,
    UNITS,
    Blobs,
    difference,
    recorded_model,
    recorded_unit,
)

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph
from demitasse.converter.onnx import versions
from demitasse.converter.onnx.check import check, opened, run
from demitasse.converter.onnx.export import export_onnx, value_names
from demitasse.converter.passes import simplify

pytest.importorskip("onnxruntime")

OPSETS = (11, 13, versions.newest())


def every_blob(graph: Graph, inputs: Blobs, opset: int) -> Blobs:
    """By the user's keys, what onnxruntime makes of the values that the model has."""
    model = export_onnx(graph, opset)
    names = value_names(graph)
    made = {name for node in model.graph.node for name in node.output}
    keys = [key for key, name in graph.blobs.items() if names[name] in made]
    found = run(opened(model), inputs, [names[graph.blobs[key]] for key in keys])
    return dict(zip(keys, found, strict=True))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", UNITS.split())
def test_units(models_dir: Path, name: str, opset: int) -> None:
    recording = recorded_unit(models_dir, name)
    graph = recording.graph()
    blobs = every_blob(graph, recording.inputs, opset)
    assert set(recording.outputs) <= set(blobs)
    for key, values in recording.outputs.items():
        largest = float(np.nanmax(np.abs(values)))
        assert blobs[key].shape == values.shape
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", MODELS)
def test_models(models_dir: Path, name: str, opset: int) -> None:
    recording = recorded_model(models_dir, name)
    graph = recording.graph()
    blobs = every_blob(graph, recording.inputs, opset)
    compared = blobs.keys() & recording.blobs.keys()
    assert len(compared) >= len(graph.nodes) / 2
    for key in compared:
        values, largest = recording.blobs[key]
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", list(oracle.cases()), ids=str)
def test_own_networks(case: oracle.Case, opset: int) -> None:
    shapes = {name: value.shape for name, value in case.inputs.items()}
    graph = load_caffe(case.prototxt, case.caffemodel, shapes)
    blobs = every_blob(graph, case.inputs, opset)
    assert set(graph.output_keys()) <= set(blobs)
    for (layer, top), expected in case.blobs.items():
        if f"{top}@{layer}" in blobs:
            assert oracle.error(blobs[f"{top}@{layer}"], expected) <= TOLERANCE, layer


@pytest.mark.parametrize("case", list(oracle.cases()), ids=str)
def test_folded_networks(case: oracle.Case) -> None:
    graph = simplify(load_caffe(case.prototxt, case.caffemodel))
    verdict = check(export_onnx(graph), graph)
    assert verdict.good, verdict.first
