"""The tables of the dialects: whole, and what the forks' own schemas say."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from demitasse.protos.dialect import DIALECTS, TABLES, dialect

SCALARS = {"int32", "int64", "uint32", "uint64", "bool", "float", "double", "string", "bytes"}


def test_every_table_is_a_dialect() -> None:
    assert {path.stem for path in TABLES.glob("*")} == set(DIALECTS)
    assert DIALECTS[0] == "bvlc"


@pytest.mark.parametrize("name", DIALECTS)
def test_types_are_defined_and_have_no_cycles(name: str) -> None:
    """A decoder that follows the tables ends, whatever the file holds."""
    found = dialect(name)
    messages = found.messages

    def walk(message: str, above: tuple[str, ...]) -> None:
        assert message not in above, above
        for number, member in messages[message].items():
            known = SCALARS | set(found.enums) | set(messages) | {"message"}
            assert member.type in known, f"{message} {number}"
            assert number > 0
            if member.type in messages:
                walk(member.type, (*above, message))

    walk("NetParameter", ())
    names = [member.name for member in messages["LayerParameter"].values()]
    assert {"name", "type", "bottom", "top", "blobs"} <= set(names)


def test_a_table_adds_to_its_base() -> None:
    ssd, yolo = dialect("ssd"), dialect("yolo")
    assert ssd.messages["LayerParameter"][202].name == "permute_param"
    assert 149 not in ssd.messages["LayerParameter"]
    assert yolo.messages["LayerParameter"][202].layers == ("Permute",)
    assert yolo.messages["LayerParameter"][149].name == "reorg_param"
    assert yolo.enums["LayerType"] == {61: "ReLU6"}
    assert "LayerType" in ssd.enums
    assert not ssd.enums["LayerType"]


@pytest.fixture
def facts(models_dir: Path) -> Path:
    folder = models_dir.parent / "facts"
    if not folder.is_dir():
        pytest.skip("the field tables of Caffe and its forks are not there")
    return folder


def test_bvlc(facts: Path) -> None:
    """All of BVLC's fields but those of solvers and of data that is no net."""
    others = re.compile("Solver|Datum|BlobProtoVector")
    found = dialect("bvlc")
    checked = 0
    with (facts / "caffe_proto_fields.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            message, name = row["message"], row["field"]
            if message.startswith("enum ") or others.match(message):
                continue
            if message not in found.messages:  # what only training reads
                continue
            member = found.messages[message][int(row["number"])]
            assert (member.name, member.repeated) == (name, row["label"] == "rep"), message
            kind = row["type"].split(".")[-1]
            if not member.ignored:
                assert member.type == kind, (message, name)
            checked += 1
    assert checked > 300


NAMES = {
    "ssd": "ssd",
    "daijifeng001_caffe-rfcn": "rfcn",
    "yjxiong": "yjxiong",
    "alexgkendall_caffe-segnet": "segnet",
    "hszhao_PSPNet": "pspnet",
    "Microsoft_caffe": "microsoft",
    "eric612_MobileNet-YOLO": "yolo",
    "nvidia_0.15": "nvidia",
    "nvidia_0.16": "nvidia",
    "nvidia": "nvidia",
    "intel": "intel",
    "bvlc_opencl": "opencl",
    "ristretto": "ristretto",
    "tengine": "tengine",
    "pip_caffe2onnx": "caffe2onnx",
}


def test_layer_fields_of_forks(facts: Path) -> None:
    text = (facts / "caffe_forks.md").read_text()
    section = text.split("### LayerParameter additions")[1].split("###")[0]
    rows = dict(re.findall(r"^- ([^:]+): (.+)$", section, re.MULTILINE))
    for fork, name in NAMES.items():
        fields = dialect(name).messages["LayerParameter"]
        for field, number in re.findall(r"(\w+)=(\d+)", rows[fork]):
            assert fields[int(number)].name == field, (fork, number)


def test_single_fields_of_forks(facts: Path) -> None:
    """`message: name=number:type <forks>`; what a table lacks is training's."""
    text = (facts / "caffe_forks.md").read_text()
    section = text.split("### Fork fields inside stock messages")[1].split("###")[0]
    checked = 0
    for message, fields in re.findall(r"^- \*\*(\w+)\*\*: (.+)$", section, re.MULTILINE):
        for name, number, forks in re.findall(r"(\w+)=(\d+):[^<;]*<([^>]+)>", fields):
            for fork in set(forks.split(",")) & set(NAMES):
                members = dialect(NAMES[fork]).messages[message]
                assert members[int(number)].name == name, (fork, message, number)
                checked += 1
    assert checked > 100
