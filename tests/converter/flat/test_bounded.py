"""The promise that accumulators stay below 2^25: made where it holds, and only there."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from support.bits import quantized
from support.graphs import Builder

from demitasse.converter.flat import write_model
from demitasse.converter.flat.parameters.conv import is_bounded
from demitasse.converter.flat.read import read_model
from demitasse.converter.ops import Conv2d, Deconv2d

LIMIT = 1 << 25


def worst(weight: np.ndarray, bias: np.ndarray) -> int:
    """The largest accumulator of any channel, of the inputs that are worst for it."""
    w, b = weight.astype(object), bias.astype(object)
    high = (w * np.where(weight > 0, 127, -128)).sum(axis=(1, 2, 3)) + b
    low = (w * np.where(weight > 0, -128, 127)).sum(axis=(1, 2, 3)) + b
    return int(max(*high, *-low))


@pytest.mark.parametrize("inputs", [8, 200, 228, 229, 230, 512])
@pytest.mark.parametrize("bias", [0, 1 << 18, -(1 << 18), 1 << 29])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_input_breaks_the_promise(inputs: int, bias: int, sign: int) -> None:
    weight = np.full((3, 3, 3, inputs), 127 * sign, np.int8)
    weight[:2] //= 2  # the last channel decides
    biases = np.array([0, 0, bias])
    if is_bounded(weight, biases):
        assert worst(weight, biases) < LIMIT
    else:  # and it is not made needlessly: one step of every input is the slack
        assert worst(weight, biases) >= LIMIT - 127 * weight[2].size


@pytest.mark.parametrize(("inputs", "promised"), [(228, 1), (256, 0)])
def test_the_record_has_it(inputs: int, promised: int, tmp_path: Path) -> None:
    net = Builder(1)
    x = net.input("x", 1, inputs, 3, 3)
    weight = np.ones((2, inputs, 3, 3), np.float32)
    y = net.add(
        Conv2d(channels=2, kernel=(3, 3), pads=(1, 1, 1, 1)), x, weight=weight, bias=np.zeros(2)
    )
    net.add(Deconv2d(channels=2, kernel=(1, 1)), y, weight=net.random(2, 2, 1, 1), bias=np.zeros(2))
    graph = net.graph()
    write_model(quantized(graph, net.feed(graph), "int8", symmetric=True), tmp_path / "net.demi")
    operators = read_model(tmp_path / "net.demi").operators
    flags = [struct.unpack_from("<I", o.parameters, 64)[0] for o in operators if o.opcode in (1, 2)]
    assert flags == [promised, 0]
