"""Every blob that real Caffe recorded, against the NumPy reference of what was read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.recorded import (
    MODELS,
    TOLERANCE,
    UNITS,
    difference,
    recorded_model,
    recorded_unit,
)

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.errors import DemitasseError, DemitasseWarning, UnsupportedError


@pytest.mark.parametrize("name", MODELS)
def test_models(models_dir: Path, name: str) -> None:
    recording = recorded_model(models_dir, name)
    graph = recording.graph()
    blobs = evaluate(graph, recording.inputs, all_blobs=True)
    rows = graph.counted()
    for key, (values, largest) in recording.blobs.items():
        shape = recording.shapes[key]
        assert list(blobs[key].shape) == shape
        if graph.blobs[key] not in rows:  # before a run, Caffe too says one row
            assert list(graph.tensors[graph.blobs[key]].shape) == shape
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


@pytest.mark.parametrize("name", UNITS.split())
def test_units(models_dir: Path, name: str) -> None:
    recording = recorded_unit(models_dir, name)
    graph = recording.graph()
    assert list(graph.output_keys()) == sorted(recording.outputs)
    expected = dict(recording.blobs)
    for key, values in recording.outputs.items():
        expected[key] = (values, float(np.nanmax(np.abs(values))))
    blobs = evaluate(graph, recording.inputs, all_blobs=True)
    for key, (values, largest) in expected.items():
        assert blobs[key].shape == values.shape
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


# Where we read on and Caffe stops: a fork's layer type, and a field that it does not know.
READ_ALL_THE_SAME = {"unknown_layer_type", "unknown_field"}


def test_texts_that_caffe_refuses(models_dir: Path) -> None:
    verdicts = (models_dir / "unit_invalid" / "EXPECTED.txt").read_text().splitlines()
    judged = [line.split()[:2] for line in verdicts if " REJECT " in line or " ACCEPT " in line]
    assert len(judged) >= 16
    for name, verdict in judged:
        refused = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemitasseWarning)
            try:
                load_caffe(models_dir / "unit_invalid" / f"{name}.prototxt")
            except DemitasseError as error:
                refused = error
        assert (refused is not None) == (verdict == "REJECT" and name not in READ_ALL_THE_SAME), (
            f"{name}: {verdict}, {refused}"
        )


def test_public_texts(models_dir: Path) -> None:
    """Shapes and outputs of public texts that Caffe accepts and whose layers we know."""
    verdicts = json.loads((models_dir / "zoo" / "shapes_from_caffe.json").read_text())
    compared = 0
    for name, verdict in verdicts.items():
        accepted = "OK" in (verdict["bvlc"], verdict["ssd"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemitasseWarning)
            try:
                graph = load_caffe(models_dir / "zoo" / name)
            except UnsupportedError:
                continue
            except DemitasseError as error:
                assert not accepted, error  # noqa: PT017
                continue
        if accepted:
            net = verdict["net"]
            found = {key: list(graph.tensors[t].shape) for key, t in graph.blobs.items()}
            shapes = {k: s for k, s in net["shapes"].items() if "_split_" not in k}
            assert {key: found.get(key) for key in shapes} == shapes, name
            assert sorted(graph.output_keys()) == sorted(net["outputs"]), name
            compared += 1
    assert compared >= 15


def test_weights_of_another_net(models_dir: Path) -> None:
    """The upstream deploy of this model has 100 classes, its weights 20."""
    folder = models_dir / "cifar100_quick"
    with pytest.raises(DemitasseError, match=r"expected \(100, "):
        load_caffe(folder / "deploy_orig_100.prototxt", folder / MODELS["cifar100_quick"])


def test_training_text(models_dir: Path) -> None:
    folder = models_dir / "cifar10_quick_v1"
    model = folder / MODELS["cifar10_quick_v1"]
    with pytest.warns(DemitasseWarning, match="its Softmax is the output 'prob'"):
        train = load_caffe(folder / "train_test.prototxt", model, {"data": (1, 3, 32, 32)})
    deploy = load_caffe(folder / "deploy.prototxt", model)
    assert train.inputs == ("data",)
    assert train.outputs == ("prob",)
    assert [node.op for node in train.nodes] == [node.op for node in deploy.nodes]
