"""Every blob that real Caffe recorded, against the NumPy reference of what was read."""

from __future__ import annotations

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
from demitasse.errors import DemitasseError, DemitasseWarning


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


# What we say where Caffe refuses, and of what we read all the same: an unknown field (said), and a
# fork's layer type.
SAID = {
    "unknown_layer_type": None,
    "unknown_field": ":1: layer 'a': unknown field foo is ignored; it may change the result",
    "missing_bottom": ":1: layer 'a': unknown bottom blob 'zz' (bottom 0)",
    "inplace_after_other_consumer": ":6: layer 'r': top blob 'x' is produced twice: it is read by",
    "conv_no_kernel": ":1: layer 'a': has no kernel_size; give kernel_size, or kernel_h and",
    "conv_kernel_both": ":1: layer 'a': has both kernel_size and kernel_h/kernel_w; give only one",
    "group_indivisible": ":1: layer 'a': 4 input channels and num_output 3 must be multiples",
    "pool_global_with_kernel": ":1: layer 'a': global_pooling takes the input's size, a kernel is",
    "conv_too_big": ":1: layer 'a': the kernel (20, dilation 1) is larger than the padded input",
}
READ_ALL_THE_SAME = {"unknown_layer_type", "unknown_field"}


def test_texts_that_caffe_refuses(models_dir: Path) -> None:
    verdicts = (models_dir / "unit_invalid" / "EXPECTED.txt").read_text().splitlines()
    judged = [line.split()[:2] for line in verdicts if " REJECT " in line or " ACCEPT " in line]
    assert len(judged) >= 16
    assert {name for name, verdict in judged if verdict == "REJECT"} == set(SAID)
    for name, verdict in judged:
        path = models_dir / "unit_invalid" / f"{name}.prototxt"
        refused = None
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            try:
                load_caffe(path)
            except DemitasseError as error:
                refused = str(error)
        said = [str(remark.message) for remark in remarks]
        if verdict == "REJECT" and name not in READ_ALL_THE_SAME:
            assert refused is not None, name
            assert f"{path}{SAID[name]}" in refused
        else:
            assert refused is None, name
            assert said == ([f"{path}{SAID[name]}"] if SAID.get(name) else []), name


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
