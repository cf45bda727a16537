"""Parameter records of detections and of pooled regions."""

from __future__ import annotations

import struct

import numpy as np

from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.format import NONE
from demitasse.converter.flat.lower import Step
from demitasse.converter.flat.parameters.base import node_of, weights_of
from demitasse.converter.ops import DetectionOutput, PsRoiPool, RoiPool, YoloOutput
from demitasse.converter.ops.detection import CODES


def detection(step: Step, sections: Sections) -> bytes:
    op, w = node_of(step).op, weights_of(step)
    assert isinstance(op, DetectionOutput)
    background = op.background if 0 <= op.background < op.classes else NONE
    prior = NONE
    if "prior" in w and len(step.inputs) == 2:
        prior = sections.tensor(w["prior"].astype(np.float32))
    return struct.pack(
        "<5I3f3I",
        *(op.classes, background, op.share_location, CODES.index(op.code), op.variance_encoded),
        *(op.confidence_threshold, op.nms_threshold, op.eta),
        *(NONE if limit < 0 else limit for limit in (op.top_k, op.keep_top_k)),
        prior,
    )


def yolo(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, YoloOutput)
    anchors = np.array(op.anchors, np.float32)  # (grids, boxes, 2)
    score, overlap = op.limits()
    return struct.pack(
        "<3I2fI",
        *(op.classes, anchors.shape[1], op.softmax, score, overlap),
        sections.arrays([anchors], anchors.size),
    )


def roi_pool(step: Step, sections: Sections) -> bytes:
    op = node_of(step).op
    assert isinstance(op, RoiPool | PsRoiPool)
    return struct.pack("<f", op.scale)
