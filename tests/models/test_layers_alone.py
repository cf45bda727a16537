"""Each layer of real networks, quantized alone on the input that Caffe was recorded with."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.integers import table_of
from support.recorded import recorded_model

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import float_values
from demitasse.quantizer.diagnosis import LayerDiagnosis, diagnose
from demitasse.quantizer.measure import find_exponents, fold
from demitasse.quantizer.quantize import quantize

NAMES = ["lenet_mnist", "cifar10_full_v1", "mtcnn_det2", "hyperlpr_charrec", "mobilefacenet_rk"]


def layers(models_dir: Path, name: str, precision: str) -> tuple[LayerDiagnosis, ...]:
    """Calibrated and diagnosed on the same sample."""
    recording = recorded_model(models_dir, name)
    inputs = {key: x[:1] for key, x in recording.inputs.items()}
    shapes = {key: x.shape for key, x in inputs.items()}
    graph = load_caffe(recording.prototxt, recording.weights, shapes)
    graph = fold(graph, find_exponents(graph))
    values = float_values(graph, inputs)
    ranges = {key: (float(np.min(x)), float(np.max(x))) for key, x in values.items()}
    return diagnose(graph, quantize(graph, table_of(ranges, precision)), [inputs])


@pytest.mark.parametrize("name", NAMES)
def test_int16_loses_nothing_in_any_layer(models_dir: Path, name: str) -> None:
    rows = layers(models_dir, name, "int16")
    worst = min(rows, key=lambda row: row.alone.sqnr)
    print(f"{name}: {worst.layer} has {worst.alone.sqnr:.1f} dB")
    assert worst.alone.sqnr >= 55
    assert max(row.clipped for row in rows) == 0
    assert sum(row.dtype == "int16" for row in rows) >= len(rows) - 1  # Softmax


@pytest.mark.parametrize("name", NAMES)
def test_int8_spoils_no_layer_by_itself(models_dir: Path, name: str) -> None:
    rows = layers(models_dir, name, "int8")
    worst = min(rows, key=lambda row: row.alone.sqnr)
    print(f"{name}: {worst.layer} has {worst.alone.sqnr:.1f} dB")
    assert worst.alone.sqnr >= 20
    for row in rows:  # both parts are in the whole
        if row.weights is not None and math.isfinite(row.weights.sqnr):
            parts = 10 ** (-row.weights.sqnr / 10) + 10 ** (-row.activations.sqnr / 10)
            assert row.alone.sqnr == pytest.approx(-10 * math.log10(parts), abs=3), row.layer
