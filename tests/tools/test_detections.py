"""A detection network through compile, run and compare: other numbers of rows in every run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.graphs import Builder

import demitasse
from demitasse.converter.flat.read import read_model
from demitasse.converter.graph import Graph
from demitasse.converter.ops import DetectionOutput, InnerProduct, Sigmoid
from demitasse.quantizer.boxes import BoxFidelity
from demitasse.quantizer.budget import Budget
from demitasse.quantizer.comparison import compare
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.feed import feed_for
from demitasse.quantizer.preprocess import Preprocess
from demitasse.runtime.model import Model
from demitasse.tools.main import main

BLOBS = np.random.default_rng(0).normal(0, 1, (30, 1, 4, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return network(1)


def network(batch: int) -> Graph:
    """Six priors of two classes and a background; about a third of the scores are high."""
    net = Builder(3)
    x = net.input("data", batch, 1, 4, 4)
    moves = net.add(InnerProduct(24), x, weight=net.random(24, 16, low=-0.1, high=0.1))
    scores = net.add(InnerProduct(18), x, weight=net.random(18, 16), bias=net.random(18) - 1)
    corners = net.random(6, 2, low=0)
    prior = np.concatenate([corners, corners + 0.2], axis=1)
    prior = np.stack([prior, np.full((6, 4), 0.1, np.float32)]).reshape(1, 2, 24)
    op = DetectionOutput(3, code="center_size", confidence_threshold=0.3, keep_top_k=5)
    net.add(op, moves, net.add(Sigmoid(), scores), prior=prior)
    return net.graph()


@pytest.fixture(scope="module", params=["int8", "int16", "fp32"])
def compiled(
    request: pytest.FixtureRequest, graph: Graph, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, demitasse.quantizer.compile.CompileInfo]:
    path = tmp_path_factory.mktemp("detections") / "net.demi"
    return request.param, path, demitasse.compile(graph, path, request.param, BLOBS)


@pytest.mark.filterwarnings("ignore::demitasse.errors.DemitasseWarning")
def test_images_held_back_judge_the_boxes(compiled: tuple) -> None:
    precision, _, info = compiled
    assert info.score is not None
    (output,) = info.score.outputs
    assert isinstance(output, BoxFidelity)
    assert output.boxes > 5
    if precision != "int8":
        assert (output.found, output.extra) == (output.boxes, 0)
        assert output.worst_overlap > 0.99
    assert output.overlap > 0.9


def test_a_batch_is_what_the_reference_gives(compiled: tuple, graph: Graph) -> None:
    precision, path, _ = compiled
    found = Model.open(path).run({"data": BLOBS})
    expected = demitasse.evaluate(graph, {"data": BLOBS})
    (mine,), (theirs,) = found.values(), expected.values()
    assert set(mine[0, 0, :, 0]) == set(theirs[0, 0, :, 0])
    if precision == "fp32":
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_text_of_many_samples_becomes_a_file_of_one(tmp_path: Path) -> None:
    many = network(4)
    demitasse.compile(many, tmp_path / "net.demi", "fp32")
    model = Model.open(tmp_path / "net.demi")
    assert model.inputs[0].shape == (1, 1, 4, 4)
    (found,) = model.run({"data": BLOBS[:4]}).values()
    (expected,) = demitasse.evaluate(many, {"data": BLOBS[:4]}).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_run_shows_the_boxes(compiled: tuple, capsys: pytest.CaptureFixture[str]) -> None:
    _, path, _ = compiled
    np.save(path.with_name("x.npy"), BLOBS[:7])
    assert main(["run", str(path), "--input", str(path.with_name("x.npy"))]) == 0
    text = capsys.readouterr().out
    headers = ["image", "label", "score", "left", "top", "right", "bottom"]
    assert headers in [line.split() for line in text.splitlines()]
    assert main(["run", str(path), "--input", str(path.with_name("x.npy")), "--json"]) == 0
    (blob,) = json.loads(capsys.readouterr().out)["blobs"].values()
    (expected,) = Model.open(path).run({"data": BLOBS[:7]}).values()
    np.testing.assert_allclose(blob, expected, rtol=1e-6)
    lines = [line for line in text.splitlines() if line.split()[:1] == ["0"]]
    assert len(lines) == (expected[0, 0, :, 0] == 0).sum()
    assert lines[0].split()[2] == f"{expected[0, 0, 0, 2]:.4f}"


def test_run_says_that_it_found_nothing(
    graph: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *others, last = graph.nodes
    op = replace(last.op, confidence_threshold=2.0)
    graph = replace(graph, nodes=(*others, replace(last, op=op)))
    demitasse.compile(graph, tmp_path / "net.demi", "fp32")
    np.save(tmp_path / "x.npy", BLOBS[:1])
    assert main(["run", str(tmp_path / "net.demi"), "--input", str(tmp_path / "x.npy")]) == 0
    assert f"{graph.outputs[0]}: nothing found" in capsys.readouterr().out


def test_compare_leaves_rows_out(compiled: tuple, graph: Graph, tmp_path: Path) -> None:
    _, path, _ = compiled
    demitasse.compile(graph, tmp_path / "float.demi", "fp32")
    feed = feed_for({"data": (1, 1, 4, 4)}, Preprocess())
    models = Model.open(path), Model.open(tmp_path / "float.demi")
    result = compare(*models, read_model(path), open_dataset(BLOBS[:4]), feed)
    (output,) = graph.outputs
    assert {row.blob for row in result.rows}.isdisjoint({output})
    assert len(result.rows) >= 3


def test_a_budget_of_boxes_raises_layers(tmp_path: Path) -> None:
    """Boxes that INT8 loses come back as layers are raised to INT16."""
    graph = network(1)
    budget = Budget(max_drop=0)
    info = demitasse.compile(
        graph, tmp_path / "net.demi", "int8", BLOBS, judge=2 * BLOBS, budget=budget
    )
    assert info.table is not None
    assert info.table.layers
    assert set(info.table.layers.values()) == {"int16"}
    (output,) = info.score.outputs
    assert output.found == output.boxes > 5
