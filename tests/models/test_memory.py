"""Memory: the plan is near its lower bound, and the device needs what `inspect` prints."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.bits import quantized
from support.graphs import Builder
from support.memory import check_arena
from support.recorded import MODELS, recorded_model

from demitasse.converter.flat import write_model
from demitasse.converter.ops import Lstm, Rnn
from demitasse.converter.passes import optimize
from demitasse.runtime.model import Model
from demitasse.tools.main import main


@pytest.mark.parametrize("precision", ["fp32", "int8", "int16"])
@pytest.mark.parametrize("name", [*MODELS, "open_nsfw"])
def test_arena_of_the_shared_models(name: str, precision: str, models_dir: Path) -> None:
    check_arena(models_dir / name / "deploy.prototxt", precision)


@pytest.mark.parametrize("kind", [Lstm, Rnn])
@pytest.mark.parametrize("channels", [1, 8, 9, 33])
def test_the_plan_has_room_for_states(
    kind: type[Lstm | Rnn], channels: int, tmp_path: Path
) -> None:
    net, op, shapes = Builder(1), kind(channels), [(3, 2, 5), (3, 2)]
    inputs = [net.input(f"x{i}", *shape) for i, shape in enumerate(shapes)]
    sizes = op.matrices([*shapes, (1, 1)]).items()
    net.add(op, *inputs, **{key: net.random(*shape) for key, shape in sizes})
    info = write_model(net.graph(), tmp_path / "net.demi")
    arena = Model.open(tmp_path / "net.demi", kernels="generic", threads=1).memory.arena
    assert arena == info.plan_size


@pytest.mark.arm
@pytest.mark.parametrize("precision", ["fp32", "int8", "int16"])
def test_the_device_needs_what_inspect_prints(
    precision: str,
    models_dir: Path,
    arm_tools: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recording = recorded_model(models_dir, "mtcnn_det3")
    graph = optimize(recording.graph())
    if precision != "fp32":
        graph = quantized(graph, recording.inputs, precision)
    path = tmp_path / "net.demi"
    write_model(graph, path)
    assert main(["inspect", str(path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["memory"]
    command = [arm_tools.qemu, arm_tools.bench, path, "--loops", "1"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    arena, persistent = (
        int(re.search(rf"{key} (\d+) bytes", text)[1]) for key in ("arena", "persistent")
    )
    assert (arena, persistent) == (printed["arena"], printed["persistent"])
    assert printed["peak"] == arena + persistent
