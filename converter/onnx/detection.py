"""Detections, with ONNX's NonMaxSuppression.

It takes boxes as the operators here do: scores above the threshold, best first, of equals the
earlier; those go whose overlap with a better one exceeds the limit. An image of a batch is a set
of nodes of its own. What a run finds decides how many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from demitasse.converter.graph import Shape
from demitasse.converter.onnx import versions
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import DetectionOutput, YoloOutput
from demitasse.converter.ops.detection import COLUMNS
from demitasse.errors import UnsupportedError


@dataclass(frozen=True)
class Candidates:
    """Values: scores (L, K) and boxes (L, K, 4), L lists that suppress on their own."""

    scores: str
    boxes: str
    lists: int
    length: int


def detection_output(step: Step, op: DetectionOutput) -> str:
    if op.eta < 1 and op.nms_threshold > 0.5:
        raise UnsupportedError(f"eta {op.eta}: ONNX has no threshold that adapts itself")
    images = step.shapes[0][0]
    labels = [label for label in range(op.classes) if label != op.background]
    if not labels:
        return step.constant(_nothing(images)[None, None], "nothing")
    priors = step.shapes[1][1] // op.classes
    groups = 1 if op.share_location else op.classes
    boxes = _decoded(step, op, (images, priors, groups, 4))
    boxes = step.add("Transpose", boxes, perm=(0, 2, 1, 3))
    scores = step.reshape(step.inputs[1], (images, priors, op.classes))
    scores = step.add("Transpose", scores, perm=(0, 2, 1))
    chosen = step.integers(labels, "labels")
    scores = step.add("Gather", scores, chosen, axis=1)
    if groups > 1:
        boxes = step.add("Gather", boxes, chosen, axis=1)
    names = step.constant(np.array(labels), "names")
    rows = []
    for image in range(images):
        at = step.integers(np.array(image), "image")
        own, theirs = (step.add("Gather", value, at, axis=0) for value in (scores, boxes))
        sets = len(labels) if groups > 1 else 1
        found = _strongest(step, Candidates(own, theirs, len(labels), priors), sets, op.top_k)
        at, place = _suppressed(step, found, op.confidence_threshold, op.nms_threshold)
        label = step.add("Gather", names, at, axis=0)
        score, box = _picked(step, found, at, place)
        rows.append(_best(step, _row(step, label, score, box), score, op.keep_top_k))
    return _answer(step, rows)


def yolo_output(step: Step, op: YoloOutput) -> str:
    threshold, overlap = (float(limit) for limit in op.limits())
    if overlap < 0:
        raise UnsupportedError("nms_threshold 0: ONNX keeps boxes that do not overlap")
    grids = [
        _grid(step, op, name, shape, anchors)
        for name, shape, anchors in zip(step.inputs, step.shapes, op.anchors, strict=True)
    ]
    label, score, box = (
        parts[0] if len(parts) == 1 else step.add("Concat", *parts, axis=1)
        for parts in zip(*grids, strict=True)
    )
    rows = []
    for image in range(step.shape[0]):
        labels, scores, boxes = (
            step.add("Gather", value, step.integers([image], "image"), axis=0)
            for value in (label, score, box)
        )
        length = int(op.capacity(step.shapes) or 0) // step.shape[0]
        found = Candidates(scores, boxes, 1, length)
        at, place = _suppressed(step, found, threshold, overlap)
        best, own = _picked(step, found, at, place)
        flat = step.reshape(labels, (length,))
        rows.append(_row(step, step.add("Gather", flat, place, axis=0), best, own))
    return _answer(step, rows)


def _grid(
    step: Step,
    op: YoloOutput,
    x: str,
    shape: Shape,
    anchors: Sequence[tuple[float, float]],
) -> tuple[str, str, str]:
    """Labels (N, n), scores (N, n) and boxes (N, n, 4) of all n boxes of a grid."""
    images, _, height, width = shape
    count = len(anchors)
    x = step.reshape(x, (images, count, 5 + op.classes, height * width))
    x = step.add("Transpose", x, perm=(0, 3, 1, 2))
    x = step.reshape(x, (images, height * width * count, 5 + op.classes))
    place, grow, there, classes = versions.split(step, x, (2, 2, 1, op.classes), 2)
    label = step.add("Cast", step.add("ArgMax", classes, axis=2, keepdims=0), to=TensorProto.FLOAT)
    label = step.scaled(label, 1, 1)
    best = versions.reduce(step, "ReduceMax", classes, [2])
    if op.softmax:
        powers = step.add("Exp", step.add("Sub", classes, best))
        share = step.add("Reciprocal", versions.reduce(step, "ReduceSum", powers, [2]))
    else:
        share = step.add("Sigmoid", best)
    score = step.add("Mul", step.add("Sigmoid", there), share)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    cells = np.repeat(grid.reshape(-1, 2), count, axis=0)
    sides = np.tile(np.array(anchors), (height * width, 1))
    extent = step.constant(np.array([width, height]), "extent")
    centre = step.add("Add", step.constant(cells, "cells"), step.add("Sigmoid", place))
    size = step.add("Mul", step.add("Exp", grow), step.constant(sides, "anchors"))
    size = step.add("Mul", step.add("Div", size, extent), step.constant(0.5, "half"))
    boxes = _corners(step, step.add("Div", centre, extent), size, 2)
    return label, step.reshape(score, (images, height * width * count)), boxes


def _decoded(step: Step, op: DetectionOutput, shape: tuple[int, int, int, int]) -> str:
    """Boxes of this shape from locations, priors and variances, as the operator's `decode`."""
    location = step.reshape(step.inputs[0], shape)
    prior = step.inputs[2] if len(step.inputs) > 2 else step.weight("prior")
    prior = step.reshape(prior, (2, shape[1], 1, 4))
    prior, variance = versions.split(step, prior, (1, 1), 0)
    shift = location if op.variance_encoded else step.add("Mul", variance, location)
    if op.code == "corner":
        return step.add("Add", prior, shift)
    near, far = versions.split(step, prior, (2, 2), 3)
    size = step.add("Sub", far, near)
    if op.code == "corner_size":
        both = step.add("Concat", size, size, axis=3)
        return step.add("Add", prior, step.add("Mul", shift, both))
    half = step.constant(0.5, "half")
    move, grow = versions.split(step, shift, (2, 2), 3)
    middle = step.add("Mul", step.add("Add", near, far), half)
    centre = step.add("Add", step.add("Mul", move, size), middle)
    reach = step.add("Mul", step.add("Mul", step.add("Exp", grow), size), half)
    return _corners(step, centre, reach, 3)


def _corners(step: Step, centre: str, reach: str, axis: int) -> str:
    near, far = step.add("Sub", centre, reach), step.add("Add", centre, reach)
    return step.add("Concat", near, far, axis=axis)


def _strongest(step: Step, found: Candidates, sets: int, most: int) -> Candidates:
    """At most so many of each list. Of boxes there is one set for all lists, then one for each."""
    lists, length = found.lists, found.length
    if not 0 <= most < length:
        boxes = step.add("Expand", found.boxes, step.integers((lists, length, 4), "shape"))
        return Candidates(found.scores, boxes, lists, length)
    count = step.integers([most], "count")
    scores, at = step.add_many("TopK", (found.scores, count), 2, axis=1)
    if sets > 1:
        at = step.add("Add", at, step.integers(np.arange(sets)[:, None] * length, "set"))
    boxes = step.add("Gather", step.reshape(found.boxes, (sets * length, 4)), at, axis=0)
    return Candidates(scores, boxes, lists, most)


def _suppressed(step: Step, found: Candidates, threshold: float, overlap: float) -> tuple[str, str]:
    """Which list and which place in it, (n,) each, list by list and best first."""
    near, far = versions.split(step, found.boxes, (2, 2), 2)
    # ONNX turns boxes that are inside out, here they overlap nothing: as those without extent.
    boxes = step.add("Concat", near, step.add("Max", near, far), axis=2)
    chosen = step.add(
        "NonMaxSuppression",
        boxes,
        step.reshape(found.scores, (found.lists, 1, found.length)),
        step.integers([found.length], "most"),
        step.constant(np.array([min(overlap, 1.0)]), "overlap"),
        step.constant(np.array([threshold]), "threshold"),
    )
    at, _, place = versions.split(step, chosen, (1, 1, 1), 1)
    return step.reshape(at, (-1,)), step.reshape(place, (-1,))


def _picked(step: Step, found: Candidates, at: str, place: str) -> tuple[str, str]:
    """Scores (n,) and boxes (n, 4) of those chosen."""
    length = step.integers([found.length], "length")
    flat = step.add("Add", step.add("Mul", at, length), place)
    total = found.lists * found.length
    scores, boxes = step.reshape(found.scores, (total,)), step.reshape(found.boxes, (total, 4))
    return step.add("Gather", scores, flat, axis=0), step.add("Gather", boxes, flat, axis=0)


def _row(step: Step, label: str, score: str, box: str) -> str:
    """(n, 6): label, score and box."""
    label, score = step.reshape(label, (-1, 1)), step.reshape(score, (-1, 1))
    return step.add("Concat", label, score, box, axis=1)


def _best(step: Step, rows: str, score: str, most: int) -> str:
    """The rows with the `most` largest scores, in their order."""
    if most < 0:
        return rows
    there, limit = step.add("Shape", score), step.integers([most], "most")
    count = step.add("Where", step.add("Less", there, limit), there, limit)
    _, best = step.add_many("TopK", (score, count), 2, axis=0)
    best, _ = step.add_many("TopK", (best, count), 2, axis=0, largest=0)
    return step.add("Gather", rows, best, axis=0)


def _answer(step: Step, images: Sequence[str]) -> str:
    """(1, 1, n, 7) from the rows (n, 6) of each image; a row of -1 for each where none has any."""
    nothing = _nothing(len(images))
    numbered = []
    for image, rows in enumerate(images):
        ahead = step.integers([0, 1, 0, 0], "column")
        numbered.append(step.add("Pad", rows, ahead, step.constant(image, "image")))
    every = step.add("Concat", *numbered, step.constant(nothing, "nothing"), axis=0)
    first = step.integers([0], "first")
    least = step.integers([len(images)], "images")
    total = step.add("Sub", step.add("Gather", step.add("Shape", every), first), least)
    none = step.add("Equal", total, first)
    rows = step.add("Slice", every, first, step.add("Where", none, least, total))
    return step.reshape(rows, (1, 1, -1, COLUMNS))


def _nothing(images: int) -> np.ndarray:
    return np.insert(np.full((images, COLUMNS - 1), -1.0), 0, np.arange(images), axis=1)
