"""Random layers, extreme inputs: reference, this machine and ARMv7 agree on every bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bits import check_host, quantized, run_program
from support.graphs import Builder

from demitasse.converter.ops import (
    Abs,
    ArgMax,
    Bnll,
    Clip,
    Concat,
    Constant,
    Conv2d,
    Crop,
    Deconv2d,
    Eltwise,
    Elu,
    Embed,
    Exp,
    Expand,
    Flatten,
    Gather,
    HardSigmoid,
    HardSwish,
    InnerProduct,
    Log,
    Lrn,
    Lstm,
    Mish,
    Mvn,
    Normalize,
    Permute,
    Pool2d,
    PoolMask,
    Power,
    PRelu,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Reverse,
    Rnn,
    Scale,
    Sigmoid,
    Slice,
    Softmax,
    Swish,
    Tanh,
    Threshold,
    Unpool,
)
from demitasse.converter.passes import optimize

Draw = Callable[[st.SearchStrategy[Any]], Any]

small = st.integers(1, 3)
ACTIVATIONS = (None, Relu(), Relu(0.2), Clip(0, 0.5), PRelu())


def image(b: Builder, draw: Draw, channels: int | None = None) -> str:
    c = channels or draw(st.integers(1, 20))
    return b.input("data", 1, c, draw(st.integers(4, 9)), draw(st.integers(4, 9)))


def activated(b: Builder, draw: Draw, y: str) -> str:
    activation = draw(st.sampled_from(ACTIVATIONS))
    if activation is None:
        return y
    weights = {}
    if isinstance(activation, PRelu):
        weights["slope"] = b.random(b.tensors[y].shape[1], low=-0.5, high=1.5)
    return b.add(activation, y, **weights)


def convolution(b: Builder, draw: Draw) -> str:
    groups = draw(st.sampled_from([1, 1, 2, 3, 0]))
    c = draw(st.integers(1, 20)) * max(groups, 1)
    groups = groups or c
    o = groups * draw(st.integers(1, 10))
    kernel = (draw(small), draw(small))
    op = Conv2d(
        o,
        kernel,
        stride=(draw(small), draw(small)),
        pads=tuple(draw(st.integers(0, 3)) for _ in range(2)) * 2,
        dilation=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        groups=groups,
    )
    x = b.input("data", 1, c, draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    y = b.add(op, x, weight=b.random(o, c // groups, *kernel), bias=b.random(o))
    return activated(b, draw, y)


def deconvolution(b: Builder, draw: Draw) -> str:
    groups = draw(st.sampled_from([1, 2, 0]))
    c = draw(st.integers(1, 20)) * max(groups, 1)
    groups = groups or c
    o = groups * draw(small)
    kernel = (draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    op = Deconv2d(
        o, kernel, (draw(small), draw(small)), (draw(st.integers(0, 1)),) * 4, groups=groups
    )
    x = b.input("data", 1, c, draw(st.integers(3, 5)), draw(st.integers(3, 5)))
    return activated(b, draw, b.add(op, x, weight=b.random(c, o // groups, *kernel)))


def inner_product(b: Builder, draw: Draw) -> str:
    x = image(b, draw)
    k = int(np.prod(b.tensors[x].shape))
    o = draw(st.integers(1, 12))
    return activated(b, draw, b.add(InnerProduct(o), x, weight=b.random(o, k), bias=b.random(o)))


def pooling(b: Builder, draw: Draw) -> str:
    k = draw(st.integers(2, 4))
    op = Pool2d(
        draw(st.sampled_from(["max", "average"])),
        (k, draw(st.integers(2, 4))),
        (draw(small), draw(small)),
        (draw(st.integers(0, 1)),) * 2,
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return b.add(op, image(b, draw))


def eltwise(b: Builder, draw: Draw) -> str:
    kind = draw(st.sampled_from(["sum", "prod", "max"]))
    x = image(b, draw)
    others = [b.input(f"other{i}", *b.tensors[x].shape) for i in range(draw(st.integers(1, 2)))]
    coefficients = ()
    if kind == "sum" and draw(st.booleans()):
        coefficients = tuple(draw(st.sampled_from([1.0, -1.0, 0.3, 0.0])) for _ in (x, *others))
    return activated(b, draw, b.add(Eltwise(kind, coefficients), x, *others))


def function(b: Builder, draw: Draw) -> str:
    ops = (
        *(Relu(), Relu(0.3), Clip(-0.2, 0.4), Elu(1.5), Sigmoid(), Tanh(), Abs()),
        *(Power(2), Power(0.5, 1, 2), Power(1, -0.5, 0.1)),
        *(Exp(2, 0.5, -1), Log(-1, 1, 1.5), Bnll(), Threshold(0.1), Swish(1.5), Mish()),
        *(HardSwish(), HardSigmoid()),
    )
    return b.add(draw(st.sampled_from(ops)), image(b, draw))


def per_channel(b: Builder, draw: Draw) -> str:
    x = image(b, draw)
    c = b.tensors[x].shape[1]
    if draw(st.booleans()):
        return b.add(PRelu(), x, slope=b.random(c if draw(st.booleans()) else 1))
    return b.add(Scale(), x, scale=b.random(c), bias=b.random(c))


def lrn(b: Builder, draw: Draw) -> str:
    op = Lrn(
        draw(st.sampled_from(["across", "within"])),
        draw(st.sampled_from([1, 3, 5])),
        draw(st.sampled_from([0.01, 1.0])),
        draw(st.sampled_from([0.5, 0.75])),
        draw(st.sampled_from([1.0, 2.0])),
    )
    return b.add(op, image(b, draw))


def softmax(b: Builder, draw: Draw) -> str:
    return b.add(Softmax(draw(st.integers(1, 3))), image(b, draw))


def normalized(b: Builder, draw: Draw) -> str:
    x = image(b, draw)
    across = draw(st.booleans())
    if draw(st.booleans()):
        return b.add(Mvn(draw(st.booleans()), across, draw(st.sampled_from([1e-9, 0.5]))), x)
    scale = b.random(b.tensors[x].shape[1] if draw(st.booleans()) else 1, low=-9, high=9)
    return b.add(Normalize(across, draw(st.sampled_from([1e-10, 0.1]))), x, scale=scale)


def resized(b: Builder, draw: Draw) -> str:
    x = image(b, draw)
    rule, crop = draw(st.sampled_from(["align_corners", "half_pixel"])), (draw(small), 0)
    if draw(st.booleans()):
        return b.add(Resize(zoom=draw(small), shrink=draw(small), crop=crop, rule=rule), x)
    return b.add(Resize((draw(st.integers(1, 12)), draw(st.integers(1, 12))), rule=rule), x)


def unpooled(b: Builder, draw: Draw) -> str:
    x = b.add(draw(st.sampled_from([Relu(), Sigmoid()])), image(b, draw))
    window = (draw(small), draw(small)), (draw(small), draw(small))
    mask = b.add(PoolMask(*window), x)
    y = b.add(Relu(0.5), b.add(Pool2d("max", *window), x))
    return b.add(Unpool(b.tensors[x].shape[2:]), y, mask)


def recurrent(b: Builder, draw: Draw) -> str:
    kind, static = draw(st.sampled_from([Lstm, Rnn])), draw(st.booleans())
    steps, streams = draw(st.integers(1, 4)), draw(small)
    op = kind(draw(st.integers(1, 9)), static, draw(st.sampled_from([0, steps])))
    states = op.states() if op.expose else 0
    shapes = [(steps, streams, draw(st.integers(1, 9))), (steps, streams), (streams, 3)]
    shapes = shapes[: 2 + static] + [(1, streams, op.channels)] * states
    inputs = [b.add(Clip(0, 1), b.input(f"x{i}", *shape)) for i, shape in enumerate(shapes)]
    sizes = op.matrices([*shapes, (1, 1)]).items()
    return b.add(op, *inputs, **{key: b.random(*shape) for key, shape in sizes})


def moves(b: Builder, draw: Draw) -> str:
    """Everything that only moves values, between two layers that compute."""
    x = b.add(Relu(), image(b, draw, 4))
    h, w = b.tensors[x].shape[2:]
    first = b.add(Slice(2), x, outputs=2)
    crop = b.add(Crop(2, (1,)), f"{first}.1", b.input("ref", 1, 2, h - 1, w - 1))
    flat = b.add(Flatten(), b.add(Permute((0, 2, 3, 1)), first))
    half = b.add(Reshape((1, -1)), b.add(Sigmoid(), crop))
    return b.add(Concat(), flat, half, b.add(Flatten(), b.add(Tanh(), x)))


def constant(b: Builder, draw: Draw) -> str:
    """One that integers read, one that floats read, one that is an output."""
    x = image(b, draw)
    shape = b.tensors[x].shape
    values = [b.add(Constant(), value=b.random(*shape)) for _ in range(2)]
    total = b.add(Eltwise("sum"), x, values[0])
    return b.add(Concat(1), total, b.add(Softmax(1), b.add(Eltwise("max"), total, values[1])))


def expanded(b: Builder, draw: Draw) -> str:
    """Axes of one element repeated: read by sums, by windows, joined, copied, and as an output."""
    x = image(b, draw)
    _, c, h, w = b.tensors[x].shape
    shape = draw(st.sampled_from([(1, c, 1, 1), (1, 1, h, w), (1, c, 1, w), (1, 1, 1, 1)]))
    other = b.input("other", *shape)
    more = b.add(Expand(), b.add(Relu(), other) if draw(st.booleans()) else other, x)
    mixed = b.add(Eltwise(draw(st.sampled_from(["sum", "prod", "max"]))), x, more)
    pooled = b.add(Pool2d("average", (2, 2)), more)
    weight = b.random(3, c, 1, 1)
    convolved = b.add(Conv2d(3, (1, 1)), more, weight=weight)
    twice = b.add(Expand((0, 0, 0, 2, 0, 3)), b.add(Reshape((1, c, h, 1, w, 1)), mixed))
    b.add(Reshape((1, c, 2 * h, 3 * w)), twice)
    b.add(Permute((0, 2, 3, 1)), b.add(Expand((3, 0, 0, 0)), pooled))
    return b.add(Concat(1), mixed, more, b.add(Flatten(1, 1), convolved))


def gathered(b: Builder, draw: Draw) -> str:
    """Indices that are inputs, constants and results."""
    x = image(b, draw)
    b.add(Reverse(draw(st.integers(-3, 3))), x)
    index = b.input("index", draw(st.integers(1, 5)))
    picked = b.add(Gather(draw(st.integers(1, 3))), b.add(Relu(0.5), x), index)
    best = b.add(ArgMax(1, 1, draw(st.booleans())), picked)
    words = b.add(Embed(5, 4), index, table=b.random(5, 4), bias=b.random(4))
    return b.add(Concat(1), b.add(Flatten(), best), b.add(Reshape((1, -1)), words))


def reduced(b: Builder, draw: Draw) -> str:
    kind = draw(st.sampled_from(["sum", "asum", "sumsq", "mean"]))
    coefficient = draw(st.sampled_from([1.0, -0.3]))
    return b.add(Reduce(kind, draw(st.integers(0, 3)), coefficient), image(b, draw))


KINDS = (
    *(convolution, deconvolution, inner_product, pooling, eltwise),
    *(function, per_channel, lrn, softmax, moves, constant),
    *(normalized, resized, unpooled, recurrent),
    *(expanded, gathered, reduced),
)
FEEDS = ("random", "low", "high", "zero", "wide", "special")


def feed(b: Builder, kind: str) -> dict[str, np.ndarray]:
    """Inputs inside the calibrated range, at its ends, far outside it, or not numbers at all."""
    made = {}
    for name in b.inputs:
        x = b.random(*b.tensors[name].shape)
        if kind in ("low", "high", "zero"):
            x = np.full_like(x, {"low": -9.0, "high": 9.0, "zero": 0.0}[kind])
        elif kind == "wide":
            x = np.where(x > 0, np.float32(1e30), np.float32(-1e30))
        elif kind == "special":
            x.flat[::3] = np.nan
            x.flat[1::3] = np.inf
        made[name] = x
    return made


def case(data: st.DataObject, kind: Callable[[Builder, Draw], str]) -> tuple[Any, Any]:
    b = Builder(seed=data.draw(st.integers(0, 2**20)))
    kind(b, data.draw)
    precision = data.draw(st.sampled_from(["int8", "int16"]))
    symmetric = precision == "int8" and data.draw(st.booleans())
    graph = optimize(b.graph())
    mixed = st.dictionaries(
        st.sampled_from([node.name for node in graph.nodes]),
        st.sampled_from(["int8", "int16"]),
    )
    layers = data.draw(mixed) if data.draw(st.booleans()) else {}
    integer = quantized(graph, feed(b, "random"), precision, symmetric, layers)
    return integer, feed(b, data.draw(st.sampled_from(FEEDS)))


def limits(examples: int) -> Any:
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=quiet
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@limits(60)
@given(data=st.data())
def test_host(kind: Callable[[Builder, Draw], str], data: st.DataObject) -> None:
    integer, inputs = case(data, kind)
    with TemporaryDirectory() as folder:
        check_host(integer, inputs, Path(folder) / "net.demi")


@pytest.mark.arm
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@limits(25)
@given(data=st.data())
def test_arm(kind: Callable[[Builder, Draw], str], arm_tools: Any, data: st.DataObject) -> None:
    integer, inputs = case(data, kind)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.demi"
        expected = check_host(integer, inputs, path)
        command = [str(arm_tools.qemu), str(arm_tools.run)]
        assert run_program(command, path, inputs, integer.inputs) == expected
