"""The benchmark networks: published shapes and counts, the same bytes again, and all precisions."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
import warnings
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support.memory import check_arena

from demitasse.converter.caffe.reader import load_caffe, read_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.converter.ops import Softmax
from demitasse.converter.summary import summarise_graph
from demitasse.errors import DemitasseWarning
from demitasse.quantizer.compile import compile
from demitasse.runtime.model import Model
from tests.conftest import ArmTools

# Millions of multiply-accumulates of convolutions and inner products, trained parameters (without
# BatchNorm's statistics), and shapes of some blobs. Counts with a decimal are those of ncnn's
# benchmark, whose work these networks do, or of Netscope (AlexNet, VGG, SqueezeNet 1.0); parameters
# are those of torchvision or Keras where they have the network, else of its Caffe net:
# - LeNet has 20 * 26 + 50 * 501 + 500 * 801 + 10 * 501;
# - torchvision's MobileNet V2, 3,504,872, lacks the expansion of the first block;
# - its ResNet-18, 11,689,512, lacks the projection of res2a;
# - MobileFaceNet's paper rounds to 221 and 0.99 million (it may leave out BatchNorm's).
PUBLISHED: dict[str, tuple[float, int, dict[str, tuple[int, ...]]]] = {
    "lenet": (2.293, 431_080, {"pool2": (50, 4, 4), "prob": (10,)}),
    "alexnet": (724.4, 60_965_224, {"pool1": (96, 27, 27), "pool5": (256, 6, 6), "prob": (1000,)}),
    "vgg16": (15_470, 138_357_544, {"pool5": (512, 7, 7), "prob": (1000,)}),
    "googlenet": (
        1582.7,
        6_998_552,
        {
            "inception_3a/output": (256, 28, 28),
            "inception_4e/output": (832, 14, 14),
            "pool5/7x7_s1": (1024, 1, 1),
        },
    ),
    "resnet18": (
        1826.9,
        11_689_512 + 64 * 64 + 2 * 64,
        {"res2a": (64, 56, 56), "res3a": (128, 28, 28), "res5b": (512, 7, 7), "prob": (1000,)},
    ),
    "resnet50": (
        3858,
        25_557_032,
        {"res3a_branch2a": (128, 28, 28), "res4a": (1024, 14, 14), "res5c": (2048, 7, 7)},
    ),
    "squeezenet_1_0": (861.34, 1_248_424, {"pool1": (96, 55, 55), "fire9/concat": (512, 13, 13)}),
    "squeezenet_1_1": (418.5, 1_235_496, {"pool1": (64, 56, 56), "conv10": (1000, 16, 16)}),
    "mobilenet_v1": (568.7, 4_231_976, {"conv5_6/sep": (1024, 7, 7), "prob": (1000, 1, 1)}),
    "mobilenet_v2": (
        313.6,
        3_504_872 + 32 * 32 + 2 * 32,
        {"block_3_1": (24, 56, 56), "block_6_2": (160, 7, 7), "conv6_4": (1280, 7, 7)},
    ),
    "shufflenet_v1": (
        127.1,
        1_814_734,
        {"resx4_conv3": (240, 28, 28), "shuffle16": (240, 7, 7), "prob": (1000,)},
    ),
    "efficientnet_b0": (386, 5_288_548, {"block5c_add": (112, 14, 14), "top": (1280, 7, 7)}),
    "mobilefacenet": (221, 1_003_136, {"conv4_1_project": (128, 14, 14), "fc1": (128, 1, 1)}),
    "mobilenet_ssd": (
        1148.5,
        5_783_417,
        {"mbox_loc": (1917 * 4,), "mbox_conf": (1917 * 21,), "mbox_priorbox": (2, 1917 * 4)},
    ),
}
STATISTICS = ("mean", "variance", "factor")

QUICK = ("lenet", "shufflenet_v1")
SWEPT = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED
]
LARGE = {"alexnet", "vgg16", "resnet50"}  # weights that take long to draw
MOST = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in PUBLISHED]


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "examples" / "networks"


@pytest.fixture(scope="module")
def scripts(folder: Path) -> Any:
    """The two modules that are run, by name; their neighbours are found only in the meantime."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield {name: importlib.import_module(name) for name in ("make", "rk3288")}
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
            del sys.modules[name]


@pytest.fixture
def make(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["make"]


@pytest.fixture(autouse=True)
def strict() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DemitasseWarning)
        yield


def graph_of(make: ModuleType, name: str, folder: Path, seed: int = 1) -> Graph:
    text, weights = make.make(name, folder, seed)
    return load_caffe(text, weights)


def test_all_names_are_judged(make: ModuleType, folder: Path) -> None:
    listed = subprocess.run(
        [sys.executable, folder / "make.py", "--list"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == list(make.NETWORKS)
    assert set(make.NETWORKS) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_and_shapes_are_the_published_ones(
    make: ModuleType, tmp_path: Path, name: str
) -> None:
    macs, parameters, shapes = PUBLISHED[name]
    text = tmp_path / "deploy.prototxt"
    text.write_text(make.NETWORKS[name]().text)
    reading = read_caffe(
        *(text, None),
        input_shapes=None,
        outputs=None,
        plugins=(),
        phase="TEST",
        level=0,
        stages=(),
        dialect=None,
        strict=True,
    )
    assert reading.problems.errors == []
    graph = reading.graph
    assert summarise_graph(graph).macs / 1e6 == pytest.approx(macs, rel=2e-3)
    trained = [
        prod(shape)
        for blobs in reading.builder.expected.values()
        for key, shape in blobs.items()
        if key not in STATISTICS
    ]
    assert sum(trained) == parameters
    assert {blob: graph.tensors[graph.blobs[blob]].shape for blob in shapes} == {
        blob: (1, *shape) for blob, shape in shapes.items()
    }


def test_where_resnets_stride_and_project(make: ModuleType) -> None:
    """What decides the work beside the sums: these are told apart from other versions."""
    deep, flat = make.NETWORKS["resnet50"]().text, make.NETWORKS["resnet18"]().text
    for stage, width in (("3", 128), ("4", 256), ("5", 512)):
        strided = f"{{ num_output: {width} kernel_size: 1 stride: 2 bias_term: false }}"
        start = deep.index(f'name: "res{stage}a_branch2a"')
        assert strided in deep[start : deep.index("\n}", start)]
    assert 'name: "res2a_branch1"' in flat
    assert 'name: "res2b_branch1"' not in flat


def digest(paths: tuple[Path, Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_the_same_seed_gives_the_same_bytes(make: ModuleType, folder: Path, tmp_path: Path) -> None:
    first = digest(make.make("shufflenet_v1", tmp_path / "a", 7))
    command = [sys.executable, folder / "make.py", "shufflenet_v1", "-o", tmp_path / "b"]
    said = subprocess.run([*command, "--seed", "7"], capture_output=True, text=True, check=True)
    again = (tmp_path / "b" / "deploy.prototxt", tmp_path / "b" / "net.caffemodel")
    assert said.stdout.split() == [str(path) for path in again]
    assert digest(again) == first
    other = digest(make.make("shufflenet_v1", tmp_path / "c", 8))
    assert (other[0], other[1] == first[1]) == (first[0], False)


@pytest.mark.parametrize("arguments", [[], ["lenet"], ["inception", "-o", "x"]])
def test_what_is_missing_is_told(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, folder / "make.py", *arguments]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "--list" in said.stderr or "choose from" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("name", SWEPT)
def test_the_weights_are_those_of_the_seed(make: ModuleType, tmp_path: Path, name: str) -> None:
    """What the caffemodel gives back, and every layer has its own."""
    graph = graph_of(make, name, tmp_path, seed=3)
    drawn = load_caffe(tmp_path / "deploy.prototxt", random_weights=3)
    for node, expected in zip(graph.nodes, drawn.nodes, strict=True):
        assert node.weights.keys() == expected.weights.keys()
        for key, array in node.weights.items():
            np.testing.assert_array_equal(array, expected.weights[key])


@pytest.mark.parametrize("name", SWEPT)
def test_it_compiles_and_runs(make: ModuleType, tmp_path: Path, name: str) -> None:
    """To float, INT16 and INT8, calibrated on noise; the answers stay close to the reference's.
    They are compared before Softmax, which makes them all alike or all but one zero."""
    graph = graph_of(make, name, tmp_path)
    if isinstance(graph.nodes[-1].op, Softmax):
        files = (tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel")
        graph = load_caffe(*files, outputs=graph.nodes[-1].inputs)
    (key,) = graph.inputs
    (output,) = graph.output_keys()
    noise = np.random.default_rng(0).standard_normal((4, *graph.tensors[key].shape[1:]))
    images = noise.astype(np.float32)
    expected = evaluate(graph, {key: images[:1]})[output]
    for precision, least in (("fp32", 70.0), ("int16", 40.0), ("int8", 5.0)):
        path = tmp_path / f"{precision}.demi"
        with warnings.catch_warnings():  # few images: those that calibrate also judge
            warnings.simplefilter("ignore", DemitasseWarning)
            compile(graph, path, precision, data=None if precision == "fp32" else images)
        found = Model.open(path).run({key: images[:1]})[output]
        if output == "detection_out":  # of boxes that mean nothing, the last bit decides
            assert found.shape[1:2] + found.shape[3:] == (1, 7)
            continue
        assert found.shape == expected.shape
        error, signal = np.var(found - expected), np.var(expected)
        assert 10 * np.log10(signal / max(error, 1e-30)) > least, precision


PREDICT = """#!{python}
import json, sys
with open({calls!r}, "a") as calls:
    print(*sys.argv[1:5], file=calls)
print("... arena 2048 bytes, ...", file=sys.stderr)
causes = {{"pipeline": 3.0, "l2_hits": 1.0}}
print(json.dumps({{"ms": 12.5, "ms_B": 10.0, "instructions": 2_293_000, "l2_misses": 10,
                  "models": {{"A": {{"cycles_by_cause": causes}}}}}}))
"""


def test_the_table_of_modelled_times(
    scripts: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A stand-in for predict says how long; what is known is not modelled again until the program
    changes. Without predict it is said that nothing ran."""
    module, calls, bench = scripts["rk3288"], tmp_path / "calls", tmp_path / "dmt_bench"
    monkeypatch.setattr(module, "BUILD", tmp_path)
    monkeypatch.setattr(module, "BENCH", bench)
    predict = tmp_path / "bin" / "predict"
    monkeypatch.setattr(sys, "argv", ["", "lenet", "--precisions=fp32", f"--predict={predict}"])
    bench.write_text("one")
    with monkeypatch.context() as without:
        without.setattr(module.shutil, "which", lambda _: None)
        assert module.main() == 0
    assert "NOT RUN: predict is missing, and qemu-arm" in capsys.readouterr().err
    predict.parent.mkdir()
    predict.write_text(PREDICT.format(python=sys.executable, calls=str(calls)))
    predict.chmod(0o755)
    for program, count in (("one", 1), ("one", 1), ("two", 2)):
        bench.write_text(program)
        assert module.main() == 0
        head, _, row = capsys.readouterr().out.splitlines()
        assert head.count("|") == row.count("|")
        assert row.startswith("| lenet | fp32 | 2.3 | 12.50 | 10.00 | 0.10 | 5 % | 1.000 |")
        assert calls.read_text().splitlines() == ["--json --macs 2293000 --"] * count


def test_the_report_compares_with_ncnn(scripts: dict[str, ModuleType]) -> None:
    """Twice and half as fast are as fast on average; what is wanted and not there is named."""
    module = scripts["rk3288"]
    fast = module.Timing(568_700_000, 2048, 10**8, 83.2 / 2, 74.6 / 2, 0.5, 0.25, 10**6)
    slow = module.Timing(1_826_900_000, 2048, 10**8, 158.6 * 2, 165.3 * 2, 0.5, 0.25, 10**6)
    entries = [
        module.Entry("mobilenet_v1", "int8", fast, text=100_000, host=(10.0, 5.0)),
        module.Entry("resnet18", "int8", slow),
    ]
    wanted = [*((entry.name, entry.precision) for entry in entries), ("lenet", "fp32")]
    lines = module.report(entries, wanted, 200_000).splitlines()
    assert "| int8 | ncnn int8 | 2 | 1.00 | 0.50 | 1.00 | 0.50 |" in lines
    assert "Not modelled yet: lenet fp32." in lines
    # 64 MB of our lines, 836 thousand lines of ncnn's; a quarter of the cycles is left for DRAM
    row = "| mobilenet_v1 | int8 | 50 % | 25 % | 25 % | 64.0 | 53.5 | 2 | 100.0 |"
    assert row in lines
    assert "| mobilenet_v1 | int8 | 10.00 | 5.00 | 2.00 |" in lines


@pytest.mark.arm
def test_instructions_are_counted_without_predict(
    scripts: dict[str, ModuleType],
    arm_tools: ArmTools,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LeNet in INT8 takes between a tenth of an instruction and ten for a multiplication."""
    module = scripts["rk3288"]
    monkeypatch.setattr(module, "BUILD", tmp_path)
    monkeypatch.setattr(module, "BENCH", arm_tools.bench)
    monkeypatch.setattr(sys, "argv", ["", "lenet", "--precisions=int8", "--predict=none/predict"])
    assert module.main() == 0
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].split("|")]
    assert row[1:8] == ["lenet", "int8", "2.3", "", "", "", ""]
    assert 0.1 < float(row[8]) < 10


@pytest.mark.parametrize("precision", ["fp32", "int8", "int16"])
@pytest.mark.parametrize("name", MOST)
def test_the_arena_is_near_its_lower_bound(
    make: ModuleType, tmp_path: Path, name: str, precision: str
) -> None:
    (tmp_path / "deploy.prototxt").write_text(make.NETWORKS[name]().text)
    check_arena(tmp_path / "deploy.prototxt", precision)
