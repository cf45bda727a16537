"""The commands one after the other, as a user would: digits from caffemodel to answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import demitasse
from demitasse.quantizer.statistics import load
from demitasse.quantizer.table import build_table, read_table
from demitasse.quantizer.thresholds import METHODS
from demitasse.tools.main import main

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
NETWORK = "deploy.prototxt digits.caffemodel"
DATA = "--data digits.npz:calibration"
LABELLED = "--data digits.npz:images --labels digits.npz:labels"


class Shell:
    """Runs command lines in a folder; keeps what they print."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capture = folder, capture

    def __call__(self, command: str, status: int = 0) -> str:
        assert main(command.split()) == status, self.capture.readouterr().err
        out, self.err = self.capture.readouterr()
        return out

    def json(self, command: str, status: int = 0) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self(f"{command} --json", status))
        return data


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name in ("deploy.prototxt", "digits.caffemodel", "digits.npz"):
        shutil.copy(DIGITS / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


def test_compile_tells_the_whole_story(shell: Shell) -> None:
    out = shell(f"compile {NETWORK} {DATA} -o net.demi")
    told = (
        "20 layers",
        "data 1×1×8×8",
        "GRAY, pixel × 0.00390625, stretched to 8×8 (transform_param, line 7)",
        "20 layers became 8 operators",
        "mse, from 160 images",
        "INT8",
        "the least possible",
        "peak",
        "40 images held back from calibration",
        "same answer",
        "SQNR",
        "net.demi, net.dtable",
    )
    assert [text for text in told if text not in out] == []
    assert shell.err == ""
    assert sorted(p.name for p in shell.folder.iterdir()) == [
        "deploy.prototxt",
        "digits.caffemodel",
        "digits.npz",
        "net.demi",
        "net.dtable",
    ]


def test_compile_with_labels_says_the_accuracy(shell: Shell) -> None:
    command = f"compile {NETWORK} {DATA} --eval digits.npz:images --labels digits.npz:labels"
    out = shell(f"{command} -o net.demi")
    assert "right; float" in out
    data = shell.json(f"{command} -o net.demi")
    judged = data["score"]["accuracy"]
    assert judged["total"] == 600
    found = shell.json(f"eval net.demi {LABELLED}")
    assert found["correct"] == judged["correct"]
    lost = data["score"]["float_accuracy"]["correct"] - judged["correct"]
    assert data["drop"] == pytest.approx(lost / 6)


def test_a_budget_raises_as_few_layers_as_will_do(shell: Shell) -> None:
    command = f"compile {NETWORK} {DATA} --eval digits.npz:images"
    plain = shell.json(f"{command} -o plain.demi")
    out = shell(f"{command} -o good.demi --min-sqnr 46")
    good = shell.json(f"compare good.demi {NETWORK} {DATA}")
    assert min(each["sqnr"] for each in plain["score"]["outputs"]) < 46
    table = read_table(shell.folder / "good.dtable")
    assert 0 < len(table.layers) < plain["folded"]["operators"]
    assert set(table.layers.values()) == {"int16"}
    assert all(name in out for name in table.layers)
    types = {row["layer"]: row["dtype"] for row in good["comparison"]["rows"]}
    assert {types[name] for name in table.layers if name in types} == {"int16"}
    shell(f"quantize {NETWORK} --table good.dtable -o again.demi")
    first, again = (shell.folder / name for name in ("good.demi", "again.demi"))
    assert first.read_bytes() == again.read_bytes()


def test_a_bad_answer_is_status_1(shell: Shell) -> None:
    command = f"compile {NETWORK} {DATA} --eval digits.npz:images --labels digits.npz:labels"
    shell(f"{command} -o net.demi --max-drop -100", status=1)
    shell(f"{command} -o net.demi --max-drop 100")
    shell(f"eval net.demi {LABELLED} --min-accuracy 90")
    assert "less than 100.0 %" in shell(f"eval net.demi {LABELLED} --min-accuracy 100", status=1)
    out = shell(f"compare net.demi {NETWORK} {DATA} --limit 200", status=1)
    assert "first bad layer  " in out
    assert "below 200 dB" in out


def test_the_steps_alone_make_the_same_files(shell: Shell) -> None:
    shell(f"compile {NETWORK} {DATA} --eval digits.npz:images -o whole.demi")
    shell(f"calibrate {NETWORK} {DATA} -o net.dstat")
    shell("threshold net.dstat -o steps.dtable")
    shell(f"quantize {NETWORK} --table steps.dtable -o steps.demi")
    shell(f"calibrate {NETWORK} {DATA} -o direct.dtable")
    files = {p.name: p.read_bytes() for p in shell.folder.iterdir()}
    assert files["steps.demi"] == files["whole.demi"]
    assert files["steps.dtable"] == files["whole.dtable"] == files["direct.dtable"]


def test_shards_merge_to_the_same_statistics(shell: Shell) -> None:
    shell(f"calibrate {NETWORK} {DATA} -o whole.dstat")
    for i in (3, 1, 2):
        shell(f"calibrate {NETWORK} {DATA} --shard {i}/3 -o part{i}.dstat")
    out = shell("merge part2.dstat part3.dstat part1.dstat -o merged.dstat")
    assert "3 files, 200 images" in out
    assert (shell.folder / "merged.dstat").read_bytes() == (
        shell.folder / "whole.dstat"
    ).read_bytes()


def test_ncnn_table_there_and_back(shell: Shell) -> None:
    shell(f"calibrate {NETWORK} {DATA} --symmetric -o net.table")
    shell(f"calibrate {NETWORK} {DATA} --no-equalize -o net.dstat")
    shell(f"threshold net.dstat {NETWORK} --symmetric -o again.table")
    text = (shell.folder / "net.table").read_text()
    assert text.startswith("conv1_param_0 ")
    assert (shell.folder / "again.table").read_text() == text
    told = shell(f"quantize {NETWORK} {DATA} --table net.table -o net.demi")
    assert "(ncnn, symmetric)" in told
    own = read_table(shell.folder / "net.dtable")
    calibrated = build_table(load(shell.folder / "net.dstat"), symmetric=True)
    assert own.tensors.keys() == calibrated.tensors.keys()
    for name, scale in own.tensors.items():  # six decimals of a multiplier
        assert scale.scale == pytest.approx(calibrated.tensors[name].scale, rel=1e-5)


@pytest.mark.parametrize("precision", ["int8", "int16", "fp32"])
def test_run_gives_what_the_model_gives(shell: Shell, precision: str) -> None:
    shell(f"compile {NETWORK} {DATA} --{precision} -o net.demi")
    images = np.load("digits.npz")["images"][:5]
    blobs = images.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.00390625)
    np.save("x.npy", blobs)
    np.save("pictures.npy", images)
    out = shell("run net.demi --input data=x.npy -o out.npz")
    assert "prob" in out
    expected = demitasse.Model.open("net.demi").run({"data": blobs})["prob"]
    with np.load("out.npz") as found:
        assert found.files == ["prob"]
        assert np.array_equal(found["prob"], expected)
    shell("run net.demi --input pictures.npy -o pictures.npz")  # preprocessed by the model
    assert np.array_equal(np.load("pictures.npz")["prob"], expected)
    shell("run net.demi --input data=x.npy --all -o all.npz")
    with np.load("all.npz") as every:
        assert {"data", "conv2/dw", "pool3", "score", "prob"} <= set(every.files)
        assert ("conv1" in every.files) == (precision == "fp32")
        assert np.array_equal(every["prob"], expected)
    before = (shell.folder / "all.npz").read_bytes()
    shell("run net.demi --input data=x.npy --all -o all.npz")
    assert (shell.folder / "all.npz").read_bytes() == before


def test_folders_of_pictures(shell: Shell) -> None:
    with np.load("digits.npz") as arrays:
        images, labels = arrays["images"][:30], arrays["labels"][:30]
    folder = shell.folder / "pictures"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(folder / f"{i:03}.png")
    lines = [f"pictures/{i:03}.png {label}\n" for i, label in enumerate(labels)]
    (shell.folder / "list.txt").write_text("".join(lines))
    shell(f"compile {NETWORK} --data pictures -o net.demi")
    assert "only 24 samples" in shell.err
    by_list = shell.json("eval net.demi --data list.txt")
    (shell.folder / "labels.txt").write_text("\n".join(map(str, labels)))
    by_folder = shell.json("eval net.demi --data pictures --labels labels.txt")
    assert by_list == by_folder
    assert by_list["total"] == 30
    assert "prob" in shell("run net.demi --input pictures/000.png")


def test_inspect_a_model(shell: Shell) -> None:
    made = shell.json(f"compile {NETWORK} {DATA} -o net.demi")
    seen = shell.json("inspect net.demi")
    assert seen["precision"] == "int8"
    assert seen["memory"]["file"] == made["file_size"] == Path("net.demi").stat().st_size
    assert seen["memory"]["arena"] == made["arena"]
    assert seen["memory"]["lower_bound"] == made["lower_bound"]
    assert seen["memory"]["peak"] == made["arena"] + made["persistent"]
    assert seen["network"]["macs"] == 199_936
    # weights and a bias a channel, BatchNorm and Scale folded away
    assert seen["network"]["parameters"] == 144 + 144 + 512 + 9216 + 1280 + 106
    assert seen["network"]["inputs"] == {"data": [1, 1, 8, 8]}
    out = shell("inspect net.demi")
    assert "depthwise 3x3" in out
    assert "digits.caffemodel" in out


def test_compare_lists_every_kept_blob(shell: Shell) -> None:
    shell(f"compile {NETWORK} {DATA} -o net.demi")
    data = shell.json(f"compare net.demi {NETWORK} {DATA} --samples 8")["comparison"]
    assert data["images"] == 8
    assert data["first_bad"] is None
    blobs = [row["blob"] for row in data["rows"]]
    assert blobs[0] == "data"
    kept = {"conv1@equalized", "conv2/dw", "conv2/pw", "conv3", "score", "prob"}
    assert kept <= set(blobs)
    shell(f"compile {NETWORK} {DATA} --no-equalize -o net.demi")
    data = shell.json(f"compare net.demi {NETWORK} {DATA} --samples 8")["comparison"]
    assert "conv1" in [row["blob"] for row in data["rows"]]
    assert all(row["sqnr"] is None or row["sqnr"] > 10 for row in data["rows"])


def test_compare_diagnoses_by_the_table(shell: Shell) -> None:
    shell(f"compile {NETWORK} {DATA} -o net.demi")
    data = shell.json(f"compare net.demi {NETWORK} {DATA} --samples 8 --diagnose 2")
    rows = {row["blob"]: row for row in data["comparison"]["rows"]}
    for layer in data["layers"]:
        if layer["blob"] in rows:
            assert layer["layer"] == rows[layer["blob"]]["layer"]
        assert layer["dtype"] == "float32" or 20 < layer["alone"]["sqnr"] < 60
    convolution = next(layer for layer in data["layers"] if layer["layer"] == "conv2/pw")
    assert convolution["weights"]["sqnr"] > convolution["alone"]["sqnr"]
    assert len(convolution["worst"]) == 3
    out = shell(f"compare net.demi {NETWORK} {DATA} --samples 8")
    assert "worst channel" in out
    assert "on 4 images; the worst:" in out
    assert shell.json(f"compare net.demi {NETWORK} {DATA} --diagnose 0")["layers"] is None
    Path("net.dtable").rename("moved.dtable")
    out = shell(f"compare net.demi {NETWORK} {DATA}")
    assert "worst channel" not in out
    assert "give --table" in out
    assert "worst channel" in shell(f"compare net.demi {NETWORK} {DATA} --table moved.dtable")
    shell(f"compare net.demi {NETWORK} {DATA} --diagnose 1", status=2)
    assert "net.dtable" in shell.err
    text = Path("moved.dtable").read_text().replace('"symmetric": false', '"symmetric": true')
    Path("moved.dtable").write_text(text)
    shell(f"compare net.demi {NETWORK} {DATA} --table moved.dtable", status=2)
    assert "is not the table that the model was made from" in shell.err


def test_a_float_model_is_not_diagnosed(shell: Shell) -> None:
    shell(f"convert {NETWORK} --to demi -o net.demi")
    assert shell.json(f"compare net.demi {NETWORK} {DATA}")["layers"] is None


def test_compare_keeps_a_budget(shell: Shell) -> None:
    shell(f"compile {NETWORK} {DATA} -o net.demi")
    command = f"compare net.demi {NETWORK} {LABELLED} --diagnose 0"
    data = shell.json(command)
    (output,) = data["outputs"]
    assert (data["accuracy"]["total"], data["comparison"]["images"]) == (600, 16)
    judged = shell.json(f"eval net.demi {LABELLED}")
    assert data["accuracy"]["correct"] == judged["correct"]
    shell(f"{command} --min-sqnr {output['sqnr'] - 1}")
    assert "budget           not kept" in shell(
        f"{command} --min-sqnr {output['sqnr'] + 1}", status=1
    )
    shell(f"{command} --max-drop 100")
    shell(f"{command} --max-drop -100", status=1)


def test_a_suggestion_can_be_pasted_and_helps(shell: Shell) -> None:
    end = "--outputs score"
    shell(f"compile {NETWORK} {DATA} {end} -o net.demi")
    before = shell.json(f"compare net.demi {NETWORK} {DATA} {end}")
    out = shell(
        f"compare net.demi {NETWORK} {DATA} {end} --suggest --diagnose 0 --min-sqnr 42", status=1
    )
    line = out[out.index('  "layers": {') :].rstrip("\n")
    table = Path("net.dtable").read_text()
    assert '  "layers": {},' in table
    Path("better.dtable").write_text(table.replace('  "layers": {},', line))
    assert "int16" in read_table(Path("better.dtable")).layers.values()
    shell(f"quantize {NETWORK} {end} --table better.dtable -o better.demi")
    after = shell.json(f"compare better.demi {NETWORK} {DATA} {end}")
    assert before["outputs"][0]["sqnr"] < 40 < 41 < after["outputs"][0]["sqnr"]
    shell(f"compile {NETWORK} {DATA} {end} --int16 -o net.demi")
    shell(f"compare net.demi {NETWORK} {DATA} {end} --suggest", status=2)
    assert "nothing to raise" in shell.err


def test_embeddings_are_verified_by_identities(shell: Shell) -> None:
    """Digits as identities, told apart by the values before the Softmax."""
    shell(f"compile {NETWORK} {DATA} --outputs score -o net.demi")
    command = f"compare net.demi {NETWORK} --outputs score {LABELLED} --samples 4 --embedding"
    found = shell.json(f"{command} --max-drop 2")["verification"]
    assert found["genuine"] + found["impostor"] == 600 * 599 // 2
    assert [point["far"] for point in found["points"]] == [0.1, 0.01, 0.001, 1e-4, 1e-5]
    for point in found["points"]:
        assert abs(point["tar"] - point["float_tar"]) < 0.05
        assert abs(point["shift"]) < 0.05
    assert found["points"][0]["float_tar"] > 0.9
    assert "float threshold" in shell(command)
    shell(f"{command} --max-drop -100", status=1)
    shell(f"compare net.demi {NETWORK} --outputs score {DATA} --embedding", status=2)
    assert "--labels" in shell.err


def test_drift_is_told_on_request(shell: Shell) -> None:
    shell(f"compile {NETWORK} {DATA} -o net.demi")
    command = f"compare net.demi {NETWORK} {DATA} --samples 1 --drift --diagnose 0"
    assert "more images      would" in shell(command)
    drift = shell.json(command)["drift"]
    assert sum(drift["images"]) == 200
    ratios = [each["ratio"] for each in drift["tensors"]]
    assert ratios == sorted(ratios, reverse=True)
    assert "data" not in {each["tensor"] for each in drift["tensors"]}  # bytes have their range


def test_bench(shell: Shell) -> None:
    shell(f"convert {NETWORK} --to demi -o net.demi")
    data = shell.json("bench net.demi --loops 3 --profile --kernels generic")
    assert data["kernels"] == "generic"
    assert len(data["milliseconds"]["all"]) == 3
    assert 0 < data["milliseconds"]["min"] <= data["milliseconds"]["median"]
    assert sum(row["macs"] for row in data["profile"]) == 199_936
    assert "MAC/s" in shell("bench net.demi --loops 2 --profile")


def test_a_missing_mean_file_stops_only_what_needs_it(shell: Shell) -> None:
    text = (shell.folder / "deploy.prototxt").read_text()
    text = text.replace("scale: 0.00390625", 'mean_file: "mean.binaryproto"')
    (shell.folder / "deploy.prototxt").write_text(text)
    shell(f"compile {NETWORK} --fp32 -o net.demi")
    assert "warning: deploy.prototxt:7: there is no mean file 'mean.binaryproto'" in shell.err
    shell(f"compile {NETWORK} {DATA} -o net.demi", status=2)


def test_random_weights(shell: Shell) -> None:
    """The same seed gives the same model; a network needs no caffemodel then."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        shell(f"compile deploy.prototxt --fp32 --random-weights {seed} -o {name}.demi")
    first, again, other = ((shell.folder / f"{name}.demi").read_bytes() for name in "abc")
    assert first == again != other
    shell("bench a.demi --loops 1")
    shell("compile deploy.prototxt --fp32 -o d.demi", status=2)
    assert "caffemodel" in shell.err
    shell("compile deploy.prototxt --fp32 --random-weights x -o d.demi", status=2)
    assert "'x' is no whole number" in shell.err


def test_methods_and_ranges_for_single_blobs(shell: Shell) -> None:
    shell(f"calibrate {NETWORK} {DATA} -o net.dstat")
    given = "--method-of conv3=minmax --range-of conv2/pw=0,2.5 --method-of conv1=kl"
    out = shell(f"threshold net.dstat {given} -o steps.dtable")
    assert "given" in out
    shell(f"calibrate {NETWORK} {DATA} {given} -o direct.dtable")
    shell(f"compile {NETWORK} {DATA} --eval digits.npz:images {given} -o net.demi")
    table = read_table(Path("net.dtable"))
    assert table.tensors["conv3"].method == "minmax"
    assert table.tensors["conv1@equalized"].method == "kl"
    row = table.tensors["conv2/pw"]
    assert (row.method, row.low, row.high) == ("given", 0.0, 2.5)
    assert Path("steps.dtable").read_bytes() == Path("direct.dtable").read_bytes()
    assert Path("steps.dtable").read_bytes() == Path("net.dtable").read_bytes()
    shell(f"quantize {NETWORK} --table net.dtable -o again.demi")
    assert Path("again.demi").read_bytes() == Path("net.demi").read_bytes()
    for wrong, said in (
        ("--method-of conv9=kl", "no blob 'conv9'"),
        ("--method-of conv3=best", "methods are aciq, kl"),
        ("--range-of conv3=1,2", "holds 0"),
        ("--range-of conv3=-1,inf", "holds 0"),
        ("--range-of conv3", "holds 0"),
    ):
        shell(f"threshold net.dstat {wrong} -o bad.dtable", status=2)
        assert said in shell.err
    assert not Path("bad.dtable").exists()


def test_the_best_method_for_each_blob(shell: Shell) -> None:
    out = shell(f"compile {NETWORK} {DATA} --eval digits.npz:images --method auto -o net.demi")
    assert "auto (" in out
    table = read_table(Path("net.dtable"))
    assert table.method == "auto"
    assert {t.method for t in table.tensors.values()} <= {*METHODS, ""}
    shell(f"calibrate {NETWORK} {DATA} --method auto -o direct.dtable")
    shell(f"calibrate {NETWORK} {DATA} -o net.dstat")
    shell(f"threshold net.dstat {NETWORK} {DATA} --method auto -o steps.dtable")
    assert Path("steps.dtable").read_bytes() == Path("net.dtable").read_bytes()
    assert Path("steps.dtable").read_bytes() == Path("direct.dtable").read_bytes()
    shell("threshold net.dstat --method auto -o bad.dtable", status=2)
    assert "--data" in shell.err


def test_more_images_are_told_of(shell: Shell) -> None:
    for command in (
        f"compile {NETWORK} {DATA} -o n.demi",
        f"calibrate {NETWORK} {DATA} -o n.dstat",
    ):
        assert "more images" in shell(command)
        drift = shell.json(command)["drift"]
        assert drift["moved"] == sum(each["ratio"] > 1.25 for each in drift["tensors"])
    assert "more images" not in shell("threshold n.dstat -o n.dtable")
