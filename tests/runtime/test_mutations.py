"""Damaged models with a repaired checksum: refused, or run without touching foreign memory.

`runtime_c/tests/mutate.c` does the work and the sanitizers judge.
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.bits import quantized
from support.graphs import Builder

from demitasse.converter.flat import serialise
from demitasse.converter.ops import (
    ArgMax,
    Clip,
    Concat,
    Conv2d,
    Deconv2d,
    DetectionOutput,
    Eltwise,
    Embed,
    Exp,
    Expand,
    Gather,
    InnerProduct,
    Lrn,
    Lstm,
    Mish,
    Mvn,
    Normalize,
    Pool2d,
    PoolMask,
    PRelu,
    PsRoiPool,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Reverse,
    Rnn,
    RoiPool,
    Scale,
    Sigmoid,
    Softmax,
    Threshold,
    Unpool,
    YoloOutput,
)
from demitasse.converter.passes import optimize
from demitasse.runtime.model import Model
from tests.runtime import builder as b

# Without optimization the kernels compile in seconds, and no overflow is optimized away.
FLAGS = "-std=c99 -O0 -ffp-contract=off -fsanitize=address,undefined,float-cast-overflow"
MUTANTS = 500


def by_hand() -> list[bytes]:
    """Models that use every kind of record."""
    picture = b.File(
        tensors=[b.Tensor((1, 3, 4, 5), dtype="int8", scale=0.5, name="data")],
        inputs=[(0, "data")],
        outputs=[(0, "data")],
        prep=[b.Prep(order=1, resize=(6, 7)), b.Prep(order=2, fit=1, mean=64)],
        data=np.arange(768, dtype=np.uint8).tobytes(),
    )
    return [b.chain(dtype).build() for dtype in b.DTYPES] + [picture.build()]


def convolutions() -> Builder:
    """Dense, grouped, depthwise and transposed, with every fused activation; then a product."""
    net = Builder(1)
    x = net.input("data", 1, 3, 7, 6)
    weights = {"weight": net.random(9, 3, 3, 3), "bias": net.random(9)}
    x = net.add(Conv2d(9, (3, 3), (2, 1), (1, 1, 1, 1)), x, **weights)
    x = net.add(PRelu(), x, slope=net.random(9))
    x = net.add(Conv2d(9, (3, 2), (1, 1), (1, 1, 1, 1), groups=9), x, weight=net.random(9, 1, 3, 2))
    x = net.add(Relu(), x)
    x = net.add(Conv2d(6, (1, 1), groups=3), x, weight=net.random(6, 3, 1, 1))
    x = net.add(Relu(0.1), x)
    x = net.add(Conv2d(18, (1, 1)), x, weight=net.random(18, 6, 1, 1), bias=net.random(18))
    x = net.add(Conv2d(2, (2, 2), dilation=(2, 1)), x, weight=net.random(2, 18, 2, 2))
    x = net.add(Clip(0.0, 6.0), x)
    x = net.add(Deconv2d(4, (3, 2), (2, 2), (1, 0, 1, 0)), x, weight=net.random(2, 4, 3, 2))
    size = int(np.prod(net.tensors[x].shape))
    net.add(InnerProduct(5), x, weight=net.random(5, size), bias=net.random(5))
    return net


def others() -> Builder:
    """Everything else."""
    net = Builder(2)
    x, y = net.input("data", 1, 4, 5, 6), net.input("more", 1, 4, 5, 6)
    added = net.add(Eltwise("sum", (1.0, -0.5)), x, y)
    times = net.add(Eltwise("prod"), x, y)
    most = net.add(Eltwise("max"), x, added)
    pooled = net.add(Pool2d("average", (3, 2), (2, 2), (1, 1)), added)
    highest = net.add(Pool2d("max", (2, 3), (2, 2), (1, 1)), times)
    normed = net.add(Lrn("across", 3, 0.5, 0.75, 1.0), most)
    near = net.add(Lrn("within", 3, 0.5, 0.75, 1.0), most)
    scaled = net.add(Scale(), net.add(Sigmoid(), normed), scale=net.random(4), bias=net.random(4))
    sloped = net.add(PRelu(), near, slope=net.random(4))
    net.add(Softmax(1), net.add(Concat(), scaled, sloped))
    net.add(Concat(), pooled, highest)
    return net


def detections() -> Builder:
    """Boxes of both kinds, with constant priors and given ones, and pooled regions."""
    net = Builder(3)
    location, score = net.input("location", 2, 24), net.input("score", 2, 18)
    priors = net.input("priors", 1, 2, 24)
    op = DetectionOutput(3, code="center_size", top_k=4, keep_top_k=5)
    net.add(op, location, score, priors)
    constant = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 2, 24)
    net.add(DetectionOutput(3, eta=0.9, nms_threshold=0.7), location, score, prior=constant)
    anchors = (((1.0, 2.0), (2.0, 1.0)),)
    net.add(YoloOutput(3, anchors, confidence_threshold=0.1), net.input("grid", 1, 16, 3, 4))
    x, regions = net.input("x", 2, 8, 5, 6), net.input("regions", 3, 5)
    net.add(RoiPool((2, 3)), x, regions)
    net.add(PsRoiPool(2, 2, 0.5), x, regions)
    return net


def upsampled() -> Builder:
    """Masks and back, resizing, and the normalizations of whole axes."""
    net = Builder(4)
    x = net.add(Relu(), net.input("data", 1, 9, 6, 8))
    mask = net.add(PoolMask((2, 3), (2, 2), (1, 1)), x)
    least = net.add(Pool2d("max", (2, 3), (2, 2), (1, 1)), x)
    back = net.add(Unpool((6, 8)), net.add(Relu(0.5), least), mask)
    larger = net.add(Resize(zoom=2, crop=(1, 0)), back)
    smaller = net.add(Resize((5, 3), rule="half_pixel"), larger)
    normed = net.add(Normalize(False), smaller, scale=net.random(9))
    net.add(Normalize(True), net.add(Mvn(), normed), scale=net.random(1))
    net.add(Mvn(True, True), back)
    return net


def recurrent() -> Builder:
    """LSTM and RNN, with everything and with nothing."""
    net = Builder(5)
    shapes = ((3, 2, 5), (3, 2), (2, 4), (1, 2, 7), (1, 2, 7))
    inputs = [net.input(f"x{i}", *shape) for i, shape in enumerate(shapes)]
    for op, count in ((Lstm(7, True, 3), 5), (Rnn(7, True, 3), 4), (Lstm(3), 2), (Rnn(11), 2)):
        sizes = op.matrices([*shapes, (1, 1)]).items()
        net.add(op, *inputs[:count], **{key: net.random(*shape) for key, shape in sizes})
    return net


def gathered() -> Builder:
    """Repeated, reversed, picked and summed values, and functions of all kinds."""
    net = Builder(5)
    x, index = net.input("data", 1, 4, 5, 6), net.input("index", 3)
    more = net.add(Expand(), net.input("pixel", 1, 4, 1, 1), x)
    mixed = net.add(Eltwise("prod"), x, more)
    large = net.add(Expand((0, 0, 0, 2, 0, 2)), net.add(Reshape((1, 4, 5, 1, 6, 1)), mixed))
    net.add(Pool2d("average", (2, 2)), net.add(Reshape((1, 4, 10, 12)), large))
    back = net.add(Reverse(2), net.add(Mish(), mixed))
    net.add(ArgMax(1, 2, values=True), net.add(Gather(3), back, index))
    net.add(Reduce("sumsq", 2), net.add(Threshold(0.1), mixed))
    net.add(Reduce("mean", 0), net.add(Exp(2.0), back))
    net.add(Embed(4, 3), index, table=net.random(4, 3), bias=net.random(3))
    return net


def converted(net: Builder) -> list[bytes]:
    """A network as float32, int8 and int16."""
    graph = optimize(net.graph())
    feed = net.feed(graph)
    integers = [quantized(graph, feed, precision) for precision in ("int8", "int16")]
    return [serialise(each)[0] for each in (graph, *integers)]


@pytest.fixture(scope="module")
def harness(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, runtime = tmp_path_factory.mktemp("mutate"), root / "runtime_c"
    sources = [
        runtime / "tests" / "mutate.c",
        *sorted((runtime / "src").glob("*.c")),
        *sorted((runtime / "kernels").glob("*/*.c")),
    ]
    objects = [folder / f"{i}.o" for i in range(len(sources))]
    includes = [f"-I{runtime / 'include'}", f"-I{runtime / 'src'}"]
    command = ["gcc", *FLAGS.split(), "-fno-sanitize-recover=all", *includes]

    def compile_one(source: Path, target: Path) -> str:
        done = subprocess.run(
            [*command, "-c", source, "-o", target], capture_output=True, text=True, check=False
        )
        return done.stderr if done.returncode else ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = [text for text in pool.map(compile_one, sources, objects) if text]
    assert errors == []
    program = folder / "mutate"
    done = subprocess.run(
        [*command, "-pthread", *objects, "-o", program], capture_output=True, text=True, check=False
    )
    if "cannot find" in done.stderr:
        pytest.skip("the sanitizers' libraries are missing (apt install gcc)")
    assert done.returncode == 0, done.stderr
    return program


def mutate(harness: Path, folder: Path, models: list[bytes], kernels: str) -> list[int]:
    """How many mutants ended in each status."""
    paths = [folder / f"{i}.demi" for i in range(len(models))]
    for path, data in zip(paths, models, strict=True):
        path.write_bytes(data)
    done = subprocess.run(
        [harness, str(MUTANTS), "1", *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERNELS": kernels},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert sum(counts) == MUTANTS * len(models)
    return counts


# The harness reaches what it is meant to reach: mutants that run, and every kind of refusal.


def test_mutants_of_every_record(harness: Path, tmp_path: Path) -> None:
    ok, magic, section, tensor, operator = (
        mutate(harness, tmp_path, by_hand(), "generic")[i] for i in (0, 3, 9, 10, 11)
    )
    assert ok > MUTANTS
    assert min(magic, section, tensor, operator) > MUTANTS / 100


@pytest.mark.parametrize("kernels", ["generic", "fastest"])
@pytest.mark.parametrize(
    "net",
    [convolutions, others, detections, upsampled, recurrent, gathered],
    ids=lambda net: net.__name__,
)
def test_mutants_of_networks(harness: Path, tmp_path: Path, net, kernels: str) -> None:
    models = converted(net())
    if kernels == "fastest":
        kernels = Model(models[0]).kernels
    ok, section, tensor, operator = (
        mutate(harness, tmp_path, models, kernels)[i] for i in (0, 9, 10, 11)
    )
    assert ok > MUTANTS
    assert min(section, tensor, operator) > MUTANTS / 100
