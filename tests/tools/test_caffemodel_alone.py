"""The commands with nothing but a caffemodel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.messages import NET, Messages

from demitasse.tools.main import main

# BVLC's numbers; 202 is SSD's.
SCHEMA = f"""{NET}\
TransformationParameter: 1 scale float; 3 crop_size uint32
ConvolutionParameter: 1 num_output uint32; 2 bias_term bool; 4 kernel_size uint32*
PermuteParameter: 1 order uint32*
LayerParameter: 100 transform_param TransformationParameter; 106 convolution_param \
ConvolutionParameter; 202 permute_param PermuteParameter
"""
TEXT = """
layer { name: "d" type: "Data" top: "data" top: "label" phase: TRAIN include { phase: TRAIN }
  transform_param { scale: 0.5 crop_size: 8 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" phase: TRAIN
  blobs { shape { dim: 2 dim: 1 dim: 1 dim: 1 } data: [2, -3] }
  convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
layer { name: "move" type: "Permute" bottom: "conv" top: "move" permute_param { order: [0, 2] } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "move" bottom: "label" top: "loss" }
"""
SHAPE = "--input-shape data=1,1,8,8 --outputs move"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    net = Messages(SCHEMA).parse(TEXT)
    (tmp_path / "net.caffemodel").write_bytes(net.SerializeToString())
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
    np.savez(
        tmp_path / "data.npz", images=images, blob=images[:1].reshape(1, 1, 8, 8) * np.float32(0.5)
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_compile_and_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = f"compile net.caffemodel {SHAPE} --data data.npz:images --int16 -o net.demi"
    assert main(command.split()) == 0
    told = capsys.readouterr()
    assert "pixel × 0.5" in told.out
    assert "(transform_param)" in told.out
    assert "read as dialect 'ssd', guessed from layer type Permute" in told.err
    assert main(["run", "net.demi", "--input", "data.npz:blob", "-o", "out.npz"]) == 0
    with np.load("out.npz") as out, np.load("data.npz") as data:
        expected = (data["blob"] * np.reshape([2.0, -3.0], (1, 2, 1, 1))).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(out["move"], expected, atol=0.02)


def test_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"inspect net.caffemodel {SHAPE} --dialect ssd --json".split()) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert "guessed" not in told.err
    assert told.err.count("warning") == 1
    assert "layer 'loss': a loss: its Softmax is the output 'prob'" in told.err


def test_what_is_missing_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "net.caffemodel", "--to", "demi", "-o", "net.demi"]) == 2
    told = capsys.readouterr().err
    assert "input 'data' has no shape; give it with --input-shape data=1,1,8,8" in told
    assert main(["inspect", "net.caffemodel", "--dialect", "caffe3"]) == 2
    assert "invalid choice: 'caffe3' (choose from 'bvlc', 'ssd'" in capsys.readouterr().err
