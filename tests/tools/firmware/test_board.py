"""Packed programs with the kernels for NEON, as this machine plans them and qemu-arm runs them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.bits import quantized
from support.graphs import Builder

from demitasse.converter.flat import write_model
from demitasse.converter.ops import Conv2d
from demitasse.converter.passes import optimize
from demitasse.tools.firmware.embed import load
from demitasse.tools.firmware.pack import build
from demitasse.tools.firmware.target import find_target
from tests.conftest import ArmTools
from tests.tools.firmware.conftest import call
from tests.tools.firmware.test_pack import RUNS_ON, packed


def winograd() -> Builder:
    """Two 3 x 3 convolutions of many channels, which NEON adds up in another order."""
    net = Builder(1)
    x = net.input("data", 1, 32, 20, 20)
    for _ in range(2):
        weight, bias = net.random(32, 32, 3, 3) / 8, net.random(32)
        x = net.add(Conv2d(32, (3, 3), (1, 1), (1, 1, 1, 1)), x, weight=weight, bias=bias)
    return net


@pytest.mark.parametrize("damaged", [False, True])
def test_float_outputs_may_be_rounded_otherwise(
    damaged: bool, tmp_path: Path, need: Callable[..., None]
) -> None:
    machine = find_target("rk3288")
    need(machine.compiler, "make", *RUNS_ON["rk3288"])
    write_model(optimize(winograd().graph()), tmp_path / "net.demi")
    made = packed("rk3288", tmp_path / "p", tmp_path / "net.demi")
    assert made.kernels == ("dmt_op_winograd_f32_neon",)
    if damaged:
        sample = made.folder / "models" / "net.sample"
        stored = np.frombuffer(sample.read_bytes(), "<f4").copy()
        stored[:12800] += np.float32(0.25)
        sample.write_bytes(stored.tobytes())
    build(made, machine)
    done = subprocess.run(
        ["make", "-s", "-C", made.folder, "test"], capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == damaged
    assert ("WRONG" if damaged else "as expected") in done.stdout


@pytest.mark.arm
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "int8", "int16"])
def test_this_machine_knows_what_the_board_needs(
    precision: str, threads: int, arm_tools: ArmTools, tmp_path: Path
) -> None:
    net = winograd()
    graph = optimize(net.graph())
    if precision != "fp32":
        graph = quantized(graph, net.feed(graph), precision)
    write_model(graph, tmp_path / "net.demi")
    needs = load(tmp_path / "net.demi", None, threads, "neon").needs
    arguments = ["--loops", "1", "--threads", str(threads)]
    text = call(arm_tools.qemu, arm_tools.bench, tmp_path / "net.demi", *arguments)
    arena, persistent = (
        int(re.search(rf"{key} (\d+) bytes", text)[1]) for key in ("arena", "persistent")
    )
    assert (arena, persistent) == (needs.arena, needs.persistent)
    assert all(name.endswith("_neon") for name in needs.kernels)
