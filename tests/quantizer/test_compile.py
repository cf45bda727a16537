"""`demitasse.compile` on the digits example."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.converter.flat import read_model
from demitasse.converter.graph import Graph
from demitasse.errors import DataError, DemitasseWarning
from demitasse.quantizer.compile import CompileInfo
from demitasse.quantizer.datasets import open_dataset
from demitasse.quantizer.judging import HELD_BACK, HELD_BACK_LABELLED, hold_back
from demitasse.quantizer.preprocess import Preprocess
from demitasse.quantizer.stored import from_model
from demitasse.quantizer.table import read_table

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
PREPROCESS = Preprocess(scale=(0.00390625,))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return demitasse.load_caffe(DIGITS / "deploy.prototxt", DIGITS / "digits.caffemodel")


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    with np.load(DIGITS / "digits.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=["int8", "int16", "fp32"])
def compiled(
    request: pytest.FixtureRequest,
    graph: Graph,
    digits: dict[str, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> CompileInfo:
    path = tmp_path_factory.mktemp("compiled") / "net.demi"
    return demitasse.compile(
        graph,
        path,
        request.param,
        digits["calibration"],
        preprocess=PREPROCESS,
        judge=digits["images"],
        labels=digits["labels"],
    )


def test_the_answers_stay(compiled: CompileInfo) -> None:
    score = compiled.score
    assert score is not None
    assert score.accuracy is not None
    assert score.float_accuracy is not None
    assert score.images == 600
    assert score.float_accuracy.share > 0.97
    assert score.float_accuracy.correct - score.accuracy.correct <= 3
    (prob,) = score.outputs
    assert prob.name == "prob"
    assert prob.agreement is not None
    assert prob.agreement >= {"int8": 0.99, "int16": 1.0, "fp32": 1.0}[compiled.precision]
    assert prob.sqnr >= {"int8": 20, "int16": 50, "fp32": math.inf}[compiled.precision]


def test_float_is_the_reference(
    compiled: CompileInfo, graph: Graph, digits: dict[str, np.ndarray]
) -> None:
    """The score's float side is right: against NumPy, sample by sample."""
    blobs = digits["images"][:40].transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.00390625)
    expected = demitasse.evaluate(graph, {"data": blobs})["prob"]
    found = demitasse.Model.open(compiled.path).run({"data": blobs})["prob"]
    tolerance = {"int8": 0.2, "int16": 0.02, "fp32": 1e-5}[compiled.precision]
    assert np.abs(found - expected).max() < tolerance


def test_the_info_is_the_file(compiled: CompileInfo) -> None:
    model = read_model(compiled.path)
    assert compiled.file_size == model.size == compiled.path.stat().st_size
    assert compiled.lower_bound <= model.arena_size <= compiled.arena
    assert model.arena_size <= 1.25 * compiled.lower_bound
    assert model.metadata["lower_bound"] == compiled.lower_bound
    assert model.metadata["precision"] == compiled.precision
    assert compiled.network.macs == compiled.folded.macs == 199_936  # by hand, see test_main.py
    if compiled.precision == "fp32":
        assert compiled.table_path is None
        assert compiled.table is None
        assert not compiled.path.with_suffix(".dtable").exists()
    else:
        assert compiled.table_path == compiled.path.with_suffix(".dtable")
        assert compiled.calibrated == 200
        assert read_table(compiled.table_path) == compiled.table


def test_preprocessing_comes_back(compiled: CompileInfo) -> None:
    assert from_model(read_model(compiled.path)).describe() == PREPROCESS.describe()


def test_same_inputs_same_bytes(
    compiled: CompileInfo, graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "again.demi"
    demitasse.compile(
        graph,
        path,
        compiled.precision,
        digits["calibration"],
        preprocess=PREPROCESS,
        judge=digits["images"][:1],
    )
    assert path.read_bytes() == compiled.path.read_bytes()
    if compiled.table_path is not None:
        assert path.with_suffix(".dtable").read_bytes() == compiled.table_path.read_bytes()


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_table_replaces_calibration(
    precision: str, graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.demi", tmp_path / "second.demi"
    made = demitasse.compile(graph, first, precision, digits["calibration"], preprocess=PREPROCESS)
    info = demitasse.compile(graph, second, precision, preprocess=PREPROCESS, table=made.table)
    assert info.calibrated == 0
    assert info.score is None
    assert second.read_bytes() == first.read_bytes()


def test_some_images_are_held_back(
    graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    info = demitasse.compile(
        graph, tmp_path / "net.demi", data=digits["calibration"], preprocess=PREPROCESS
    )
    assert info.judged == "held back"
    assert info.calibrated == 160
    assert info.score is not None
    assert info.score.images == 40
    assert info.score.accuracy is None


@pytest.mark.parametrize(("total", "held"), [(5, 1), (99, 19), (500, 100), (5000, HELD_BACK)])
def test_held_back_images_do_not_calibrate(total: int, held: int) -> None:
    dataset = open_dataset(np.zeros((total, 1, 2, 2), np.float32))
    images, again = hold_back(dataset), hold_back(dataset)
    assert images.judge is not None
    assert images.calibrate is not None
    assert again.judge is not None
    assert len(images.judge) == held
    assert sorted([*images.judge.ids, *images.calibrate.ids]) == list(range(total))
    assert np.array_equal(images.judge.ids, again.judge.ids)
    labelled = open_dataset(np.zeros((total, 1, 2, 2), np.float32), np.zeros(total, np.int64))
    more = hold_back(labelled).judge
    assert more is not None
    assert len(more) == min(total // 5, HELD_BACK_LABELLED)


def test_few_images_calibrate_and_judge_with_a_warning(
    graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    with pytest.warns(DemitasseWarning) as caught:
        info = demitasse.compile(
            graph, tmp_path / "net.demi", data=digits["calibration"][:3], preprocess=PREPROCESS
        )
    told = [str(warning.message) for warning in caught]
    assert told == list(info.warnings)
    assert any("too few images to hold some back" in text for text in told)
    assert info.judged == "calibration"
    assert (info.calibrated, info.score and info.score.images) == (3, 3)


def test_labels_of_the_data_judge_what_is_held_back(
    graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    info = demitasse.compile(
        graph,
        tmp_path / "net.demi",
        data=digits["images"],
        labels=digits["labels"],
        preprocess=PREPROCESS,
    )
    assert info.score is not None
    assert info.score.accuracy is not None
    assert info.score.accuracy.total == 120
    assert info.score.accuracy.share > 0.9


def test_symmetric_has_no_zero_points(
    graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    info = demitasse.compile(
        graph,
        tmp_path / "net.demi",
        data=digits["calibration"],
        preprocess=PREPROCESS,
        symmetric=True,
        method="kl",
    )
    model = read_model(info.path)
    assert {t.zero_point for t in model.tensors} == {0}
    assert (model.metadata["method"], info.table and info.table.symmetric) == ("kl", True)


def test_picture_into_the_model(compiled: CompileInfo, digits: dict[str, np.ndarray]) -> None:
    """What `dmt_image` writes is what calibration saw, to half a step of the input."""
    model = demitasse.Model.open(compiled.path)
    image = np.kron(digits["images"][0, :, :, 0], np.ones((3, 2), np.uint8))
    expected = PREPROCESS.to_blob(image[..., None], (1, 1, 8, 8))
    found = model.image("data", image, "gray")
    step = 0.0 if compiled.precision == "fp32" else model.inputs[0].scale
    assert np.abs(found - expected).max() <= step / 2 + 1e-7


@pytest.mark.parametrize(
    ("precision", "says"),
    [("int8", "int8 needs calibration data"), ("int16", "int16 needs calibration data")],
)
def test_integers_need_data(graph: Graph, precision: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{says}.*--data.*--fp32"):
        demitasse.compile(graph, tmp_path / "net.demi", precision)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing_and_keeps_what_was(
    graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "net.demi"
    path.write_bytes(b"an older model")
    wrong = digits["calibration"].astype(np.float32)  # (N, H, W, C), no blobs of this network
    with pytest.raises(DataError, match=r"\(8, 8, 1\)"):
        demitasse.compile(graph, path, data=wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["net.demi"]
    assert path.read_bytes() == b"an older model"


def test_a_dead_network_compiles(tmp_path: Path, graph: Graph) -> None:
    """All pixels alike: constant tensors still get finite scales, and it is said."""
    black = np.zeros((40, 8, 8, 1), np.uint8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = demitasse.compile(graph, tmp_path / "net.demi", data=black, preprocess=PREPROCESS)
    assert any("zero" in str(w.message) for w in caught)
    assert info.table is not None
    scales = [t.scale for t in info.table.tensors.values()]
    assert np.isfinite(scales).all()
    assert min(scales) > 0
    table = json.loads((tmp_path / "net.dtable").read_text())
    assert table["warnings"] == list(info.table.warnings)


@pytest.mark.parametrize("precision", ["int8", "int16", "fp32"])
def test_a_value_under_two_names_is_two_outputs(precision: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        """
        layer { name: "data" type: "Input" top: "data"
                input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
        layer { name: "abs" type: "AbsVal" bottom: "data" top: "abs" }
        layer { name: "split" type: "Split" bottom: "abs" top: "left" top: "right" }
        layer { name: "drop" type: "Dropout" bottom: "left" top: "drop" }
        layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "drop" top: "sum" }
        """
    )
    graph = demitasse.load_caffe(tmp_path / "net.prototxt", outputs=["left", "abs", "right", "sum"])
    x = np.random.default_rng(1).uniform(-1, 1, (5, 2, 4, 4)).astype(np.float32)
    path = tmp_path / "net.demi"
    demitasse.compile(graph, path, precision, None if precision == "fp32" else x)
    found = demitasse.Model.open(path).run({"data": x})
    assert list(found) == ["left", "abs", "right", "sum"]
    for name in ("left", "abs", "right"):
        np.testing.assert_allclose(found[name], np.abs(x), atol=0.01)
    np.testing.assert_allclose(found["sum"], x + np.abs(x), atol=0.02)


def test_a_table_may_be_a_file(graph: Graph, digits: dict[str, np.ndarray], tmp_path: Path) -> None:
    first, second, other = (tmp_path / f"{name}.demi" for name in ("first", "second", "other"))
    info = demitasse.compile(graph, first, data=digits["calibration"], preprocess=PREPROCESS)
    assert info.table_path is not None
    demitasse.compile(graph, second, table=info.table_path, preprocess=PREPROCESS)
    demitasse.compile(graph, other, table=str(info.table_path), preprocess=PREPROCESS)
    assert first.read_bytes() == second.read_bytes() == other.read_bytes()
