"""Recorded networks as integers: the same bytes from the reference, this machine and ARMv7."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.bits import check_host, quantized, run_program
from support.recorded import MODELS, recorded_model

from demitasse.converter.passes import optimize


@pytest.mark.arm
@pytest.mark.parametrize("precision", ["int8", "int16"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "cifar100_quick"])
def test_same_bytes_everywhere(
    name: str, precision: str, models_dir: Path, arm_tools: Any, tmp_path: Path
) -> None:
    recording = recorded_model(models_dir, name)
    inputs = {key: value[:1] for key, value in recording.inputs.items()}
    integer = quantized(optimize(recording.graph()), inputs, precision)
    path = tmp_path / "net.demi"
    expected = check_host(integer, inputs, path)
    arm = run_program([str(arm_tools.qemu), str(arm_tools.run)], path, inputs, integer.inputs)
    assert arm == expected
