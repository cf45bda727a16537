"""Accuracy of integer models on real data, against float and against what real Caffe answered.

The bounds are what is promised; `pytest -rP` shows what is reached.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.preprocess import Preprocess

BATCH = 100


def answers(model: demitasse.Model, blobs: np.ndarray) -> np.ndarray:
    """The largest class of each sample, (N,)."""
    parts = [model.run({"data": blobs[i : i + BATCH]}) for i in range(0, len(blobs), BATCH)]
    return np.concatenate([next(iter(part.values())).reshape(-1, 10).argmax(1) for part in parts])


@pytest.fixture(scope="module")
def mnist(models_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """LeNet's blobs (10000, 1, 28, 28) and the labels of t10k."""
    folder = models_dir / "data" / "mnist"
    images, labels = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    dataset = open_dataset(images, labels)
    pixels = np.stack([sample.data[None, :, :, 0] for sample in dataset])
    assert dataset.labels is not None
    return pixels.astype(np.float32) * np.float32(0.00390625), dataset.labels


def compiled(folder: Path, models_dir: Path, name: str, precision: str, blobs: np.ndarray) -> Path:
    """The model, calibrated on all of the blobs."""
    directory = models_dir / name
    (weights,) = [p for p in directory.iterdir() if ".caffemodel" in p.name]
    graph = demitasse.load_caffe(directory / "deploy.prototxt", weights)
    path = folder / f"{name}_{precision}.demi"
    demitasse.compile(graph, path, precision, blobs, judge=blobs[:1], samples=None)
    return path


def test_lenet(mnist: tuple[np.ndarray, np.ndarray], models_dir: Path, tmp_path: Path) -> None:
    blobs, labels = mnist
    found = {}
    for precision in ("fp32", "int16", "int8"):
        path = compiled(tmp_path, models_dir, "lenet_mnist", precision, blobs[:1000])
        found[precision] = answers(demitasse.Model.open(path), blobs)
    caffe = np.load(models_dir / "tasks" / "lenet_mnist_t10k_ip2_first2000.npz")["pred_all"]
    judged = slice(1000, None)
    right = {p: int((found[p] == labels)[judged].sum()) for p in found}
    same = {p: int((found[p] == found["fp32"])[judged].sum()) for p in found}
    print(f"LeNet, 9,000 digits: right {right}, as fp32 {same}")
    assert np.array_equal(found["fp32"], caffe)
    assert same["int16"] >= 8999
    assert right["fp32"] - right["int8"] <= 9  # 0.10 points


@pytest.mark.parametrize(
    ("name", "caffe"),
    [("cifar10_quick_v1", 73.1), ("cifar10_quick_h5", 74.6), ("cifar10_full_v1", 79.6)],
)
def test_cifar(name: str, caffe: float, models_dir: Path, tmp_path: Path) -> None:
    data = np.load(models_dir / "data" / "cifar10" / "cifar10_subset.npz")
    preprocess = Preprocess(order="rgb", mean_image=data["mean_rgb"])
    train, test = (
        np.concatenate([preprocess.to_blob(image, (1, 3, 32, 32)) for image in data[key]])
        for key in ("train_x", "test_x")
    )
    share = {}
    for precision in ("fp32", "int16", "int8"):
        path = compiled(tmp_path, models_dir, name, precision, train)
        share[precision] = 100 * float(
            (answers(demitasse.Model.open(path), test) == data["test_y"]).mean()
        )
    print(f"{name}, 1,000 images: {share}, Caffe {caffe}")
    assert share["fp32"] == pytest.approx(caffe, abs=0.1)
    assert share["int16"] == pytest.approx(share["fp32"], abs=0.1 + 1e-9)
    assert share["int8"] >= share["fp32"] - 0.7 - 1e-9


def faces(models_dir: Path) -> np.ndarray:
    """MobileFaceNet's blobs of ORL, (400, 3, 112, 112), subject by subject."""
    cv2 = pytest.importorskip("cv2")
    images = np.load(models_dir / "data" / "orl_faces.npz")["images"].reshape(-1, 112, 92)
    square = np.stack([cv2.resize(image[10:102], (112, 112)) for image in images])
    blobs = (square.astype(np.float32) - np.float32(127.5)) * np.float32(0.0078125)
    return np.repeat(blobs[:, None], 3, axis=1)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / norms)


def test_mobilefacenet(models_dir: Path, tmp_path: Path) -> None:
    blobs = faces(models_dir)
    caffe = np.load(models_dir / "tasks" / "mobilefacenet_orl_emb.npz")["emb"]
    found = {}
    for precision in ("fp32", "int16", "int8"):
        path = compiled(tmp_path, models_dir, "mobilefacenet_rk", precision, blobs[:100])
        (found[precision],) = demitasse.Model.open(path, threads=2).run({"data": blobs}).values()
    judged = slice(100, None)
    near = {p: cosines(found[p], found["fp32"])[judged] for p in ("int16", "int8")}
    rank = {p: rank_1(found[p]) for p in found}
    print(f"MobileFaceNet on ORL: int16 least cosine {near['int16'].min():.6f}")
    print(f"int8 mean cosine {near['int8'].mean():.4f}, least {near['int8'].min():.4f}")
    print(f"rank-1, leave one out: {rank}")
    assert cosines(found["fp32"], caffe).min() > 0.99999
    assert near["int16"].min() >= 0.99999
    assert near["int8"].mean() >= 0.975


def rank_1(embeddings: np.ndarray) -> float:
    """Share of faces whose nearest other face is of the same person, in percent."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -2)
    people = np.arange(len(unit)) // 10
    return 100 * float((people[likeness.argmax(1)] == people).mean())
