"""Pictures of the shared models, in the sizes and by the ways in which Caffe was fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.preprocess import Preprocess

PEOPLE, FACES_EACH = 40, 10  # of ORL, person by person


def pillow(path: Path, mode: str, width: int, height: int) -> np.ndarray:
    """A photo (height, width, channels) as Pillow stretches it."""
    image = Image.open(path).convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, -1)


def opencv(path: Path, width: int, height: int) -> np.ndarray:
    """A photo (height, width, 3), RGB, as OpenCV stretches it."""
    cv2 = pytest.importorskip("cv2")
    return np.asarray(cv2.resize(cv2.imread(str(path))[..., ::-1], (width, height)))


def photos(models_dir: Path, folder: str = "*") -> list[Path]:
    """The files of photos/: faces, general, plates, qr."""
    files = (models_dir / "data" / "photos").glob(f"{folder}/*")
    return [path for path in sorted(files) if path.suffix != ".txt"]


def mnist(models_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of t10k, uint8 (10000, 28, 28, 1), and their labels."""
    folder = models_dir / "data" / "mnist"
    images, labels = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    dataset = open_dataset(images, labels)
    assert dataset.labels is not None
    return np.stack([sample.data for sample in dataset]), dataset.labels


MNIST = Preprocess(order="gray", scale=(0.00390625,))


def cifar(models_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, Preprocess]:
    """Pictures to calibrate with, to judge with, the labels of these; RGB and a mean image."""
    data = np.load(models_dir / "data" / "cifar10" / "cifar10_subset.npz")
    preprocess = Preprocess(order="rgb", mean_image=data["mean_rgb"])
    return data["train_x"], data["test_x"], data["test_y"], preprocess


def orl(models_dir: Path, size: int) -> np.ndarray:
    """The faces of ORL, uint8 (400, size, size), person by person."""
    cv2 = pytest.importorskip("cv2")
    images = np.load(models_dir / "data" / "orl_faces.npz")["images"].reshape(-1, 112, 92)
    return np.stack([cv2.resize(image[10:102], (size, size)) for image in images])


FACE = Preprocess(order="rgb", mean=(127.5,), scale=(0.0078125,))  # MobileFaceNet, MTCNN
