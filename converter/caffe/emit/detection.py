"""Boxes of SSD and YOLO, pooling of regions: the layers of the forks."""

from __future__ import annotations

from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Symbol, Value
from demitasse.converter.ops import DetectionOutput, PriorBox, PsRoiPool, RoiPool, YoloOutput
from demitasse.converter.ops.detection import LOWEST


def prior_box(step: Step, op: PriorBox) -> None:
    low, high = zip(*op.sizes, strict=True)
    fields: dict[str, Value] = {"min_size": low}
    if None not in high:
        fields["max_size"] = high
    fields |= {"aspect_ratio": op.ratios, "flip": False, "clip": op.clip}
    fields |= {"variance": op.variances}
    if op.image is not None:
        fields |= {"img_h": op.image[0], "img_w": op.image[1]}
    if op.step is not None:
        fields |= {"step_h": op.step[0], "step_w": op.step[1]}
    step.layer("PriorBox", "prior_box_param", {**fields, "offset": op.offset})


def detection_output(step: Step, op: DetectionOutput) -> None:
    inputs = step.inputs
    if len(inputs) < 3:  # the priors as a parameter of the network
        inputs = (*inputs, step.blob("prior"))
        step.parameter(inputs[2], step.weights["prior"])
    nms: dict[str, Value] = {"nms_threshold": op.nms_threshold}
    if op.top_k != -1:
        nms["top_k"] = op.top_k
    if op.eta != 1:
        nms["eta"] = op.eta
    fields: dict[str, Value] = {
        "num_classes": op.classes,
        "share_location": op.share_location,
        "background_label_id": op.background,
        "nms_param": nms,
        "code_type": Symbol(op.code.upper()),
        "variance_encoded_in_target": op.variance_encoded,
        "keep_top_k": op.keep_top_k,
    }
    if op.confidence_threshold != LOWEST:
        fields["confidence_threshold"] = op.confidence_threshold
    step.layer("DetectionOutput", "detection_output_param", fields, inputs=inputs)


def yolo_output(step: Step, op: YoloOutput) -> None:
    """Version 2 has the same anchors for every grid; version 3 names those of each in a mask."""
    boxes = len(op.anchors[0])
    fields: dict[str, Value] = {"num_classes": op.classes, "num_box": boxes}
    fields |= {"confidence_threshold": op.confidence_threshold, "nms_threshold": op.nms_threshold}
    if op.softmax:
        fields["biases"] = [side for anchor in op.anchors[0] for side in anchor]
        step.layer("YoloDetectionOutput", "yolo_detection_output_param", fields)
        return
    grids = len(op.anchors)
    fields["biases"] = [side for grid in op.anchors for anchor in grid for side in anchor]
    fields |= {"mask": list(range(grids * boxes)), "mask_group_num": grids}
    fields["anchors_scale"] = [1] * grids
    step.layer("Yolov3DetectionOutput", "yolov3_detection_output_param", fields)


def roi_pool(step: Step, op: RoiPool) -> None:
    fields = {"pooled_h": op.pooled[0], "pooled_w": op.pooled[1], "spatial_scale": op.scale}
    step.layer("ROIPooling", "roi_pooling_param", fields)


def psroi_pool(step: Step, op: PsRoiPool) -> None:
    fields = {"spatial_scale": op.scale, "output_dim": op.channels, "group_size": op.group}
    step.layer("PSROIPooling", "psroi_pooling_param", fields)
