"""Detections and regions of interest by onnxruntime, against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exported import worst
from support.graphs import Builder

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.check import check, sample
from demitasse.converter.onnx.export import export_onnx
from demitasse.converter.ops import DetectionOutput, PsRoiPool, Relu, RoiPool, YoloOutput
from demitasse.errors import UnsupportedError

pytest.importorskip("onnxruntime")

opsets = st.sampled_from([11, 13, versions.newest()])
many = settings(max_examples=80, deadline=None, derandomize=True)


@many
@given(
    seed=st.integers(0, 2**16),
    images=st.integers(1, 3),
    priors=st.integers(1, 12),
    classes=st.integers(1, 4),
    share=st.booleans(),
    background=st.integers(-1, 1),
    code=st.sampled_from(["corner", "center_size", "corner_size"]),
    encoded=st.booleans(),
    threshold=st.sampled_from([-1.0, 0.3, 0.9, 2.0]),
    overlap=st.sampled_from([0.0, 0.3, 1.0]),
    top=st.sampled_from([-1, 1, 5, 100]),
    keep=st.sampled_from([-1, 1, 4, 100]),
    opset=opsets,
)
def test_ssd(
    seed: int,
    images: int,
    priors: int,
    classes: int,
    share: bool,
    background: int,
    code: str,
    encoded: bool,
    threshold: float,
    overlap: float,
    top: int,
    keep: int,
    opset: int,
) -> None:
    op = DetectionOutput(
        classes, share, background, code, encoded, threshold, overlap, 1.0, top, keep
    )
    net = Builder(seed)
    near = net.random(priors, 2, low=0, high=0.5)
    prior = np.concatenate([near, near + net.random(priors, 2, low=0.1, high=0.5)], axis=1)
    variance = np.full(priors * 4, 0.5, np.float32)
    groups = 1 if share else classes
    inputs = {
        "location": net.random(images, priors * groups * 4),
        "confidence": net.random(images, priors * classes, low=0, high=1),
        "prior": np.stack([prior.ravel(), variance])[None],
    }
    net.add(op, *(net.input(name, *value.shape) for name, value in inputs.items()))
    assert worst(net.graph(), inputs, opset) <= 1e-5


def test_ssd_knows_no_adaptive_threshold() -> None:
    net = Builder()
    shapes = {"location": (1, 8), "confidence": (1, 4), "prior": (1, 2, 8)}
    net.add(
        DetectionOutput(2, nms_threshold=0.6, eta=0.5),
        *(net.input(name, *shape) for name, shape in shapes.items()),
    )
    with pytest.raises(UnsupportedError, match=r"'detectionoutput0' \(eta 0\.5: "):
        export_onnx(net.graph())


@many
@given(
    seed=st.integers(0, 2**16),
    images=st.integers(1, 2),
    sides=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=2),
    anchors=st.integers(1, 3),
    classes=st.integers(1, 3),
    softmax=st.booleans(),
    threshold=st.sampled_from([0.01, 0.4, 2.0]),
    overlap=st.sampled_from([0.1, 0.45, 1.0]),
    opset=opsets,
)
def test_yolo(
    seed: int,
    images: int,
    sides: list[tuple[int, int]],
    anchors: int,
    classes: int,
    softmax: bool,
    threshold: float,
    overlap: float,
    opset: int,
) -> None:
    sizes = tuple((1.0 + i, 2.0) for i in range(anchors))
    op = YoloOutput(classes, (sizes,) * len(sides), softmax, threshold, overlap)
    net = Builder(seed)
    channels = anchors * (5 + classes)
    net.add(op, *(net.input(f"x{i}", images, channels, *side) for i, side in enumerate(sides)))
    graph = net.graph()
    assert worst(graph, net.feed(graph), opset) <= 1e-5


def regions(net: Builder, images: int) -> np.ndarray:
    """Boxes inside, across and outside of a picture of 40 x 40, some of them inside out."""
    boxes = net.random(12, 4, low=-20, high=60)
    boxes[:3] = np.round(boxes[:3]) + 0.5
    numbers = np.arange(12, dtype=np.float32)[:, None] % images
    return np.concatenate([numbers, boxes], axis=1)


@pytest.mark.parametrize("scale", [0.25, 0.3])
@pytest.mark.parametrize(
    ("position_sensitive", "opset"),
    [(False, 11), (False, 13), (False, 18), (True, 11), (True, 13), (True, versions.newest())],
)
def test_regions(position_sensitive: bool, scale: float, opset: int) -> None:
    net = Builder(5)
    x = net.random(2, 18, 10, 9)
    inputs = {"x": x, "regions": regions(net, 2)}
    op = PsRoiPool(2, 3, scale) if position_sensitive else RoiPool((3, 2), scale)
    net.add(op, net.input("x", *x.shape), net.input("regions", 12, 5))
    assert worst(net.graph(), inputs, opset) <= 1e-5


def test_regions_are_sampled_inside_the_images() -> None:
    net = Builder()
    x, regions = net.input("x", 2, 4, 8, 6), net.input("regions", 9, 5, 1, 1)
    net.add(RoiPool((2, 2), 0.5), x, regions)
    net.add(PsRoiPool(1, 2, 0.5), x, regions)
    graph = net.graph()
    found = sample(graph, 0)["regions"].reshape(9, 5)
    assert set(found[:, 0]) == {0, 1}
    assert (found[:, 1:3] <= found[:, 3:]).all()
    assert found[:, 1:].min() >= 0
    assert found[:, 3].max() <= 12
    assert 12 < found[:, 4].max() <= 16
    assert check(export_onnx(graph), graph).good


@pytest.mark.skipif(versions.newest() < 22, reason="onnx is older than opset 22")
def test_regions_that_onnxruntime_cannot_run() -> None:
    net = Builder()
    net.add(RoiPool((1, 1)), net.input("x", 1, 1, 4, 4), net.input("regions", 1, 5))
    with pytest.raises(UnsupportedError, match="no MaxRoiPool of opset 22"):
        export_onnx(net.graph(), 22)


def test_a_layer_behind_detections_is_refused() -> None:
    net = Builder()
    op = YoloOutput(1, (((1.0, 1.0),),))
    net.add(Relu(), net.add(op, net.input("x", 1, 6, 2, 2)))
    with pytest.raises(UnsupportedError, match=r"'relu1' .*as many rows as a run finds"):
        export_onnx(net.graph())
