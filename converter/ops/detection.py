"""Boxes: SSD's priors and detections, YOLO's detections.

Detections are rows (image, label, score, left, top, right, bottom) of a blob (1, 1, n, 7) whose n
is known only after a run. Their shape before one is Caffe's, one row; `capacity` tells the most.
Images without any box have no rows, but where no image has one, each has a row (image, -1, ...).
All arithmetic is float32, one operation at a time, so that other back ends can have the same bits
(`exp` is the only function; see `detect`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require

F = np.float32
Exp = Callable[[np.ndarray], np.ndarray]
COLUMNS = 7
LOWEST = float(np.finfo(F).min)
CODES = ("corner", "center_size", "corner_size")


class Detector(Operator):
    """An operator whose output has rows of detections."""

    __slots__ = ()

    def detect(self, inputs: Sequence[np.ndarray], weights: Arrays, exp: Exp) -> np.ndarray:
        """The rows, with the given exponential function."""
        raise NotImplementedError

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        with np.errstate(all="ignore"):
            return (self.detect([x.astype(F) for x in inputs], weights, np.exp),)


@dataclass(frozen=True, slots=True)
class PriorBox(Operator):
    """SSD's default boxes of each cell of the first input; (1, 2, cells * boxes * 4).

    Row 0 holds left, top, right, bottom as shares of the image, row 1 the variances. A cell has,
    for each of `sizes` (min, max or None), the square of min, that of sqrt(min * max), and one box
    for every ratio but 1. `image` and `step` are (vertical, horizontal) pixels; without `image` the
    second input's size counts, without `step` image / cells. Only shapes are looked at.
    """

    sizes: tuple[tuple[int, int | None], ...]
    ratios: tuple[float, ...] = ()
    clip: bool = False
    variances: tuple[float, ...] = (0.1, 0.1, 0.1, 0.1)
    image: tuple[int, int] | None = None
    step: tuple[float, float] | None = None
    offset: float = 0.5

    shape_only: ClassVar[bool] = True

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return False

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"PriorBox needs a 4-D input, found shape {inputs[0]}")
        if self.image is None:
            require(
                len(inputs) > 1 and len(inputs[1]) == 4,
                "PriorBox needs the image, a second 4-D input, or img_size",
            )
        return ((1, 2, inputs[0][2] * inputs[0][3] * len(self._boxes()) * 4),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        cells = inputs[0].shape[2:]
        image = self.image or inputs[1].shape[2:]
        step = self.step or tuple(F(i) / F(c) for i, c in zip(image, cells, strict=True))
        boxes = np.array(self._boxes(), np.float64)  # (boxes, 2), vertical first
        edges = []
        for axis in (1, 0):
            at = (np.arange(cells[axis], dtype=F) + F(self.offset)) * F(step[axis])
            near, far = (
                (at.astype(np.float64)[:, None] + side * boxes[:, axis] / 2) / image[axis]
                for side in (-1, 1)
            )
            lines = (None, slice(None)) if axis == 1 else (slice(None), None)
            edges.append([np.broadcast_to(e[lines], (*cells, len(boxes))) for e in (near, far)])
        (left, right), (top, bottom) = edges
        prior = np.stack([left, top, right, bottom], axis=-1).astype(F).ravel()
        if self.clip:
            prior = np.clip(prior, F(0), F(1))
        variances = np.resize(np.array(self.variances, F), prior.size)
        return (np.stack([prior, variances])[None],)

    def _boxes(self) -> list[tuple[np.float32, np.float32]]:
        """(height, width) of each box of a cell, in pixels."""
        boxes = []
        for low, high in self.sizes:
            boxes.append((F(low), F(low)))
            if high is not None:
                boxes.append((F(np.sqrt(low * high)),) * 2)
            boxes += [(F(low / np.sqrt(F(r))), F(low * np.sqrt(F(r)))) for r in self.ratios]
        return boxes


@dataclass(frozen=True, slots=True)
class DetectionOutput(Detector):
    """SSD's last layer. Inputs: locations (N, P * G * 4), confidences (N, P * classes) and priors
    (1, 2, P * 4), the last as the weight `prior` where it is constant; G is 1 where all classes
    share their locations, else the classes.

    Of each class but `background`, at most `top_k` boxes above `confidence_threshold` are taken,
    best first (of equals the earlier), and those dropped that overlap a better one more than
    `nms_threshold`; while that is over 0.5 each box that stays lowers it by the factor `eta`. If
    more than `keep_top_k` stay of an image, the best of all classes do. -1 is no limit.
    """

    classes: int
    share_location: bool = True
    background: int = 0
    code: str = "corner"
    variance_encoded: bool = False
    confidence_threshold: float = LOWEST
    nms_threshold: float = 0.3
    eta: float = 1.0
    top_k: int = -1
    keep_top_k: int = -1

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("prior",) if inputs == 2 else ()

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        location, confidence = inputs[:2]
        require(
            min(len(location), len(confidence)) >= 2
            and prod(location[2:]) == prod(confidence[2:]) == 1,
            f"locations and confidences must be flat, found shapes {location} and {confidence}",
        )
        require(
            location[0] == confidence[0],
            f"locations are of {location[0]} images, confidences of {confidence[0]}",
        )
        prior = inputs[2] if len(inputs) > 2 else weights["prior"].shape if weights else None
        priors = confidence[1] // self.classes if prior is None else (*prior, 1, 1, 1)[2] // 4
        require(
            prior is None or (len(prior) > 2 and prior[:2] == (1, 2) and prod(prior[3:]) == 1),
            f"priors have shape {prior}, expected (1, 2, 4 * n)",
        )
        groups = 1 if self.share_location else self.classes
        for what, found, each in (
            ("locations", location[1], groups * 4),
            ("confidences", confidence[1], self.classes),
        ):
            require(
                found == priors * each,
                f"{found} {what} do not fit {priors} priors, which need {each} each",
            )
        return ((1, 1, 1, COLUMNS),)

    def capacity(self, inputs: Sequence[Shape]) -> int | None:
        images, scores = inputs[1][:2]
        boxes = scores // self.classes
        boxes = boxes if self.top_k < 0 else min(boxes, self.top_k)
        boxes *= self.classes - (0 <= self.background < self.classes)
        boxes = boxes if self.keep_top_k < 0 else min(boxes, self.keep_top_k)
        return int(images * max(boxes, 1))

    def detect(self, inputs: Sequence[np.ndarray], weights: Arrays, exp: Exp) -> np.ndarray:
        images = len(inputs[0])
        prior = inputs[2] if len(inputs) > 2 else weights["prior"].astype(F)
        prior = prior.reshape(2, -1, 4)
        location = inputs[0].reshape(images, prior.shape[1], -1, 4)
        confidence = inputs[1].reshape(images, prior.shape[1], self.classes)
        found = [
            self._detect_one(each, scores, prior, exp)
            for each, scores in zip(location, confidence, strict=True)
        ]
        return as_rows(found)

    def _detect_one(
        self, location: np.ndarray, scores: np.ndarray, prior: np.ndarray, exp: Exp
    ) -> np.ndarray:
        """Rows (n, 6) of one image, without its number."""
        rows = np.empty((0, COLUMNS - 1), F)
        for label in range(self.classes):
            if label == self.background:
                continue
            best = strongest(scores[:, label], self.confidence_threshold, self.top_k)
            group = 0 if self.share_location else label
            boxes = self.decode(location[best, group], prior[0, best], prior[1, best], exp)
            kept = suppress(boxes, F(self.nms_threshold), F(self.eta))
            own = np.full((len(kept), 1), label, F), scores[best[kept], label, None], boxes[kept]
            rows = np.concatenate([rows, np.concatenate(own, axis=1)])
        if 0 <= self.keep_top_k < len(rows):
            best = np.argsort(-rows[:, 1], kind="stable")[: self.keep_top_k]
            rows = rows[best]
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return rows

    def decode(
        self, location: np.ndarray, prior: np.ndarray, variance: np.ndarray, exp: Exp
    ) -> np.ndarray:
        """Boxes (n, 4) from locations, priors and variances (n, 4)."""
        shift = location if self.variance_encoded else variance * location
        if self.code == "corner":
            return prior + shift
        size = prior[:, 2:] - prior[:, :2]
        if self.code == "corner_size":
            return prior + shift * np.tile(size, 2)
        centre = shift[:, :2] * size + (prior[:, :2] + prior[:, 2:]) * F(0.5)
        half = exp(shift[:, 2:]) * size * F(0.5)
        return np.concatenate([centre - half, centre + half], axis=1)


@dataclass(frozen=True, slots=True)
class YoloOutput(Detector):
    """YOLO's last layer, of version 2 (`softmax`) and 3.

    Inputs: up to 8 grids (N, boxes * (5 + classes), H, W), with for each box x, y, w, h, the
    object's score and those of the classes. anchors: for each grid (w, h) of each box, in cells.
    A box's score is its object's by its best class's. Those above `confidence_threshold` are taken
    best first, and dropped where they overlap a better one, of whatever class, by `nms_threshold`
    or more. Labels count from 1. (Version 3 lets each class of a box run, but of the same box only
    the best can stay.)
    """

    classes: int
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    softmax: bool = False
    confidence_threshold: float = 0.01
    nms_threshold: float = 0.45

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs) == len(self.anchors), f"{len(inputs)} grids, {len(self.anchors)} sets")
        for shape, anchors in zip(inputs, self.anchors, strict=True):
            wanted = len(anchors) * (5 + self.classes)
            require(
                len(shape) == 4 and shape[1] == wanted,
                f"shape {shape} does not fit {len(anchors)} boxes of {self.classes} classes, "
                f"which need {wanted} channels",
            )
            require(shape[0] == inputs[0][0], "the grids are of different numbers of images")
        return ((1, 1, 1, COLUMNS),)

    def capacity(self, inputs: Sequence[Shape]) -> int | None:
        cells = [shape[2] * shape[3] for shape in inputs]
        boxes = sum(n * len(anchors) for n, anchors in zip(cells, self.anchors, strict=True))
        return int(inputs[0][0] * boxes)

    def limits(self) -> tuple[np.float32, np.float32]:
        """What a score must exceed, and what an overlap must not, both as float32.

        Version 2 takes a score that equals the threshold; an overlap that does is too much.
        """
        score, overlap = F(self.confidence_threshold), F(self.nms_threshold)
        below = F(-np.inf)
        return np.nextafter(score, below) if self.softmax else score, np.nextafter(overlap, below)

    def detect(self, inputs: Sequence[np.ndarray], weights: Arrays, exp: Exp) -> np.ndarray:
        return as_rows(
            [self._detect_one([x[i] for x in inputs], exp) for i in range(len(inputs[0]))]
        )

    def _detect_one(self, grids: Sequence[np.ndarray], exp: Exp) -> np.ndarray:
        """Rows (n, 6) of one image."""
        every = [self._boxes(x, a, exp) for x, a in zip(grids, self.anchors, strict=True)]
        rows = np.concatenate(every)
        threshold, overlap = self.limits()
        best = rows[strongest(rows[:, 1], threshold, -1)]
        return best[suppress(best[:, 2:], overlap, F(1))]

    def _boxes(self, x: np.ndarray, anchors: Sequence[tuple[float, float]], exp: Exp) -> np.ndarray:
        """Rows (H * W * boxes, 6) of all boxes of a grid, the channels of x along axis 0."""
        height, width = x.shape[1:]
        x = x.reshape(len(anchors), 5 + self.classes, height, width).transpose(2, 3, 0, 1)
        label = first_largest(x[..., 5:])
        best = np.take_along_axis(x[..., 5:], label[..., None], -1)
        if self.softmax:
            total = np.zeros(label.shape, F)
            for c in range(self.classes):
                total = total + exp(x[..., 5 + c] - best[..., 0])
            share = F(1) / total
        else:
            share = sigmoid(best[..., 0], exp)
        score = sigmoid(x[..., 4], exp) * share
        size = exp(x[..., 2:4]) * np.array(anchors, F) / np.array([width, height], F)
        cell = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(F)
        centre = (cell[:, :, None] + sigmoid(x[..., :2], exp)) / np.array([width, height], F)
        half = size * F(0.5)
        columns = label[..., None] + F(1), score[..., None], centre - half, centre + half
        return np.concatenate(columns, axis=-1).astype(F).reshape(-1, COLUMNS - 1)


def sigmoid(x: np.ndarray, exp: Exp) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return F(1) / (F(1) + exp(-x))


def first_largest(x: np.ndarray) -> np.ndarray:
    """Along the last axis, the first of the largest values; NaN is never larger."""
    place = np.zeros(x.shape[:-1], np.intp)
    most = x[..., 0]
    for i in range(1, x.shape[-1]):
        larger = x[..., i] > most
        place, most = np.where(larger, i, place), np.where(larger, x[..., i], most)
    return place


def strongest(scores: np.ndarray, threshold: float | np.float32, most: int) -> np.ndarray:
    """Indices of the scores above the threshold, best first, of equals the earlier; `most` of them
    (-1: all)."""
    above = np.flatnonzero(scores > F(threshold))
    order = above[np.argsort(-scores[above], kind="stable")]
    return order if most < 0 else order[:most]


def suppress(boxes: np.ndarray, threshold: np.float32, eta: np.float32) -> list[int]:
    """Greedy suppression: which of the boxes (n, 4), best first, overlap no better one that stays
    by more than the threshold."""
    kept: list[int] = []
    size = np.where(
        (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1]),
        F(0),
        (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )
    for i, box in enumerate(boxes):
        others = boxes[kept]
        near = np.where(box[:2] < others[:, :2], others[:, :2], box[:2])
        far = np.where(others[:, 2:] < box[2:], others[:, 2:], box[2:])
        width, height = (far - near).T
        common = width * height
        overlap = np.where(
            (width > 0) & (height > 0), common / (size[i] + size[kept] - common), F(0)
        )
        if np.all(overlap <= threshold):
            kept.append(i)
            if eta < 1 and threshold > F(0.5):
                threshold = threshold * eta
    return kept


def as_rows(images: Sequence[np.ndarray]) -> np.ndarray:
    """The blob (1, 1, n, 7) of the rows (n, 6) of each image."""
    if not any(len(rows) for rows in images):
        images = [np.full((1, COLUMNS - 1), -1, F)] * len(images)
    numbered = [np.insert(rows, 0, i, axis=1) for i, rows in enumerate(images)]
    return np.concatenate(numbered).astype(F)[None, None]
