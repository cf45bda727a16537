"""Files that real Caffe saved, read without their prototxt, against what Caffe recorded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import Case, cases, error
from support.recorded import TOLERANCE, difference, recorded_model, recorded_unit

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DemitasseError, DemitasseWarning, ParseError, UnsupportedError

# Beyond conv7_2 the net that was trained pads otherwise than the one that was deployed.
HEADS = tuple(
    f"{layer}_mbox_{kind}_flat"
    for layer in ("conv4_3_norm", "fc7", "conv6_2", "conv7_2")
    for kind in ("loc", "conf")
)

# The blob that a net takes its picture from, what it is cut at, and how many of its blobs Caffe
# recorded by the same name. Those saved in training lack only the softmax.
MODELS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "lenet_mnist": ("data", (), 7),
    "cifar10_quick_v1": ("data", (), 11),
    "cifar100_quick": ("data", (), 11),
    "cifar10_full_v1": ("data", (), 12),
    "hyperlpr_charrec": ("data", (), 12),
    "hyperlpr_finemap": ("data", (), 10),
    "hyperlpr_finemap_v1": ("data", (), 10),
    "hyperlpr_segmentation": ("data", (), 11),
    "mobilefacenet_rk": ("data", (), 195),
    "mtcnn_det1": ("data12face", (), 9),
    "mtcnn_det2": ("data24", (), 12),
    "mtcnn_det3": ("data48", (), 16),
    "ultraface_rfb320": ("input", (), 110),
    "ultraface_slim320": ("input", (), 95),
    "vanface_landmark": ("X", ("Dense3",), 19),
    "wechat_sr": ("data", (), 24),
    "wechat_detect": ("data", (), 181),
    "res10_ssd_face": ("data", HEADS, 79),
    "mobilenet_yolov3_lite": ("data", (), 81),
}


def silently(path: Path, **options: Any) -> Graph:
    """Without the remarks on a guessed dialect, and on weights that a filler gives."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(guessed from|filler says)", DemitasseWarning)
        return load_caffe(path, **options)


@pytest.mark.parametrize("name", MODELS)
def test_models(models_dir: Path, name: str) -> None:
    source, outputs, count = MODELS[name]
    recording = recorded_model(models_dir, name)
    assert recording.weights is not None
    (data,) = recording.inputs.values()
    shapes = {source: data.shape}
    graph = silently(recording.weights, input_shapes=shapes, outputs=outputs or None)
    assert graph.inputs == (source,)
    blobs = evaluate(graph, {source: data}, all_blobs=True)
    shared = [key for key in recording.blobs if key in blobs]
    assert len(shared) == count
    for key in shared:
        values, largest = recording.blobs[key]
        assert difference(blobs[key], values, largest) <= TOLERANCE, key


def test_units(models_dir: Path) -> None:
    files = sorted((models_dir / "unit").glob("*.caffemodel"))
    assert len(files) >= 48
    for path in files:
        recording = recorded_unit(models_dir, path.stem)
        try:
            recording.graph()
        except UnsupportedError as refused:
            with pytest.raises(UnsupportedError, match=refused.message.split(" (")[0]):
                silently(path)
            continue
        graph = silently(path)
        assert list(graph.output_keys()) == sorted(recording.outputs), path.stem
        blobs = evaluate(graph, recording.inputs)
        for key, values in recording.outputs.items():
            largest = float(np.nanmax(np.abs(values)))
            assert difference(blobs[key], values, largest) <= TOLERANCE, (path.stem, key)


BINARY = [case for case in cases() if str(case.caffemodel).endswith(".caffemodel")]
WEIGHTS_ALONE = {"digits", "half_weights", "unpacked_weights", "v1", "v2_text_v1_weights"}
# Weights for a text that has the rest: what is missing differs.
NO_NET = {"extra_layers": "blob 'data' is produced twice", "v0": "takes at least 1 bottom"}


@pytest.mark.parametrize("case", BINARY, ids=str)
def test_the_projects_own_nets(case: Case) -> None:
    assert case.caffemodel is not None
    if case.name in WEIGHTS_ALONE:
        with pytest.raises(ParseError, match="holds weights, but not the layers' parameters"):
            load_caffe(case.caffemodel)
        return
    if case.name in NO_NET:
        with pytest.raises(DemitasseError, match=NO_NET[case.name]):
            load_caffe(case.caffemodel)
        return
    graph = silently(case.caffemodel)
    blobs = evaluate(graph, case.inputs, all_blobs=True)
    for (layer, top), values in case.blobs.items():
        assert error(blobs[f"{top}@{layer}"], values) <= TOLERANCE, (layer, top)
