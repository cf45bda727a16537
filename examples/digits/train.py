"""Train the digits network of deploy.prototxt and write digits.caffemodel and digits.npz.

    pip install demitasse scikit-learn
    python examples/digits/train.py

NumPy only, half a minute, no GPU. The data are the 1,797 handwritten digits that come with
scikit-learn (8x8 pixels; UCI, "Optical Recognition of Handwritten Digits"). A third of them is held
out: the network never sees these, and digits.npz holds them (`images`, `labels`) beside 200
training images to calibrate with (`calibration`).

Inside, arrays are channels-last: a convolution is then one matrix product per tap. The seed fixes
every random choice, so the same NumPy on the same machine gives the same files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

HERE = Path(__file__).parent
SCALE = np.float32(0.00390625)  # as transform_param in deploy.prototxt
HELD_OUT, CALIBRATION = 600, 200
EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 40, 32, 0.1, 0.9, 5e-4
SEED = 5


class Layer(Protocol):
    """What the training loop needs: forward keeps what backward uses; grads go with params."""

    params: list[Array]
    grads: list[Array]

    def forward(self, x: Array, train: bool) -> Array: ...
    def backward(self, dy: Array) -> Array: ...
    def blobs(self) -> list[WeightLayer]: ...


class Convolution:
    """Stride 1, same size, no bias. weight: (kernel, kernel, in, out); depthwise: (k, k, in)."""

    def __init__(self, name: str, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
        self.name, self.depthwise = name, len(shape) == 3
        fan_in = np.prod(shape[:2] if self.depthwise else shape[:3])
        weight = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        self.params, self.grads = [weight.astype(np.float32)], []

    def _taps(self, x: Array) -> list[tuple[int, int, Array]]:
        """(row, column, the padded x shifted so that this tap meets its output)."""
        kernel, pad = self.params[0].shape[0], self.params[0].shape[0] // 2
        height, width = x.shape[1:3]
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        taps = np.ndindex(kernel, kernel)
        return [(i, j, padded[:, i : i + height, j : j + width]) for i, j in taps]

    def forward(self, x: Array, train: bool) -> Array:
        self.x, weight = x, self.params[0]
        if self.depthwise:
            return sum(part * weight[i, j] for i, j, part in self._taps(x))
        return sum(part @ weight[i, j] for i, j, part in self._taps(x))

    def backward(self, dy: Array) -> Array:
        weight = self.params[0]
        grad, flipped = np.empty_like(weight), weight[::-1, ::-1]
        for i, j, part in self._taps(self.x):
            if self.depthwise:
                grad[i, j] = (part * dy).sum((0, 1, 2))
            else:
                grad[i, j] = np.tensordot(part, dy, ((0, 1, 2), (0, 1, 2)))
        self.grads = [grad]
        if self.depthwise:
            return sum(part * flipped[i, j] for i, j, part in self._taps(dy))
        return sum(part @ flipped[i, j].T for i, j, part in self._taps(dy))

    def blobs(self) -> list[WeightLayer]:
        weight = self.params[0]
        order = (2, 0, 1) if self.depthwise else (3, 2, 0, 1)
        weight = weight.transpose(order)  # Caffe's (out, in, row, column)
        return [_entry(self.name, "Convolution", weight[:, None] if self.depthwise else weight)]


class BatchNormReLU:
    """BatchNorm, Scale and ReLU; the running statistics are summed up the way Caffe does it."""

    def __init__(self, name: str, channels: int) -> None:
        self.name = name
        self.params = [np.ones(channels, np.float32), np.zeros(channels, np.float32)]
        self.grads: list[Array] = []
        self.mean, self.variance, self.factor = np.zeros(channels), np.zeros(channels), 0.0

    def forward(self, x: Array, train: bool) -> Array:
        mean, variance = self.mean, self.variance
        if train:
            mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            count = x.size // x.shape[-1]
            self.mean = 0.98 * self.mean + mean
            self.variance = 0.98 * self.variance + variance * (count / (count - 1))
            self.factor = 0.98 * self.factor + 1
        else:
            mean, variance = mean / self.factor, variance / self.factor
        self.inverse = (1 / np.sqrt(variance + 1e-5)).astype(np.float32)
        self.normal = (x - mean.astype(np.float32)) * self.inverse
        self.y = np.maximum(self.normal * self.params[0] + self.params[1], 0)
        return self.y

    def backward(self, dy: Array) -> Array:
        dy = dy * (self.y > 0)
        axes = (0, 1, 2)
        self.grads = [(dy * self.normal).sum(axes), dy.sum(axes)]
        dn = dy * self.params[0]
        dn = dn - dn.mean(axes) - self.normal * (dn * self.normal).mean(axes)
        return dn * self.inverse

    def blobs(self) -> list[WeightLayer]:
        statistics = (self.mean, self.variance, np.array([self.factor]))
        return [
            _entry(f"{self.name}/bn", "BatchNorm", *statistics),
            _entry(f"{self.name}/scale", "Scale", *self.params),
        ]


class Pool:
    """2x2 with stride 2, MAX or AVE."""

    def __init__(self, maximum: bool) -> None:
        self.maximum = maximum
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, x: Array, train: bool) -> Array:
        n, h, w, c = x.shape
        cells = x.reshape(n, h // 2, 2, w // 2, 2, c)
        y = cells.max((2, 4), keepdims=True) if self.maximum else cells.mean((2, 4), keepdims=True)
        share = (cells == y) if self.maximum else np.broadcast_to(np.float32(1), cells.shape)
        self.share = (share / share.sum((2, 4), keepdims=True)).astype(np.float32)
        return y.reshape(n, h // 2, w // 2, c)

    def backward(self, dy: Array) -> Array:
        n, h, w, c = dy.shape
        return (self.share * dy.reshape(n, h, 1, w, 1, c)).reshape(n, 2 * h, 2 * w, c)

    def blobs(self) -> list[WeightLayer]:
        return []


class InnerProduct:
    """weight: (rows * columns * channels, out)."""

    def __init__(self, name: str, rng: np.random.Generator, shape: tuple[int, ...], out: int):
        self.name, self.shape = name, shape
        size = int(np.prod(shape))
        weight = rng.standard_normal((size, out)) / np.sqrt(size)
        self.params = [weight.astype(np.float32), np.zeros(out, np.float32)]
        self.grads: list[Array] = []

    def forward(self, x: Array, train: bool) -> Array:
        self.x = x.reshape(len(x), -1)
        return self.x @ self.params[0] + self.params[1]

    def backward(self, dy: Array) -> Array:
        self.grads = [self.x.T @ dy, dy.sum(0)]
        return (dy @ self.params[0].T).reshape(-1, *self.shape)

    def blobs(self) -> list[WeightLayer]:
        weight, bias = self.params
        weight = weight.reshape(*self.shape, -1).transpose(3, 2, 0, 1)  # Caffe flattens C, H, W
        return [_entry(self.name, "InnerProduct", weight.reshape(len(bias), -1), bias)]


def _entry(name: str, kind: str, *arrays: npt.NDArray[np.floating]) -> WeightLayer:
    return WeightLayer(name, kind, arrays=arrays)


def network(rng: np.random.Generator) -> list[Layer]:
    """The layers of deploy.prototxt."""
    return [
        Convolution("conv1", rng, (3, 3, 1, 16)),
        BatchNormReLU("conv1", 16),
        Convolution("conv2/dw", rng, (3, 3, 16)),
        BatchNormReLU("conv2/dw", 16),
        Convolution("conv2/pw", rng, (1, 1, 16, 32)),
        BatchNormReLU("conv2/pw", 32),
        Pool(maximum=True),
        Convolution("conv3", rng, (3, 3, 32, 32)),
        BatchNormReLU("conv3", 32),
        Pool(maximum=False),
        InnerProduct("score", rng, (2, 2, 32), 10),
    ]


def predict(layers: list[Layer], images: Pixels) -> Labels:
    """images: (N, 8, 8, 1) -> (N,) digits."""
    x: Array = images.astype(np.float32) * SCALE
    for layer in layers:
        x = layer.forward(x, train=False)
    return x.argmax(1)


def train(layers: list[Layer], images: Pixels, labels: Labels, rng: np.random.Generator) -> None:
    """Momentum and a cosine schedule on images that are shifted by up to one pixel."""
    speeds = [[np.zeros_like(p) for p in layer.params] for layer in layers]
    steps = EPOCHS * (len(images) // BATCH)
    for step in range(steps):
        picks = rng.choice(len(images), BATCH, replace=False)
        batch = np.stack([_shifted(images[i], *rng.integers(-1, 2, 2)) for i in picks])
        x: Array = batch.astype(np.float32) * SCALE
        for layer in layers:
            x = layer.forward(x, train=True)
        odds = np.exp(x - x.max(1, keepdims=True))
        dy = odds / odds.sum(1, keepdims=True)
        dy[np.arange(BATCH), labels[picks]] -= 1
        dy /= BATCH
        for layer in reversed(layers):
            dy = layer.backward(dy)
        rate = np.float32(RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        for layer, speed in zip(layers, speeds, strict=True):
            for p, g, v in zip(layer.params, layer.grads, speed, strict=True):
                v *= MOMENTUM
                v -= rate * (g + DECAY * p)
                p += v


def _shifted(image: Pixels, down: int, right: int) -> Pixels:
    """The image moved, with paper (0) where it came from."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    return padded[1 - down : 9 - down, 1 - right : 9 - right]


def main() -> None:
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    order = rng.permutation(len(images))
    test, rest = order[:HELD_OUT], order[HELD_OUT:]
    labels = digits.target.astype(np.int64)
    layers = network(rng)
    train(layers, images[rest], labels[rest], rng)
    hits = predict(layers, images[test]) == labels[test]
    print(f"{hits.sum()} of {len(test)} held-out digits right ({hits.mean():.2%})")

    blobs = [blob for layer in layers for blob in layer.blobs()]
    write_caffemodel(HERE / "digits.caffemodel", blobs, name="digits")
    np.savez_compressed(
        HERE / "digits.npz",
        images=images[test],
        labels=labels[test].astype(np.uint8),
        calibration=images[rest[:CALIBRATION]],
    )


if __name__ == "__main__":
    main()
