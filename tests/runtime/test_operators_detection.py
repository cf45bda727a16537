"""Detections and pooled regions: the kernels against the operators' definitions, bit by bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from demitasse.converter.ops import DetectionOutput, PsRoiPool, RoiPool, YoloOutput
from demitasse.converter.ops.detection import CODES
from demitasse.quantizer.float_reference import exp
from tests.runtime.operators import NONE, OPERATOR, Call, Tensor, arrays, words

DETECTION, YOLO, ROI_POOL, PSROI_POOL = 29, 30, 31, 32
F = np.float32


def scores(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """In eighths, so that many are equal; some are no numbers."""
    x = (rng.integers(0, 9, shape) / 8).astype(F)
    x[rng.random(shape) < 0.02] = np.nan
    return x


def rows_of(count: int) -> tuple[Tensor, np.ndarray]:
    """An output for that many rows, and where their number goes."""
    return Tensor(np.full((1, 1, count, 7), 9, F), gap=1), np.zeros(1, np.uint32)


def some_detection(rng: np.random.Generator) -> tuple[DetectionOutput, list[np.ndarray]]:
    classes, priors, images = (int(n) for n in rng.integers(1, (5, 40, 4)))
    op = DetectionOutput(
        classes,
        share_location=bool(rng.integers(2)),
        background=int(rng.integers(-1, classes + 1)),
        code=CODES[rng.integers(3)],
        variance_encoded=bool(rng.integers(2)),
        confidence_threshold=float(rng.choice([-1, 0.25, 0.5, 2])),
        nms_threshold=float(F(rng.choice([0, 0.2, 0.45, 0.9]))),
        eta=float(F(rng.choice([1, 0.8]))),
        top_k=int(rng.choice([-1, 0, 3, 10, 100])),
        keep_top_k=int(rng.choice([-1, 0, 2, 8, 1000])),
    )
    groups = 1 if op.share_location else classes
    corner = rng.random((priors, 2), F)
    prior = np.stack(
        [
            np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (priors, 2)).astype(F)], 1),
            rng.uniform(0.1, 0.3, (priors, 4)).astype(F),
        ]
    ).reshape(1, 2, -1)
    location = rng.normal(0, 0.3, (images, priors * groups * 4)).astype(F)
    location[rng.random(location.shape) < 0.01] = rng.choice([np.nan, np.inf, 1e30])
    return op, [location, scores(rng, images, priors * classes), prior]


def detection_call(op: DetectionOutput, inputs: list[np.ndarray], folded: bool) -> Call:
    capacity = op.capacity([x.shape for x in inputs])
    assert capacity is not None
    out, rows = rows_of(capacity)
    background = op.background if 0 <= op.background < op.classes else NONE
    limits = [NONE if n < 0 else n for n in (op.top_k, op.keep_top_k)]
    param = words(
        *(op.classes, background, op.share_location, CODES.index(op.code), op.variance_encoded),
        *(F(op.confidence_threshold), F(op.nms_threshold), F(op.eta), *limits),
        0 if folded else NONE,
    )
    data = bytes(inputs[2].tobytes()) if folded else b""
    tensors = [Tensor(x, gap=gap) for gap, x in enumerate(inputs[: 2 if folded else 3])]
    return Call(DETECTION, tensors, out, param, data=data, rows=rows)


@pytest.mark.parametrize("seed", range(60))
def test_detection(library: ctypes.CDLL, seed: int) -> None:
    op, inputs = some_detection(np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        expected = op.detect(inputs, {}, exp)
    found = detection_call(op, inputs, folded=seed % 2 == 0).run(library)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "change",
    [
        {0: 0},
        {0: 5},
        {0: NONE},
        {8: 2},
        {12: 3},
        {16: 2},
        {32: NONE},  # more boxes than the output has rows
        {36: NONE},
        {40: 64},  # priors behind the end
        {40: 1},
    ],
    ids=str,
)
def test_detection_refuses(library: ctypes.CDLL, change: dict[int, int]) -> None:
    rng = np.random.default_rng(3)
    op = DetectionOutput(2, top_k=4, keep_top_k=3)
    prior = rng.random((1, 2, 24), F)
    inputs = [rng.random((1, 24), F), rng.random((1, 12), F), prior]
    call = detection_call(op, inputs, folded=True)
    assert call.check(library) == 0
    param = bytearray(call.param)
    for at, value in change.items():
        param[at : at + 4] = words(value)
    if change == {32: NONE}:
        param[36:40] = words(NONE)
    assert replace(call, param=bytes(param)).check(library) == OPERATOR


def test_detection_refuses_shapes(library: ctypes.CDLL) -> None:
    op = DetectionOutput(2)
    good = [np.zeros((1, 24), F), np.zeros((1, 12), F), np.zeros((1, 2, 24), F)]
    call = detection_call(op, good, folded=False)
    assert call.check(library) == 0
    assert replace(call, rows=None).check(library) == OPERATOR
    for i, shape in [(0, (1, 20)), (0, (2, 24)), (1, (1, 13)), (2, (1, 2, 20)), (2, (1, 1, 24))]:
        tensors = [Tensor(np.zeros(shape, F) if j == i else x) for j, x in enumerate(good)]
        assert replace(call, inputs=tensors).check(library) == OPERATOR, shape
    few, _ = rows_of(5)
    assert replace(call, out=few).check(library) == OPERATOR


def yolo_call(op: YoloOutput, inputs: list[np.ndarray]) -> Call:
    capacity = op.capacity([x.shape for x in inputs])
    assert capacity is not None
    out, rows = rows_of(capacity)
    anchors = np.array(op.anchors, F)
    param = words(op.classes, anchors.shape[1], op.softmax, *op.limits(), 0)
    return Call(YOLO, [Tensor(x) for x in inputs], out, param, arrays(anchors.ravel()), rows=rows)


def some_yolo(rng: np.random.Generator) -> tuple[YoloOutput, list[np.ndarray]]:
    classes, boxes, grids, images = (int(n) for n in rng.integers(1, (5, 4, 4, 4)))
    anchors = rng.uniform(0.5, 3, (grids, boxes, 2)).astype(F).tolist()
    op = YoloOutput(
        classes,
        tuple(tuple((w, h) for w, h in grid) for grid in anchors),
        softmax=bool(rng.integers(2)),
        confidence_threshold=float(rng.choice([0.01, 0.2, 0.99])),
        nms_threshold=float(rng.choice([0.1, 0.45, 1])),
    )
    sizes = rng.integers(1, 6, (grids, 2))
    inputs = [rng.normal(0, 2, (images, boxes * (5 + classes), h, w)).astype(F) for h, w in sizes]
    for x in inputs:
        x[rng.random(x.shape) < 0.01] = rng.choice([np.nan, np.inf, -1e30])
    return op, inputs


@pytest.mark.parametrize("seed", range(40))
def test_yolo(library: ctypes.CDLL, seed: int) -> None:
    op, inputs = some_yolo(np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        expected = op.detect(inputs, {}, exp)
    found = yolo_call(op, inputs).run(library)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "change", [{0: 0}, {0: 4}, {0: NONE}, {4: 0}, {4: 3}, {4: NONE}, {8: 2}, {20: 64}], ids=str
)
def test_yolo_refuses(library: ctypes.CDLL, change: dict[int, int]) -> None:
    op = YoloOutput(3, (((1.0, 1.0), (2.0, 2.0)),))
    call = yolo_call(op, [np.zeros((1, 16, 2, 3), F)])
    assert call.check(library) == 0
    param = bytearray(call.param)
    for at, value in change.items():
        param[at : at + 4] = words(value)
    assert replace(call, param=bytes(param)).check(library) == OPERATOR
    few, _ = rows_of(11)
    assert replace(call, out=few).check(library) == OPERATOR
    assert replace(call, rows=None).check(library) == OPERATOR


def regions(rng: np.random.Generator, count: int, images: int) -> np.ndarray:
    """Boxes in, across and out of the features; some are of no image, some no numbers."""
    corners = rng.uniform(-20, 60, (count, 2, 2)).astype(F)
    corners[: count // 2] = np.sort(corners[: count // 2], axis=1)
    image = rng.integers(-1, images + 1, count).astype(F)
    found = np.concatenate([image[:, None], corners.reshape(count, 4)], axis=1)
    found[rng.random(found.shape) < 0.02] = rng.choice([np.nan, np.inf, 1e30, -1e30])
    found[:, 1:] = np.where(rng.random((count, 4)) < 0.3, np.rint(found[:, 1:]) / 2, found[:, 1:])
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["roi", "psroi"])
def test_regions(library: ctypes.CDLL, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, channels, high, wide = (int(n) for n in rng.integers(1, (4, 5, 12, 12)))
    scale = float(F(rng.choice([0.0625, 0.25, 0.3, 1])))
    make: dict[str, Callable[[], RoiPool | PsRoiPool]] = {
        "roi": lambda: RoiPool((int(rng.integers(1, 5)), int(rng.integers(1, 5))), scale),
        "psroi": lambda: PsRoiPool(channels, int(rng.integers(1, 4)), scale),
    }
    op = make[kind]()
    planes = channels * (op.group**2 if isinstance(op, PsRoiPool) else 1)
    x = rng.normal(0, 3, (images, planes, high, wide)).astype(F)
    rois = regions(rng, 9, images)
    with np.errstate(all="ignore"):
        (expected,) = op.reference([x, rois], {})
    out = Tensor(np.full(expected.shape, 9, F), gap=2)
    opcode = ROI_POOL if kind == "roi" else PSROI_POOL
    call = Call(opcode, [Tensor(x, gap=1), Tensor(rois, gap=1)], out, words(F(scale)))
    np.testing.assert_array_equal(call.run(library), expected)
    for bad in ((9, 4), (8, 5)):
        assert (
            replace(call, inputs=[Tensor(x), Tensor(np.zeros(bad, F))]).check(library) == OPERATOR
        )
    wrong = Tensor(np.zeros((images, planes + 1, high, wide), F))
    assert replace(call, inputs=[wrong, Tensor(rois)]).check(library) == OPERATOR
