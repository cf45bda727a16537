"""Float networks that show in any Caffe what the integers lose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.graphs import Builder
from support.integers import calibrated, sqnr

from demitasse.converter import ops
from demitasse.converter.caffe.emit import write_caffe
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.passes import optimize
from demitasse.errors import DataError
from demitasse.quantizer.diagnosis import diagnose
from demitasse.quantizer.fake_quant import FakeQuant, fake_quant, table_for
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_integer, to_real
from demitasse.quantizer.table import ScaleTable, TensorScale, read_table
from demitasse.runtime.model import Model
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
NETWORK = [str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")]

# By BVLC Caffe, from a text with the same seven layers: scale 0.1, zero point -7, eight bits. The
# codes that it rounded to less the zero point; a half goes to the even one.
VALUES = [0, 0.04, 0.05, 0.06, -0.04, -0.06, 0.149, 0.151, -12.04, -12.2, 13.36, 13.5, 1e6, -1e30]
ROUNDED = [0, 0, 0, 1, 0, -1, 1, 2, -120, -121, 134, 134, 134, -121]


def test_values_are_rounded_as_caffe_does() -> None:
    tensors = {name: Tensor(name, (1, len(VALUES))) for name in ("x", "y")}
    node = Node("copy", ops.Power(1.0, 1.0, 0.0), ("x",), ("y",))
    graph = Graph((node,), tensors, ("x",), ("y",), {"x": "x", "y": "y"})
    row = TensorScale(float(np.float32(0.1)), -7, -12.1, 13.4, -12.1, 13.4)
    fake = fake_quant(graph, ScaleTable("int8", False, "", "", {"x": row, "y": row})).fake
    found = evaluate(fake, {"x": np.float32([VALUES])})["y"][0]
    np.testing.assert_array_equal(found, np.float32(ROUNDED) * np.float32(0.1))


def network() -> tuple[Builder, Graph]:
    """What has constants of its own, what moves values, what joins them, and a float tail."""
    net = Builder(seed=7)
    x = net.input("data", 1, 4, 8, 8)
    same = (1,) * 4
    left = net.add(
        ops.Conv2d(6, (3, 3), pads=same, activation=ops.Relu()),
        x,
        weight=net.random(6, 4, 3, 3),
        bias=net.random(6),
    )
    scaled = net.add(ops.Scale(), left, scale=net.random(6), bias=net.random(6))
    right = net.add(ops.Conv2d(6, (1, 1)), x, weight=net.random(6, 4, 1, 1))
    total = net.add(ops.Eltwise("sum", (1.0, 1.0)), scaled, right)
    joined = net.add(ops.Concat(), total, left, right)
    pooled = net.add(ops.Pool2d("max", (2, 2), (2, 2)), joined)
    wide = net.add(ops.Deconv2d(5, (2, 2), (2, 2)), pooled, weight=net.random(18, 5, 2, 2))
    flat = net.add(ops.Flatten(), wide)
    fc = net.add(ops.InnerProduct(10), flat, weight=0.05 * net.random(10, 320))
    net.add(ops.Softmax(), fc)
    return net, net.graph()


NET, GRAPH = network()
FEED = NET.feed(GRAPH)


def integers(graph: Graph, table: ScaleTable) -> np.ndarray:
    integer = quantize(graph, table)
    (found,) = run_integer(integer, FEED).values()
    return to_real(integer.tensors[integer.outputs[0]], found)


def answer(graph: Graph, feed: Mapping[str, np.ndarray] = FEED) -> np.ndarray:
    (found,) = evaluate(graph, feed).values()
    return found


LAYERS = {node.name: "int16" for node in GRAPH.nodes[:4:2]}


@pytest.mark.parametrize(
    ("precision", "layers", "apart", "near"),
    [
        ("int8", {}, 12.0, 1.0),
        ("int8", LAYERS, 12.0, 1.0),
        ("int16", {}, 1.0, 5.0),  # it rounds in its sums, too
    ],
)
def test_it_is_far_closer_to_the_integers_than_float_is(
    precision: str, layers: dict[str, str], apart: float, near: float
) -> None:
    table = replace(calibrated(GRAPH, FEED, precision), layers=layers)
    made, exact = fake_quant(GRAPH, table), integers(GRAPH, table)
    np.testing.assert_array_equal(answer(made.deploy), answer(GRAPH))
    lost = sqnr(answer(GRAPH), exact)
    assert sqnr(exact, answer(made.fake)) > lost + apart
    assert abs(sqnr(answer(GRAPH), answer(made.fake)) - lost) < near


def written(made: FakeQuant, folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in ("deploy.prototxt", "fake.prototxt")}
    files |= {name: folder / name for name in ("net.caffemodel", "fake.caffemodel")}
    write_caffe(made.deploy, files["deploy.prototxt"], files["net.caffemodel"])
    write_caffe(made.fake, files["fake.prototxt"], files["fake.caffemodel"])
    return files


def test_each_text_goes_with_each_file_of_weights(tmp_path: Path) -> None:
    made = fake_quant(GRAPH, calibrated(GRAPH, FEED, "int8"))
    files = written(made, tmp_path)
    fake = load_caffe(files["fake.prototxt"], files["fake.caffemodel"])
    np.testing.assert_allclose(answer(fake), answer(made.fake), atol=1e-6)
    weights = load_caffe(files["deploy.prototxt"], files["fake.caffemodel"])
    values = load_caffe(files["fake.prototxt"], files["net.caffemodel"])
    float_answer, whole = answer(GRAPH), sqnr(answer(GRAPH), answer(fake))
    for graph in (weights, values):
        assert whole - 3 < sqnr(float_answer, answer(graph)) < 100
    types = {line.split('"')[1] for line in files["fake.prototxt"].read_text().splitlines()
             if "  type:" in line}  # fmt: skip
    assert types <= {"Input", "Convolution", "Deconvolution", "InnerProduct", "Scale", "Concat",
                     "Eltwise", "Flatten", "Pooling", "Power", "ReLU", "Softmax"}  # fmt: skip


def test_weights_alone_lose_what_the_diagnosis_says(tmp_path: Path) -> None:
    net = Builder(seed=2)
    x = net.input("data", 1, 4, 8, 8)
    net.add(ops.Conv2d(6, (3, 3)), x, weight=net.random(6, 4, 3, 3), bias=net.random(6))
    graph = net.graph()
    feed = net.feed(graph)
    table = calibrated(graph, feed, "int8")
    files = written(fake_quant(graph, table), tmp_path)
    (row,) = diagnose(graph, quantize(graph, table), [feed])
    weights = load_caffe(files["deploy.prototxt"], files["fake.caffemodel"])
    assert row.weights is not None
    assert sqnr(answer(graph, feed), answer(weights, feed)) == pytest.approx(
        row.weights.sqnr, abs=1e-3
    )
    values = load_caffe(files["fake.prototxt"], files["net.caffemodel"])
    assert sqnr(answer(graph, feed), answer(values, feed)) == pytest.approx(
        row.activations.sqnr, abs=0.1
    )


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_the_table_goes_with_the_written_network(precision: str, tmp_path: Path) -> None:
    table = calibrated(GRAPH, FEED, precision)
    biased = next(node.name for node in GRAPH.nodes if isinstance(node.op, ops.InnerProduct))
    table = replace(
        table,
        layers={GRAPH.nodes[2].name: "int16"},
        biases={biased: tuple(np.arange(10.0))},
        weight_bits={biased: 4},
    )
    made = fake_quant(GRAPH, table)
    files = written(made, tmp_path)
    again = optimize(load_caffe(files["deploy.prototxt"], files["net.caffemodel"]))
    named = table_for(table, made.deploy, again)
    np.testing.assert_array_equal(integers(again, named), integers(GRAPH, table))


def test_another_network_is_refused() -> None:
    made = fake_quant(GRAPH, calibrated(GRAPH, FEED, "int8"))
    nodes = [
        replace(n, weights={k: 2 * v for k, v in n.weights.items()}) if n.weights else n
        for n in GRAPH.nodes
    ]
    with pytest.raises(DataError, match=r"layer 'conv2d.*': folds differently"):
        table_for(ScaleTable("int8", True, "", "", {}), made.deploy, replace(GRAPH, nodes=nodes))


def convert(folder: Path, *more: str) -> int:
    return main(["convert", *NETWORK, "--to", "caffe", "-o", str(folder), *more])


def test_the_command_writes_five_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, made = tmp_path / "net.demi", tmp_path / "made"
    data = f"{DIGITS / 'digits.npz'}:calibration"
    assert main(["compile", *NETWORK, "--data", data, "-o", str(model)]) == 0
    table = tmp_path / "net.dtable"
    capsys.readouterr()
    assert convert(made, "--fake-quant", str(table), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    names = ["deploy.prototxt", "fake_quant.caffemodel", "fake_quant.prototxt"]
    names += ["net.caffemodel", "net.dtable"]
    assert sorted(path.name for path in made.iterdir()) == names
    assert told["bytes"] == {name: (made / name).stat().st_size for name in names}
    assert not read_table(made / "net.dtable").equalized

    pair = [str(made / "deploy.prototxt"), str(made / "net.caffemodel")]
    again = tmp_path / "again.demi"
    command = ["quantize", *pair, "--table", str(made / "net.dtable"), "-o", str(again)]
    assert main(command) == 0
    images = np.load(DIGITS / "digits.npz")["images"][:20].astype(np.float32) / 256
    first, second = Model.open(model), Model.open(again)
    fake = load_caffe(made / "fake_quant.prototxt", made / "fake_quant.caffemodel")
    plain = load_caffe(*NETWORK)
    lost = away = 0.0
    for image in images.reshape(-1, 1, 1, 8, 8):
        exact = first.run({"data": image})["prob"]
        np.testing.assert_array_equal(exact, second.run({"data": image})["prob"])
        lost += float(np.square(scores(exact) - scores(answer(plain, {"data": image}))).sum())
        away += float(np.square(scores(exact) - scores(answer(fake, {"data": image}))).sum())
    assert away < lost / 3


def scores(probabilities: np.ndarray) -> np.ndarray:
    """What a Softmax read, but for a constant."""
    logarithms = np.log(np.maximum(probabilities, 1e-30))
    return logarithms - logarithms.mean()


def test_what_it_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "net.dtable"
    for more, message in [
        (["--no-fold"], "give --to caffe, and no --no-fold"),
        (["--to", "onnx"], "give --to caffe"),
        (["-o", str(tmp_path / "a.prototxt")], "is no folder"),
        ([], "net.dtable"),
    ]:
        assert convert(tmp_path / "made", "--fake-quant", str(table), *more) == 2
        assert message in capsys.readouterr().err
