"""Detection networks of the shared models: their photos, and the boxes in their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demitasse.quantizer.boxes import overlaps
from demitasse.quantizer.preprocess import Preprocess
from support.pictures import opencv, pillow
from support.recorded import MODELS

SURE, EXTRA = 0.5, 0.6  # scores of boxes that must be found, and of those that must not be new
Rows = np.ndarray  # (n, 6): label, score, box


@dataclass(frozen=True)
class Task:
    """A network, how a photo becomes its pixels (H, W, C), and how its outputs become boxes.

    heads: the blobs of all boxes and scores before any is chosen.
    """

    weights: str
    preprocess: Preprocess
    pixels: Callable[[Path], np.ndarray]
    rows: Callable[[Mapping[str, np.ndarray]], Rows]
    answers: str
    least: float  # score of the boxes in `answers`
    heads: tuple[str, ...]
    outputs: tuple[str, ...]


def ssd_rows(outputs: Mapping[str, np.ndarray]) -> Rows:
    (blob,) = (outputs[name] for name in ("detection_out", "detection_output") if name in outputs)
    assert blob.shape[:2] == (1, 1)
    assert blob.shape[3] == 7
    return blob[0, 0, blob[0, 0, :, 1] >= 0, 1:]


def ultraface_priors() -> np.ndarray:
    """Centres and sizes (4420, 4) of the boxes of four grids, for pictures of 320x240."""
    found = []
    for step, sizes in ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256))):
        for y in range(-(-240 // step)):
            for x in range(-(-320 // step)):
                centre = (x + 0.5) * step / 320, (y + 0.5) * step / 240
                found += [(*centre, size / 320, size / 240) for size in sizes]
    return np.clip(found, 0, 1)


def ultraface_rows(outputs: Mapping[str, np.ndarray]) -> Rows:
    """The network ends before the boxes are decoded and suppressed."""
    prior = ultraface_priors()
    shift, scores = outputs["boxes"][0].astype(np.float64), outputs["scores"][0, :, 1]
    centre = shift[:, :2] * 0.1 * prior[:, 2:] + prior[:, :2]
    half = np.exp(shift[:, 2:] * 0.2) * prior[:, 2:] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] <= 0.3:
            break
        if (overlaps(boxes[i], boxes[kept]) <= 0.3).all():
            kept.append(int(i))
    return np.concatenate([np.ones((len(kept), 1)), scores[kept, None], boxes[kept]], axis=1)


def _ultraface(weights: str, answers: str, scores: str) -> Task:
    return Task(
        weights,
        Preprocess(order="rgb", mean=(127.0,), scale=(0.0078125,)),
        lambda p: opencv(p, 320, 240),
        ultraface_rows,
        answers,
        0.7,
        (scores, "boxes"),
        ("boxes", "scores"),
    )


TASKS = {
    "res10_ssd_face": Task(
        MODELS["res10_ssd_face"],
        Preprocess(order="bgr", mean=(104.0, 177.0, 123.0)),
        lambda p: pillow(p, "RGB", 300, 300),
        ssd_rows,
        "res10_dets.json",
        0.5,
        ("mbox_loc", "mbox_conf"),
        ("detection_out",),
    ),
    "wechat_detect": Task(
        MODELS["wechat_detect"],
        Preprocess(order="gray", scale=(1 / 255,)),
        lambda p: pillow(p, "L", 384, 384),
        ssd_rows,
        "wechat_detect_dets.json",
        0.5,
        ("mbox_loc", "mbox_conf"),
        ("detection_output",),
    ),
    "ultraface_rfb320": _ultraface("RFB-320.caffemodel", "ultraface_rfb320_dets.json", "459"),
    "ultraface_slim320": _ultraface("slim-320.caffemodel", "ultraface_slim320_dets.json", "374"),
}


def as_rows(answers: np.ndarray) -> Rows:
    """Recorded boxes: label, score, box; or box, score."""
    if answers.size == 0:
        return np.empty((0, 6))
    if answers.shape[1] == 6:
        return answers
    return np.concatenate([np.ones((len(answers), 1)), answers[:, 4:], answers[:, :4]], axis=1)


def nearest(expected: Rows, found: Rows, least: float) -> list[float]:
    """For each box with a higher score the overlap with the nearest found one of its label."""
    result = []
    for row in expected[expected[:, 1] > least]:
        near = overlaps(row[2:], found[found[:, 0] == row[0], 2:])
        result.append(float(near.max(initial=0.0)))
    return result


def halves(photos: Iterable[str]) -> tuple[list[str], list[str]]:
    """The judging photos in two parts; equal pictures are in one."""
    first = ("mtcnn_test2", "uf_4", "uf_2", "multiple", "zx3")
    photos = list(photos)
    one = [photo for photo in photos if photo.startswith(first)]
    return one, [photo for photo in photos if photo not in one]
