"""Reports about detection layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.everywhere import everywhere
from support.written import Load, answer, data_net, layer

import demitasse
from demitasse.errors import ShapeError

TAIL = (
    "detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 5"
    " confidence_threshold: 0.5 nms_param { nms_threshold: 0.45 top_k: 10 } }"
)


def ssd(priors: int = 2, locations: int | None = None) -> str:
    """Three inputs as the last layers of SSD have them, and that layer."""
    text = ""
    for name, shape in (
        ("loc", (1, 4 * (locations or priors))),
        ("conf", (1, 2 * priors)),
        ("prior", (1, 2, 4 * priors)),
    ):
        text += data_net(*shape).replace("data", name)
    return text + layer("out", "DetectionOutput", "loc conf prior", more=TAIL)


# Boxes of a tenth and more apart, and the variances of each.
PRIOR = np.array([[[0.1, 0.1, 0.5, 0.5, 0.6, 0.6, 0.8, 1.0], [0.1, 0.1, 0.2, 0.2] * 2]])


def test_a_box_by_hand(load: Load, tmp_path: Path) -> None:
    """88 (ncnn#694): after an update all boxes were wrong, and no test had a box in it. The first
    prior moves right by 0.1 * 1 of its width and doubles its height; the second is not believed."""
    location = [[1, 0, 0, np.log(2) / 0.2, 0, 0, 0, 0]]
    confidence = [[0.1, 0.9, 0.6, 0.4]]
    found = everywhere(load(ssd()), tmp_path, location, confidence, PRIOR)
    # centre 0.3 + 0.04, 0.3; size 0.4, 0.8
    expected = [[0, 1, 0.9, 0.14, -0.1, 0.54, 0.7]]
    np.testing.assert_allclose(found.reshape(-1, 7), expected, atol=1e-6)


def test_the_tail_runs_on_the_device_or_is_cut(load: Load, tmp_path: Path) -> None:
    """87 (rknn-toolkit2#138): "DetectionOutput unsupported". It runs in C, in an INT8 model too; or
    the net ends before it."""
    more = "convolution_param { num_output: %d kernel_size: 1 }"
    text = (
        data_net(1, 3, 2, 2)
        + layer("loc", "Convolution", "data", more=more % 4)
        + layer("conf", "Convolution", "data", more=more % 2)
        + layer("prior", "PriorBox", "loc data", more="prior_box_param { min_size: 1 }")
    )
    for name in ("loc", "conf"):
        order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
        text += layer(f"{name}_", "Permute", name, more=order)
        text += layer(f"{name}_f", "Flatten", f"{name}_")
    text += layer("out", "DetectionOutput", "loc_f conf_f prior", more=TAIL)
    rng = np.random.default_rng(0)
    weights = {
        "loc": [rng.normal(size=(4, 3, 1, 1)), np.zeros(4)],
        "conf": [rng.normal(size=(2, 3, 1, 1)), np.zeros(2)],
    }
    images = rng.uniform(size=(48, 3, 2, 2)).astype(np.float32)
    demitasse.compile(load(text, weights), tmp_path / "net.demi", precision="int8", data=images)
    rows = demitasse.Model.open(tmp_path / "net.demi").run({"data": images[:1]})["out"]
    assert rows.shape[-1] == 7
    cut = load(text, weights, outputs=["loc_f", "conf_f"])
    assert set(demitasse.evaluate(cut, {"data": images[:1]})) == {"loc_f", "conf_f"}
    assert "DetectionOutput" not in {type(node.op).__name__ for node in cut.nodes}


def test_sizes_are_checked(load: Load) -> None:
    """90 (ncnn#1450): locations for another number of priors; the output was just missing."""
    with pytest.raises(ShapeError, match=r"net\.prototxt:4: layer 'out'") as caught:
        load(ssd(priors=2990, locations=1495))
    assert "2990" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "centres"),
    [
        ("", [5, 15]),
        ("step: 8", [4, 12]),
        ("offset: 0", [0, 10]),
        ("step: 6 offset: 0.25", [1.5, 7.5]),
        ("step_w: 8 step_h: 8 offset: 1", [8, 16]),
    ],
)
def test_priors_follow_the_text(load: Load, more: str, centres: list[float]) -> None:
    """91 (SSD#4, #19): boxes outside the picture, for step and offset were built in. A map of 2x2
    over an image of 20x20, boxes of 4x4."""
    graph = load(
        data_net(1, 1, 20, 20)
        + layer("map", "Pooling", "data", more="pooling_param { kernel_size: 10 stride: 10 }")
        + layer("p", "PriorBox", "map data", more=f"prior_box_param {{ min_size: 4 {more} }}")
    )
    found = answer(graph, np.zeros((1, 1, 20, 20)))[0, 0].reshape(4, 4)
    expected = [[x - 2, y - 2, x + 2, y + 2] for y in centres for x in centres]
    np.testing.assert_allclose(found, np.divide(expected, 20), atol=1e-6)
