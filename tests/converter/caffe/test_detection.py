"""Boxes and regions, from texts, against loops written from the layers' definitions.

Real Caffe's own answers are the units `ssd_*` of the shared recordings.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.errors import DemitasseError
from demitasse.quantizer.boxes import overlaps

Shape = tuple[int, ...]


def layer(path: Path, kind: str, params: str, *bottoms: Shape) -> Path:
    """A net of one layer with inputs a, b, c."""
    names = "abc"[: len(bottoms)]
    text = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {n}" for n in shape)} }}\n'
        for name, shape in zip(names, bottoms, strict=True)
    )
    reads = " ".join(f'bottom: "{name}"' for name in names)
    text += f'layer {{ name: "l" type: "{kind}" {reads} top: "out" {params} }}\n'
    file = path / "net.prototxt"
    file.write_text(text)
    return file


def run(path: Path, kind: str, params: str, *blobs: np.ndarray) -> np.ndarray:
    graph = demitasse.load_caffe(layer(path, kind, params, *(x.shape for x in blobs)))
    return demitasse.evaluate(graph, dict(zip("abc", blobs, strict=False)))["out"]


def refusal(path: Path, kind: str, params: str, *bottoms: Shape) -> str:
    with pytest.raises(DemitasseError) as caught:
        demitasse.load_caffe(layer(path, kind, params, *bottoms))
    return str(caught.value)


# --- PriorBox -------------------------------------------------------------------------------------


def priors(path: Path, params: str, cells: Shape = (1, 1), image: Shape = (100, 200)) -> np.ndarray:
    """Row 0 in pixels, and row 1, as (boxes, 4)."""
    blobs = np.zeros((1, 4, *cells), np.float32), np.zeros((1, 3, *image), np.float32)
    found = run(path, "PriorBox", f"prior_box_param {{ {params} }}", *blobs)
    boxes, variances = found.reshape(2, -1, 4)
    pixels = boxes * np.float32([image[1], image[0]] * 2)
    return np.stack([pixels, variances])


def test_order_of_a_cells_boxes(tmp_path: Path) -> None:
    """Both sizes lose their fractions; ratio 1 and near repeats go, inverses follow theirs."""
    boxes, variances = priors(
        tmp_path,
        "min_size: 30.9 min_size: 50 max_size: 60.2 max_size: 72 "
        "aspect_ratio: 1 aspect_ratio: 4 aspect_ratio: 4.0000001 variance: 0.25",
    )
    sides = [(30, 30), (42.42640687, 42.42640687), (60, 15), (15, 60)]
    sides += [(50, 50), (60, 60), (100, 25), (25, 100)]
    expected = [(100 - w / 2, 50 - h / 2, 100 + w / 2, 50 + h / 2) for w, h in sides]
    np.testing.assert_allclose(boxes, expected, rtol=1e-5)
    assert (variances == 0.25).all()


def test_an_inverse_may_repeat_a_ratio(tmp_path: Path) -> None:
    """Caffe looks for repeats among ratios, not before it adds an inverse."""
    assert priors(tmp_path, "min_size: 8 aspect_ratio: 2 aspect_ratio: 0.5").shape[1] == 3
    without = priors(tmp_path, "min_size: 8 aspect_ratio: 2 aspect_ratio: 0.5 flip: false")
    assert without.shape[1] == 3
    assert priors(tmp_path, "min_size: 8 aspect_ratio: 3 aspect_ratio: 2").shape[1] == 5


def test_steps_offsets_and_sizes_of_an_image(tmp_path: Path) -> None:
    boxes, variances = priors(
        tmp_path,
        "min_size: 4 step_h: 10 step_w: 20 offset: 0.25 img_h: 50 img_w: 400 "
        "variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4",
        (2, 3),
    )
    centres = [(20 * (x + 0.25), 10 * (y + 0.25)) for y in range(2) for x in range(3)]
    # shares of 400x50, told as pixels of 200x100
    expected = [
        ((x - 2) / 400 * 200, (y - 2) / 50 * 100, (x + 2) / 400 * 200, (y + 2) / 50 * 100)
        for x, y in centres
    ]
    np.testing.assert_allclose(boxes, expected, rtol=1e-5)
    np.testing.assert_array_equal(variances, np.float32([[0.1, 0.2, 0.3, 0.4]] * 6))


def test_clipping(tmp_path: Path) -> None:
    wide = priors(tmp_path, "min_size: 150 clip: true")[0]
    np.testing.assert_allclose(wide, [[25, 0, 175, 100]], rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("", "needs a positive min_size"),
        ("min_size: 0", "needs a positive min_size"),
        ("min_size: 9 max_size: 9", "max_size must be greater"),
        ("min_size: 9 min_size: 8 max_size: 12", "2 min_size, 1 max_size"),
        ("min_size: 9 variance: 1 variance: 2", "variance must be 1 or 4"),
        ("min_size: 9 img_size: 9 img_h: 4", "both img_size and img_h/img_w"),
        ("min_size: 9 img_h: 4", "the image's size must be positive"),
        ("min_size: 9 step: 2 step_w: 4", "both step and step_h/step_w"),
        ("min_size: 9 step_w: 4", "step must be positive"),
    ],
)
def test_priors_that_caffe_refuses(tmp_path: Path, params: str, message: str) -> None:
    text = f"prior_box_param {{ {params} }}"
    assert message in refusal(tmp_path, "PriorBox", text, (1, 4, 2, 2), (1, 3, 9, 9))


# --- DetectionOutput ------------------------------------------------------------------------------


def decoded(code: str, encoded: bool, v: list[float], q: list[float], r: list[float]) -> list:
    """The box of location v, prior q and variances r."""
    t = v if encoded else [a * b for a, b in zip(r, v, strict=True)]
    w, h = q[2] - q[0], q[3] - q[1]
    if code == "CORNER":
        return [a + b for a, b in zip(q, t, strict=True)]
    if code == "CORNER_SIZE":
        return [q[0] + t[0] * w, q[1] + t[1] * h, q[2] + t[2] * w, q[3] + t[3] * h]
    x, y = (q[0] + q[2]) / 2 + t[0] * w, (q[1] + q[3]) / 2 + t[1] * h
    w, h = w * math.exp(t[2]) / 2, h * math.exp(t[3]) / 2
    return [x - w, y - h, x + w, y + h]


def overlap(a: list[float], b: list[float]) -> float:
    return float(overlaps(np.array(a), np.array([b]))[0])


def suppressed(found: list, threshold: float, eta: float = 1.0) -> list:
    """Of (score, box, ...), best first, those that stay."""
    kept: list = []
    for one in found:
        if all(overlap(one[1], other[1]) <= threshold for other in kept):
            kept.append(one)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


def test_detections(tmp_path: Path) -> None:
    """Every setting by chance, in two images, with loops over boxes."""
    rng = np.random.default_rng(5)
    kept = 0
    for trial in range(40):
        classes, count = int(rng.integers(1, 4)), int(rng.integers(1, 30))
        code = str(rng.choice(["CORNER", "CENTER_SIZE", "CORNER_SIZE"]))
        encoded, shared = bool(rng.integers(2)), bool(rng.integers(2))
        background, top, keep = (int(n) for n in rng.integers(-1, (classes, 9, 9)))
        least, most = float(rng.choice([0.1, 0.5])), float(rng.choice([0.1, 0.5, 0.8]))
        eta = float(rng.choice([0.9, 1.0]))
        groups = 1 if shared else classes
        corners = rng.random((count, 2))
        prior = np.concatenate([corners, corners + rng.uniform(0.1, 0.5, (count, 2))], axis=1)
        variance = rng.uniform(0.1, 0.3, (count, 4))
        location = rng.normal(0, 0.3, (2, count, groups, 4)).astype(np.float32)
        scores = rng.random((2, count, classes)).astype(np.float32)
        expected = []
        for image in range(2):
            rows = []
            for label in range(classes):
                if label == background:
                    continue
                found = []
                for p in range(count):
                    v = location[image, p, 0 if shared else label].tolist()
                    box = decoded(code, encoded, v, prior[p].tolist(), variance[p].tolist())
                    score = float(scores[image, p, label])
                    if score > least:
                        found.append((score, box, label))
                found = sorted(found, key=lambda one: -one[0])[: top if top >= 0 else None]
                rows += suppressed(found, most, eta)
            if 0 <= keep < len(rows):
                rows = sorted(rows, key=lambda one: -one[0])[:keep]
                rows.sort(key=lambda one: (one[2], -one[0]))
            expected += [[image, label, score, *box] for score, box, label in rows]
        if not expected:
            expected = [[image, *[-1] * 6] for image in range(2)]
        params = (
            f"detection_output_param {{ num_classes: {classes} background_label_id: {background} "
            f"share_location: {str(shared).lower()} code_type: {code} keep_top_k: {keep} "
            f"variance_encoded_in_target: {str(encoded).lower()} confidence_threshold: {least} "
            f"nms_param {{ nms_threshold: {most} eta: {eta} top_k: {top} }} }}"
        )
        blobs = (
            location.reshape(2, -1),
            scores.reshape(2, -1),
            np.stack([prior, variance]).reshape(1, 2, -1).astype(np.float32),
        )
        found_rows = run(tmp_path, "DetectionOutput", params, *blobs)[0, 0]
        assert found_rows.shape == (len(expected), 7), trial
        np.testing.assert_allclose(found_rows, expected, atol=1e-5)
        kept += len(expected)
    assert kept > 150


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        # the sizes of a public report: priors must fit locations and confidences
        (((1, 11960), (1, 5980), (1, 2, 11956)), "11960 locations do not fit 2989 priors"),
        (((1, 24), (1, 13), (1, 2, 24)), "13 confidences do not fit 6 priors"),
        (((1, 24), (2, 12), (1, 2, 24)), "locations are of 1 images, confidences of 2"),
        (((1, 6, 4), (1, 12), (1, 2, 24)), "must be flat"),
        (((1, 24), (1, 12), (1, 24)), "expected (1, 2, 4 * n)"),
    ],
)
def test_detections_of_wrong_sizes(tmp_path: Path, shapes: tuple, message: str) -> None:
    params = "detection_output_param { num_classes: 2 }"
    assert message in refusal(tmp_path, "DetectionOutput", params, *shapes)


def test_detections_that_caffe_refuses(tmp_path: Path) -> None:
    shapes = (1, 24), (1, 12), (1, 2, 24)
    for params, message in [
        ("", "needs num_classes"),
        ("num_classes: 2 nms_param { nms_threshold: -1 }", "must not be negative"),
        ("num_classes: 2 nms_param { eta: 0 }", "in (0, 1]"),
    ]:
        text = f"detection_output_param {{ {params} }}"
        assert message in refusal(tmp_path, "DetectionOutput", text, *shapes)


def test_where_caffe_would_save_is_ignored(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    params = (
        "detection_output_param { num_classes: 2 visualize: true save_file: 'x' "
        "save_output_param { label_map_file: 'nowhere' } }"
    )
    demitasse.load_caffe(layer(tmp_path, "DetectionOutput", params, (1, 4), (1, 2), (1, 2, 4)))
    assert not recwarn.list


# --- YOLO -----------------------------------------------------------------------------------------


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def grid_boxes(x: np.ndarray, boxes: int) -> list[tuple[int, int, int, list[float]]]:
    """(row, column, box, its values) of one image's grid (C, H, W), in the fork's order."""
    values = x.reshape(boxes, -1, *x.shape[1:])
    return [
        (y, column, n, values[n, :, y, column].tolist())
        for y in range(x.shape[1])
        for column in range(x.shape[2])
        for n in range(boxes)
    ]


def centred(y: int, x: int, v: list[float], w: float, h: float, high: int, wide: int) -> list:
    """The corners of a box of anchor (w, h), both as shares of the picture."""
    cx, cy = (x + sigmoid(v[0])) / wide, (y + sigmoid(v[1])) / high
    w, h = math.exp(v[2]) * w / 2, math.exp(v[3]) * h / 2
    return [cx - w, cy - h, cx + w, cy + h]


def yolo_rows(found: list, nms: float) -> list[list[float]]:
    """Boxes of all classes together, one that overlaps by the threshold or more goes."""
    found = sorted(found, key=lambda one: -one[0])
    below = float(np.nextafter(np.float32(nms), np.float32(0)))
    return [[0, label + 1, score, *box] for score, box, label in suppressed(found, below)]


def test_yolo_2(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    biases = [1.08, 1.19, 3.42, 4.41, 0.5, 2.0]
    x = rng.normal(0, 1.5, (1, 3 * 9, 4, 4)).astype(np.float32)
    found = []
    for y, column, n, v in grid_boxes(x[0], 3):
        e = [math.exp(value - max(v[5:])) for value in v[5:]]
        label = v[5:].index(max(v[5:]))
        score = sigmoid(v[4]) * e[label] / sum(e)
        if score >= 0.2:
            anchor = biases[2 * n] / 4, biases[2 * n + 1] / 4
            found.append((score, centred(y, column, v, *anchor, 4, 4), label))
    expected = yolo_rows(found, 0.3)
    numbers = "confidence_threshold: 0.2 nms_threshold: 0.3 "
    listed = " ".join(f"biases: {b}" for b in biases)
    param = f"{{ num_classes: 4 num_box: 3 coords: 4 {numbers} {listed} }}"
    rows = run(tmp_path, "YoloDetectionOutput", f"yolo_detection_output_param {param}", x)
    assert 3 < len(expected) < len(found)
    np.testing.assert_allclose(rows[0, 0], expected, atol=1e-5)
    darknet = f"{{ classes: 4 num: 3 {numbers} anchors: '{', '.join(map(str, biases))}' }}"
    np.testing.assert_array_equal(run(tmp_path, "Region", f"region_param {darknet}", x), rows)


def test_yolo_3(tmp_path: Path) -> None:
    """Here the fork lets every class of a box run; the suppression leaves the best of them."""
    rng = np.random.default_rng(3)
    biases = [10.0, 14, 23, 27, 37, 58, 81, 82]
    mask, scales = [2, 3, 0, 1], [32, 16]
    grids = [rng.normal(-1, 1.5, (1, 2 * 8, n, n)).astype(np.float32) for n in (3, 6)]
    found = []
    for t, x in enumerate(grids):
        side = x.shape[2]
        for y, column, n, v in grid_boxes(x[0], 2):
            anchor = [b / (side * scales[t]) for b in biases[2 * mask[2 * t + n] :][:2]]
            box = centred(y, column, v, *anchor, side, side)
            for label in range(3):
                score = sigmoid(v[5 + label]) * sigmoid(v[4])
                if score > 0.05:
                    found.append((score, box, label))
    expected = yolo_rows(found, 0.45)
    listed = " ".join(f"biases: {b}" for b in biases)
    masks = " ".join(f"mask: {m}" for m in mask)
    param = (
        f"yolov3_detection_output_param {{ num_classes: 3 num_box: 2 confidence_threshold: 0.05 "
        f"nms_threshold: 0.45 {listed} {masks} anchors_scale: 32 anchors_scale: 16 "
        "mask_group_num: 2 }"
    )
    rows = run(tmp_path, "Yolov3DetectionOutput", param, *grids)
    assert 10 < len(expected) < len(found)
    np.testing.assert_allclose(rows[0, 0], expected, atol=1e-5)


def test_yolo_that_finds_nothing(tmp_path: Path) -> None:
    param = "yolo_detection_output_param { num_classes: 1 num_box: 1 biases: 1 biases: 1 }"
    x = np.full((2, 6, 3, 3), -20, np.float32)
    rows = run(tmp_path, "YoloDetectionOutput", param, x)
    assert rows.tolist() == [[[[0, *[-1] * 6], [1, *[-1] * 6]]]]


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("YoloDetectionOutput", "num_box: 2 biases: 1", "2 boxes need 4 biases, found 1"),
        ("YoloDetectionOutput", "num_box: 1 biases: 1 biases: 1 num_classes: 3", "8 channels"),
        ("Yolov3DetectionOutput", "mask_group_num: 2", "the number of bottoms, 1"),
        ("Yolov3DetectionOutput", "mask_group_num: 1 mask: 1", "found 1 and 0"),
        (
            "Yolov3DetectionOutput",
            "mask_group_num: 1 num_box: 1 mask: 1 anchors_scale: 8 biases: 1 biases: 1",
            "anchors beyond 1 pairs",
        ),
        ("Yolov3DetectionOutput", "gaussian_box: true", "gaussian_box is not supported"),
    ],
)
def test_yolo_that_cannot_be(tmp_path: Path, kind: str, params: str, message: str) -> None:
    name = {"Y": "yolo_detection_output_param", "v": "yolov3_detection_output_param"}
    text = f"{name['v' if 'v3' in kind else 'Y']} {{ {params} }}"
    assert message in refusal(tmp_path, kind, text, (1, 12, 2, 2))


# --- Regions --------------------------------------------------------------------------------------

REGIONS = [
    (0, 0, 0, 79, 47),
    (1, 10.4, 7.6, 38.5, 40.5),
    (0, 30, 20, 31, 21),
    (1, 50, 30, 20, 10),  # ends before it starts: one pixel
    (0, -30, -20, 10, 9),
    (1, 70, 40, 200, 100),
    (0, 500, 500, 600, 600),  # outside
]


def halves_away(x: float) -> int:
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def test_roi_pooling(tmp_path: Path) -> None:
    x = np.random.default_rng(7).normal(-5, 1, (2, 3, 6, 10)).astype(np.float32)
    regions = np.array(REGIONS, np.float32)
    expected = np.zeros((len(REGIONS), 3, 2, 3), np.float32)
    for r, (image, *edges) in enumerate(REGIONS):
        left, top, right, bottom = (halves_away(edge * 0.125) for edge in edges)
        high, wide = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for ph in range(2):
            for pw in range(3):
                rows = range(top + math.floor(ph * high / 2), top + math.ceil((ph + 1) * high / 2))
                cols = range(
                    left + math.floor(pw * wide / 3), left + math.ceil((pw + 1) * wide / 3)
                )
                inside = [(y, c) for y in rows for c in cols if 0 <= y < 6 and 0 <= c < 10]
                for k in range(3):
                    values = [x[int(image), k, y, c] for y, c in inside]
                    expected[r, k, ph, pw] = max(values, default=0)
    params = "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.125 }"
    np.testing.assert_array_equal(run(tmp_path, "ROIPooling", params, x, regions), expected)


def test_psroi_pooling(tmp_path: Path) -> None:
    x = np.random.default_rng(8).normal(0, 1, (2, 2 * 9, 6, 10)).astype(np.float32)
    regions = np.array(REGIONS, np.float32)
    expected = np.zeros((len(REGIONS), 2, 3, 3))
    for r, (image, *edges) in enumerate(REGIONS):
        left, top = (halves_away(edge) * 0.125 for edge in edges[:2])
        right, bottom = ((halves_away(edge) + 1) * 0.125 for edge in edges[2:])
        high, wide = max(bottom - top, 0.1) / 3, max(right - left, 0.1) / 3
        for ph in range(3):
            for pw in range(3):
                rows = range(math.floor(top + ph * high), math.ceil(top + (ph + 1) * high))
                cols = range(math.floor(left + pw * wide), math.ceil(left + (pw + 1) * wide))
                inside = [(y, c) for y in rows for c in cols if 0 <= y < 6 and 0 <= c < 10]
                for k in range(2):
                    plane = x[int(image), (k * 3 + ph) * 3 + pw]
                    values = [float(plane[y, c]) for y, c in inside]
                    expected[r, k, ph, pw] = sum(values) / len(values) if values else 0
    params = "psroi_pooling_param { spatial_scale: 0.125 output_dim: 2 group_size: 3 }"
    found = run(tmp_path, "PSROIPooling", params, x, regions)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_regions_that_cannot_be(tmp_path: Path) -> None:
    roi = "roi_pooling_param { pooled_h: 2 pooled_w: 2 }"
    ps = "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 2 }"
    for kind, params, shapes, message in [
        ("ROIPooling", "roi_pooling_param { pooled_h: 2 }", ((1, 2, 4, 4), (3, 5)), "positive"),
        ("ROIPooling", roi, ((1, 2, 4, 4), (3, 4)), "expected (regions, 5)"),
        ("ROIPooling", roi, ((1, 2), (3, 5)), "must be 4-D"),
        ("PSROIPooling", ps, ((1, 7, 4, 4), (3, 5)), "7 channels, expected 8"),
        ("PSROIPooling", "", ((1, 8, 4, 4), (3, 5)), "needs output_dim"),
    ]:
        assert message in refusal(tmp_path, kind, params, *shapes)
