"""Boxes of whole networks on photos: as real Caffe's in float32, as our own float32 in integers.

Integers are calibrated on other photos than those that judge them. The bounds are what is promised;
`pytest -rP` shows what is reached.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import pictures
from support.bits import check_host, quantized, run_program
from support.detection import EXTRA, SURE, TASKS, Rows, as_rows, halves, nearest
from support.graphs import Builder
from support.recorded import recorded_model

import demitasse
from demitasse.converter.graph import Graph
from demitasse.converter.ops import Conv2d, InnerProduct, PsRoiPool, RoiPool, YoloOutput
from demitasse.converter.passes import optimize

LEAST = {"fp32": 0.99, "int16": 0.98, "int8": 0.9}


class Photos:
    """The photos that judge a task, and its float32 model."""

    def __init__(self, models_dir: Path, name: str, folder: Path) -> None:
        self.task, self.name, self.folder = TASKS[name], name, folder
        self.directory = models_dir / name
        self.pixels = {path.name: self.task.pixels(path) for path in pictures.photos(models_dir)}
        text = (models_dir / "tasks" / self.task.answers).read_text()
        self.answers: dict[str, Rows] = {
            photo: as_rows(np.array(rows, float)) for photo, rows in json.loads(text).items()
        }
        float_model = self.compile("fp32", [])
        self.float_rows = {photo: self.detect(float_model, photo) for photo in self.answers}

    def compile(self, precision: str, calibrating: list[str]) -> demitasse.Model:
        graph = demitasse.load_caffe(
            self.directory / "deploy.prototxt", self.directory / self.task.weights
        )
        path = self.folder / f"{self.name}_{precision}.demi"
        options: dict[str, Any] = {}
        if precision != "fp32":
            images = np.stack([self.pixels[photo] for photo in calibrating])
            options = {"data": images, "judge": images[:1], "preprocess": self.task.preprocess}
        demitasse.compile(graph, path, precision, **options)
        return demitasse.Model.open(path, threads=2)

    def detect(self, model: demitasse.Model, photo: str) -> Rows:
        (info,) = model.inputs
        blob = self.task.preprocess.to_blob(self.pixels[photo], info.shape)
        return self.task.rows(model.run({info.name: blob}))

    def others(self) -> list[str]:
        """Photos that judge nothing."""
        return [photo for photo in self.pixels if photo not in self.answers]


@pytest.fixture(scope="module")
def photos(
    models_dir: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Photos:
    return Photos(models_dir, request.param, tmp_path_factory.mktemp("detection"))


every_task = pytest.mark.parametrize("photos", TASKS, indirect=True)


@every_task
def test_boxes_of_caffe(photos: Photos) -> None:
    reached = []
    for photo, expected in photos.answers.items():
        found = photos.float_rows[photo]
        reached += nearest(expected, found, 0)
        assert len(expected) == (found[:, 1] > photos.task.least).sum(), photo
    print(f"{photos.name}: {len(reached)} boxes of Caffe, least overlap {min(reached):.4f}")
    assert min(reached) >= LEAST["fp32"]


@every_task
@pytest.mark.parametrize("precision", ["int16", "int8"])
@pytest.mark.filterwarnings("ignore::demitasse.errors.DemitasseWarning")
def test_boxes_of_integers(photos: Photos, precision: str) -> None:
    """Each half is judged by a model that was calibrated on the other, and on other photos."""
    reached, extra = [], []
    one, other = halves(photos.answers)
    for calibrating, judged in ((one, other), (other, one)):
        model = photos.compile(precision, calibrating + photos.others())
        for photo in judged:
            expected, found = photos.float_rows[photo], photos.detect(model, photo)
            reached += nearest(expected, found, SURE)
            extra += [overlap for overlap in nearest(found, expected, EXTRA) if overlap < 0.5]
    least, mean = min(reached), np.mean(reached)
    print(f"{photos.name} {precision}: {len(reached)} boxes, overlap {least:.4f}, mean {mean:.4f}")
    assert least >= LEAST[precision]
    assert not extra


@pytest.mark.arm
@pytest.mark.parametrize("precision", ["fp32", "int8", "int16"])
@pytest.mark.parametrize("name", ["res10_ssd_face", "wechat_detect"])
def test_rows_everywhere(
    name: str, precision: str, models_dir: Path, arm_tools: Any, tmp_path: Path
) -> None:
    """The number of rows and every bit of them: kernel sets, reference, ARMv7."""
    recording = recorded_model(models_dir, name)
    graph = optimize(recording.graph())
    path = tmp_path / "net.demi"
    if precision == "fp32":
        demitasse.compile(recording.graph(), path, "fp32")
        (expected,) = demitasse.Model.open(path, kernels="generic").run(recording.inputs).values()
        text = np.uint32(expected.shape[2]).tobytes() + expected.tobytes()
    else:
        text = check_host(quantized(graph, recording.inputs, precision), recording.inputs, path)
    command = [str(arm_tools.qemu), str(arm_tools.run)]
    pinned = (
        ["--kernels", "generic"] if precision == "fp32" else []
    )  # NEON rounds float32 otherwise
    assert run_program(command, path, recording.inputs, graph.inputs, *pinned) == text
    assert int.from_bytes(text[:4], "little") == (len(text) - 4) // 28 > 0


def small_networks() -> dict[str, tuple[Graph, dict[str, np.ndarray]]]:
    """Heads of other kinds behind a convolution, and something to feed them."""
    rng = np.random.default_rng(4)
    networks = {}
    for name, head in {
        "roi": RoiPool((2, 3), 0.5),
        "psroi": PsRoiPool(2, 2, 0.5),
        "yolo 2": YoloOutput(3, (((1.0, 2.0),),), softmax=True, confidence_threshold=0.2),
        "yolo 3": YoloOutput(3, (((1.0, 2.0),),), confidence_threshold=0.2),
    }.items():
        net = Builder(5)
        feed = {"data": rng.normal(0, 1, (1, 3, 9, 10)).astype(np.float32)}
        x = net.add(
            Conv2d(8, (3, 3), (1, 1)), net.input("data", 1, 3, 9, 10), weight=net.random(8, 3, 3, 3)
        )
        if isinstance(head, YoloOutput):
            net.add(head, x)
        else:
            corners = rng.uniform(0, 12, (5, 2))
            regions = np.concatenate([np.zeros((5, 1)), corners, corners + 4], axis=1)
            feed["rois"] = regions.astype(np.float32)
            pooled = net.add(head, x, net.input("rois", 5, 5))
            size = int(np.prod(net.tensors[pooled].shape[1:]))
            net.add(InnerProduct(4), pooled, weight=net.random(4, size))
        networks[name] = (net.graph(), feed)
    return networks


@pytest.mark.arm
@pytest.mark.parametrize("precision", ["int8", "int16"])
@pytest.mark.parametrize("name", small_networks())
def test_small_heads_everywhere(name: str, precision: str, arm_tools: Any, tmp_path: Path) -> None:
    """Regions stay floats in an integer network: a pixel's place is no value to be rounded."""
    graph, feed = small_networks()[name]
    integer = quantized(optimize(graph), feed, precision)
    assert integer.tensors["data"].dtype == precision
    if "rois" in feed:
        assert integer.tensors["rois"].dtype == "float32"
    path = tmp_path / "net.demi"
    expected = check_host(integer, feed, path)
    assert len(expected) >= (4 + 2 * 28 if "yolo" in name else 20)  # rows, or codes of 5 x 4
    command = [str(arm_tools.qemu), str(arm_tools.run)]
    assert run_program(command, path, feed, integer.inputs) == expected
