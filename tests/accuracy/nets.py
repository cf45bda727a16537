"""The networks, and the pictures that calibrate and judge them: never the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support.detection import TASKS, halves
from support.pictures import (
    FACE,
    FACES_EACH,
    MNIST,
    PEOPLE,
    cifar,
    mnist,
    opencv,
    orl,
    photos,
    pillow,
)
from support.recorded import MODELS

from accuracy.scores import Score, boxes, classes, embeddings, mask, nothing, shifts
from demitasse.quantizer.preprocess import Preprocess

Pixels = np.ndarray  # uint8 (N, H, W, C), or float32 blobs (N, C, H, W)
SUBJECTS = 10  # of ORL calibrate


@dataclass(frozen=True)
class Material:
    """splits: calibrating and judging pictures, once or more. score: of all judging pictures."""

    splits: Sequence[tuple[Pixels, Pixels]]
    preprocess: Preprocess
    score: Score


@dataclass(frozen=True)
class Net:
    """A network of the shared models.

    heads: the blobs whose SQNR counts; what follows them runs in float32. outputs: more blobs that
    the score looks at. size: the input's height and width, where it is not the text's. small:
    weights of four bits are measured too.
    """

    folder: str
    heads: tuple[str, ...]
    load: Callable[[Path], Material]
    pictures: str
    outputs: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    weights: str = ""
    small: bool = False


def _digits(models: Path) -> Material:
    images, labels = mnist(models)
    return Material([(images[:1000], images[1000:])], MNIST, classes("ip2", labels[1000:]))


def _cifar(blob: str) -> Callable[[Path], Material]:
    def load(models: Path) -> Material:
        train, test, labels, preprocess = cifar(models)
        return Material([(train, test)], preprocess, classes(blob, labels))

    return load


def _coarse(models: Path) -> Material:
    train, test, _, preprocess = cifar(models)
    return Material([(train, test[:300])], preprocess, classes("ip2"))


def _faces(models: Path) -> Material:
    faces = np.repeat(orl(models, 112)[..., None], 3, axis=3)
    people = np.repeat(np.arange(PEOPLE), FACES_EACH)
    first = SUBJECTS * FACES_EACH
    return Material([(faces[:first], faces[first:])], FACE, embeddings("fc1", people[first:]))


def _landmarks(models: Path) -> Material:
    faces = orl(models, 60).astype(np.float64)
    mean, deviation = faces.mean((1, 2), keepdims=True), faces.std((1, 2), keepdims=True)
    blobs = ((faces - mean) / (1e-6 + deviation)).astype(np.float32)[:, None]
    first = SUBJECTS * FACES_EACH
    preprocess = Preprocess(order="gray")
    return Material([(blobs[:first], blobs[first:])], preprocess, shifts("Dense3"))


def _boxes(name: str) -> Callable[[Path], Material]:
    """Each half of the photos is judged by what the other half and the rest calibrated."""

    def load(models: Path) -> Material:
        task = TASKS[name]
        pixels = {path.name: task.pixels(path) for path in photos(models)}
        judging = json.loads((models / "tasks" / task.answers).read_text())
        rest = [photo for photo in pixels if photo not in judging]
        one, other = (
            [np.stack([pixels[photo] for photo in part]) for part in (half + rest, half)]
            for half in halves(judging)
        )
        return Material([(one[0], other[1]), (other[0], one[1])], task.preprocess, boxes(task.rows))

    return load


def _alternate(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Every second to calibrate and the others; both parts have all kinds."""
    distinct = [path for path in files if path.name != "uf_4.jpg"]  # mtcnn_test2.jpg again
    return distinct[::2], distinct[1::2]


def _photos(
    pixels: Callable[[Path], Pixels], preprocess: Preprocess, score: Score, folder: str = "*"
) -> Callable[[Path], Material]:
    """Photos, one or more pictures (N, H, W, C) each."""

    def load(models: Path) -> Material:
        one, other = (
            np.concatenate([pixels(path) for path in part])
            for part in _alternate(photos(models, folder))
        )
        return Material([(one, other)], preprocess, score)

    return load


def _windows(mode: str, height: int, width: int) -> Callable[[Path], Pixels]:
    """Windows side by side, of the photo stretched to 8 by 16 of them, where there is something."""

    def cut(path: Path) -> Pixels:
        whole = pillow(path, mode, 16 * width, 8 * height)
        tiles = whole.reshape(8, height, 16, width, -1).swapaxes(1, 2)
        tiles = tiles.reshape(128, height, width, -1)
        return tiles[tiles.std((1, 2, 3)) > 12]

    return cut


def _turned(size: int) -> Callable[[Path], Pixels]:
    """The photo, rows and columns exchanged as MTCNN wants it."""
    return lambda path: opencv(path, size, size).swapaxes(0, 1)[None]


def _thumbnails(size: int, blob: str) -> Callable[[Path], Material]:
    """Faces of ORL, and windows of photos that mostly are none; rows and columns exchanged."""

    def load(models: Path) -> Material:
        faces = np.repeat(orl(models, size)[..., None], 3, axis=3)
        first = SUBJECTS * FACES_EACH
        cut = _windows("RGB", size, size)
        parts = []
        for some, files in zip(
            (faces[:first], faces[first:]), _alternate(photos(models, "[fg]*")), strict=True
        ):
            others = np.concatenate([cut(path)[::4] for path in files])
            parts.append(np.concatenate([some, others]).swapaxes(1, 2))
        return Material([(parts[0], parts[1])], FACE, classes(blob))

    return load


def _gray(size: int) -> Callable[[Path], Pixels]:
    return lambda path: pillow(path, "L", size, size)[None]


BYTES = Preprocess(order="gray", scale=(1 / 255,))
CIFAR = "CIFAR-10: 300 calibrate, 1,000 judge"
HALVES = "9 photos with faces judge, in two halves; the others calibrate"
ORL = "ORL: 100 faces of 10 people calibrate, 300 of 30 others judge"
TILES = "windows of photos of plates; every second photo calibrates"
THUMBNAILS = "faces of ORL and windows of photos; 10 people and every second photo calibrate"
ALTERNATE = "photos; every second one calibrates"

NETS = {
    "lenet": Net(
        "lenet_mnist", ("ip2",), _digits, "t10k: 1,000 digits calibrate, 9,000 judge", small=True
    ),
    "cifar_quick": Net("cifar10_quick_v1", ("ip2",), _cifar("ip2"), CIFAR),
    "cifar_quick_h5": Net("cifar10_quick_h5", ("ip2",), _cifar("ip2"), CIFAR),
    "cifar_full": Net("cifar10_full_v1", ("ip1",), _cifar("ip1"), CIFAR, small=True),
    "cmsisnn_m4": Net("cmsisnn_cifar10_m4", ("ip1",), _cifar("ip1"), CIFAR),
    "cifar100": Net(
        "cifar100_quick", ("ip2",), _coarse, "CIFAR-10's pictures: 300 calibrate, 300 judge"
    ),
    "mobilefacenet": Net("mobilefacenet_rk", ("fc1",), _faces, ORL, small=True),
    "landmark": Net("vanface_landmark", ("Dense3",), _landmarks, ORL),
    "charrec": Net(
        "hyperlpr_charrec",
        ("dense2",),
        _photos(_windows("L", 30, 14), BYTES, classes("dense2"), "plates"),
        TILES,
    ),
    "segmentation": Net(
        "hyperlpr_segmentation",
        ("dense_10",),
        _photos(_windows("L", 22, 22), BYTES, classes("dense_10"), "plates"),
        TILES,
    ),
    "finemap": Net(
        "hyperlpr_finemap",
        ("dense",),
        _photos(
            _windows("RGB", 16, 66), Preprocess(order="bgr", scale=(1 / 255,)), nothing, "plates"
        ),
        TILES,
    ),
    **{
        key: Net(name, TASKS[name].heads, _boxes(name), pictures, TASKS[name].outputs)
        for key, name, pictures in (
            ("res10", "res10_ssd_face", HALVES),
            ("ultraface_rfb", "ultraface_rfb320", HALVES),
            ("ultraface_slim", "ultraface_slim320", HALVES),
            (
                "wechat_detect",
                "wechat_detect",
                "28 photos, 27 with codes, judge, in two halves; the others calibrate",
            ),
        )
    },
    "wechat_sr": Net(
        "wechat_sr",
        ("fc",),
        _photos(_gray(96), BYTES, nothing, "qr"),
        "photos of codes; every second one calibrates",
        size=(96, 96),
    ),
    "mtcnn_det1": Net(
        "mtcnn_det1",
        ("conv4-1", "conv4-2"),
        _photos(_turned(96), FACE, classes("conv4-1"), "[fg]*"),
        ALTERNATE,
        size=(96, 96),
    ),
    "mtcnn_det2": Net("mtcnn_det2", ("conv5-1", "conv5-2"), _thumbnails(24, "conv5-1"), THUMBNAILS),
    "mtcnn_det3": Net(
        "mtcnn_det3",
        ("conv6-1", "conv6-2", "conv6-3"),
        _thumbnails(48, "conv6-1"),
        THUMBNAILS,
    ),
    "yolov3_lite": Net(
        "mobilenet_yolov3_lite",
        ("conv16",),
        _photos(
            lambda path: opencv(path, 256, 128)[None],
            Preprocess(order="bgr", mean=(127.5,), scale=(0.007843,)),
            mask("sigmoid", 0.5),
        ),
        ALTERNATE,
        outputs=("sigmoid",),
        size=(128, 256),
    ),
    "open_nsfw": Net(
        "open_nsfw",
        ("fc_nsfw",),
        _photos(
            lambda path: opencv(path, 224, 224)[None],
            Preprocess(order="bgr", mean=(104.0, 117.0, 123.0)),
            classes("fc_nsfw"),
        ),
        ALTERNATE,
        weights="resnet_50_1by2_nsfw.caffemodel",
    ),
}


def weights_of(net: Net, models: Path) -> Path:
    """The file of weights; open_nsfw's is beside the others or in build/."""
    path = models / net.folder / (net.weights or MODELS[net.folder])
    return path if path.exists() else Path("build") / "accuracy" / path.name
