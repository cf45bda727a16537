"""Detection layers of SSD and of YOLO."""

from __future__ import annotations

import re

import numpy as np

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import DetectionOutput, PriorBox, YoloOutput
from demitasse.converter.ops.detection import LOWEST
from demitasse.errors import ParseError, UnsupportedError

CODES = {"CORNER": 1, "CENTER_SIZE": 2, "CORNER_SIZE": 3}
SAME = 1e-6  # ratios that differ by less are one
MANY = range(1, 9)


@caffe_layer("PriorBox")
def prior_box(context: Context) -> None:
    context.expect(bottoms=range(1, 3))
    params = context.params("prior_box_param")
    context.emit(
        PriorBox(
            _sizes(params),
            _ratios(params),
            params.boolean("clip", False),
            _variances(params),
            _image(params),
            _step(params),
            params.real("offset", 0.5),
        )
    )


def _sizes(params: Params) -> tuple[tuple[int, int | None], ...]:
    """Caffe drops the fractions of both sizes."""
    low, high = params.reals("min_size"), params.reals("max_size")
    if not low or min(low) <= 0:
        raise ParseError("needs a positive min_size")
    if not high:
        return tuple((int(size), None) for size in low)
    if len(low) != len(high):
        raise ParseError(f"{len(low)} min_size, {len(high)} max_size")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise ParseError("max_size must be greater than min_size")
    return tuple((int(a), int(b)) for a, b in zip(low, high, strict=True))


def _ratios(params: Params) -> tuple[float, ...]:
    """Every aspect ratio but 1 and what is there already, each followed by its inverse if `flip`
    says so (that one may repeat)."""
    flip = params.boolean("flip", True)
    ratios = [1.0]
    for ratio in params.reals("aspect_ratio"):
        if not 1e-6 < ratio < 1e6:
            raise ParseError(f"aspect_ratio {ratio:g} must be positive, and not extreme")
        ratio = float(np.float32(ratio))
        if all(abs(ratio - other) >= SAME for other in ratios):
            ratios += [ratio, float(np.float32(1 / ratio))] if flip else [ratio]
    return tuple(ratio for ratio in ratios if abs(ratio - 1) >= SAME)


def _variances(params: Params) -> tuple[float, ...]:
    variances = params.reals("variance") or (0.1,)
    if len(variances) not in (1, 4) or min(variances) <= 0:
        raise ParseError(f"variance must be 1 or 4 positive values, found {variances}")
    return variances * (4 // len(variances))


def _image(params: Params) -> tuple[int, int] | None:
    if "img_h" in params or "img_w" in params:
        if "img_size" in params:
            raise ParseError("has both img_size and img_h/img_w", remedy="give only one")
        size = params.integer("img_h"), params.integer("img_w")
    elif "img_size" in params:
        size = (params.integer("img_size"),) * 2
    else:
        return None
    if min(size) < 1:
        raise ParseError(f"the image's size must be positive, found {size}")
    return size


def _step(params: Params) -> tuple[float, float] | None:
    if "step_h" in params or "step_w" in params:
        if "step" in params:
            raise ParseError("has both step and step_h/step_w", remedy="give only one")
        step = params.real("step_h"), params.real("step_w")
    elif "step" in params:
        step = (params.real("step"),) * 2
    else:
        return None
    if min(step) <= 0:
        raise ParseError(f"step must be positive, found {step}")
    return step


@caffe_layer("DetectionOutput")
def detection_output(context: Context) -> None:
    """A fourth bottom is the image that Caffe would draw on."""
    context.expect(bottoms=range(3, 5))
    params = context.params("detection_output_param")
    params.ignore("save_output_param", "visualize", "visualize_threshold", "save_file")
    classes = params.integer("num_classes")
    if classes < 1:
        raise ParseError("needs num_classes")
    nms = params.part("nms_param")
    threshold, eta = nms.real("nms_threshold", 0.3), nms.real("eta", 1.0)
    if threshold < 0 or not 0 < eta <= 1:
        raise ParseError(f"nms_threshold {threshold} must not be negative, eta {eta} in (0, 1]")
    op = DetectionOutput(
        classes,
        params.boolean("share_location", True),
        params.integer("background_label_id", 0),
        params.symbol("code_type", CODES, "CORNER").lower(),
        params.boolean("variance_encoded_in_target", False),
        params.real("confidence_threshold", LOWEST),
        threshold,
        eta,
        nms.integer("top_k", -1),
        params.integer("keep_top_k", -1),
    )
    context.emit(op, inputs=context.bottoms[:3])


@caffe_layer("YoloDetectionOutput", "Region")
def yolo_2(context: Context) -> None:
    """Every grid has the same anchors, in cells. Darknet's names for the fields occur too."""
    context.expect(bottoms=MANY)
    region = context.layer.type == "Region"
    params = context.params("region_param" if region else "yolo_detection_output_param")
    params.ignore("side", "coords", "label_map_file")
    boxes = _either(params, ("num_box", "num"), 5)
    anchors = _pairs(params, boxes)
    context.emit(
        YoloOutput(
            _either(params, ("num_classes", "classes"), 20),
            (anchors,) * len(context.bottoms),
            True,
            params.real("confidence_threshold", 0.01),
            _nms_threshold(params),
        )
    )


@caffe_layer("Yolov3DetectionOutput")
def yolo_3(context: Context) -> None:
    """A grid has the anchors that its part of `mask` names, in pixels of `anchors_scale` a cell."""
    context.expect(bottoms=MANY)
    params = context.params("yolov3_detection_output_param")
    if params.boolean("gaussian_box", False):
        raise UnsupportedError("gaussian_box is not supported")
    grids = len(context.bottoms)
    if params.integer("mask_group_num", 2) != grids:
        raise ParseError(f"mask_group_num must be the number of bottoms, {grids}")
    boxes, mask = params.integer("num_box", 3), params.integers("mask")
    scales, biases = params.integers("anchors_scale"), params.reals("biases")
    each = len(mask) // grids
    if boxes < 1 or each < boxes or len(scales) < grids or min(scales) < 1:
        raise ParseError(
            f"{grids} bottoms of {boxes} boxes need a mask and anchors_scale for each; found "
            f"{len(mask)} and {len(scales)}"
        )
    if min(mask) < 0 or 2 * max(mask) + 1 >= len(biases):
        raise ParseError(f"mask names anchors beyond {len(biases) // 2} pairs of biases")
    anchors = tuple(
        tuple(
            (biases[2 * i] / scales[grid], biases[2 * i + 1] / scales[grid])
            for i in mask[grid * each : grid * each + boxes]
        )
        for grid in range(grids)
    )
    context.emit(
        YoloOutput(
            params.integer("num_classes", 20),
            anchors,
            False,
            params.real("confidence_threshold", 0.01),
            _nms_threshold(params),
        )
    )


def _nms_threshold(params: Params) -> float:
    threshold = params.real("nms_threshold", 0.45)
    if not 0 < threshold <= 1:
        raise ParseError(f"nms_threshold {threshold} is outside (0, 1]")
    return threshold


def _either(params: Params, names: tuple[str, str], default: int) -> int:
    """A count under either name."""
    found = params.integer(names[0], params.integer(names[1], default))
    if found < 1:
        raise ParseError(f"{names[0]} {found} must be positive")
    return found


def _pairs(params: Params, boxes: int) -> tuple[tuple[float, float], ...]:
    """`biases`, or darknet's `anchors`, numbers or one string of them."""
    values = params.reals("biases")
    if not values and "anchors" in params:
        text = params.string("anchors")
        values = tuple(float(number) for number in re.findall(r"[-+.\deE]+", text))
    if len(values) < 2 * boxes:
        raise ParseError(f"{boxes} boxes need {2 * boxes} biases, found {len(values)}")
    return tuple((values[2 * i], values[2 * i + 1]) for i in range(boxes))
