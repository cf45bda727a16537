"""Accuracy of integer models on real data, against float and against what real Caffe answered.

The bounds are what is promised; `pytest -rP` shows what is reached.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.embeddings import cosines, rank_1
from support.pictures import FACE, FACES_EACH, MNIST, cifar, mnist, orl

import demitasse

BATCH = 100


def answers(model: demitasse.Model, blobs: np.ndarray) -> np.ndarray:
    """The largest class of each sample, (N,)."""
    parts = [model.run({"data": blobs[i : i + BATCH]}) for i in range(0, len(blobs), BATCH)]
    return np.concatenate([next(iter(part.values())).reshape(-1, 10).argmax(1) for part in parts])


def compiled(folder: Path, models_dir: Path, name: str, precision: str, blobs: np.ndarray) -> Path:
    """The model, calibrated on all of the blobs."""
    directory = models_dir / name
    (weights,) = [p for p in directory.iterdir() if ".caffemodel" in p.name]
    graph = demitasse.load_caffe(directory / "deploy.prototxt", weights)
    path = folder / f"{name}_{precision}.demi"
    demitasse.compile(graph, path, precision, blobs, judge=blobs[:1], samples=None)
    return path


def test_lenet(models_dir: Path, tmp_path: Path) -> None:
    images, labels = mnist(models_dir)
    blobs = np.concatenate([MNIST.to_blob(image, (1, 1, 28, 28)) for image in images])
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
    *images, labels, preprocess = cifar(models_dir)
    train, test = (
        np.concatenate([preprocess.to_blob(image, (1, 3, 32, 32)) for image in part])
        for part in images
    )
    share = {}
    for precision in ("fp32", "int16", "int8"):
        path = compiled(tmp_path, models_dir, name, precision, train)
        share[precision] = 100 * float((answers(demitasse.Model.open(path), test) == labels).mean())
    print(f"{name}, 1,000 images: {share}, Caffe {caffe}")
    assert share["fp32"] == pytest.approx(caffe, abs=0.1)
    assert share["int16"] == pytest.approx(share["fp32"], abs=0.1 + 1e-9)
    assert share["int8"] >= share["fp32"] - 0.7 - 1e-9


def test_mobilefacenet(models_dir: Path, tmp_path: Path) -> None:
    faces = np.repeat(orl(models_dir, 112)[..., None], 3, axis=3)
    blobs = np.concatenate([FACE.to_blob(face, (1, 3, 112, 112)) for face in faces])
    caffe = np.load(models_dir / "tasks" / "mobilefacenet_orl_emb.npz")["emb"]
    found = {}
    for precision in ("fp32", "int16", "int8"):
        path = compiled(tmp_path, models_dir, "mobilefacenet_rk", precision, blobs[:100])
        (found[precision],) = demitasse.Model.open(path, threads=2).run({"data": blobs}).values()
    judged = slice(100, None)
    near = {p: cosines(found[p], found["fp32"])[judged] for p in ("int16", "int8")}
    people = np.arange(len(blobs)) // FACES_EACH
    rank = {p: rank_1(found[p], people) for p in found}
    print(f"MobileFaceNet on ORL: int16 least cosine {near['int16'].min():.6f}")
    print(f"int8 mean cosine {near['int8'].mean():.4f}, least {near['int8'].min():.4f}")
    print(f"rank-1, leave one out: {rank}")
    assert cosines(found["fp32"], caffe).min() > 0.99999
    assert near["int16"].min() >= 0.99999
    assert near["int8"].mean() >= 0.975
