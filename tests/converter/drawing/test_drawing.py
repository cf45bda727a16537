"""What a drawing shows, and the files it becomes."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pytest
from support.graphs import Builder

from demitasse.converter.caffe.survey import survey_caffe
from demitasse.converter.drawing.boxes import FAMILIES, Drawing, draw, family
from demitasse.converter.drawing.dot import dot
from demitasse.converter.drawing.svg import COLOURS, svg
from demitasse.converter.flat import write_model
from demitasse.converter.flat.read import read_model
from demitasse.converter.ops import Concat, Conv2d, Slice, Softmax
from demitasse.converter.passes import optimize
from demitasse.converter.summary import Output, Row, Summary, summarise_model

SVG = "{http://www.w3.org/2000/svg}"


def summary(*rows: Row, outputs: tuple[str, ...] = ()) -> Summary:
    return Summary(
        rows,
        {"data": (1, 3, 8, 8)},
        dict.fromkeys(outputs, (1, 2)),
        0,
        0,
        {name: (name,) for name in outputs},
        'a "net" & <more>',
    )


def row(name: str, kind: str, inputs: str, outputs: str, in_place: bool = False) -> Row:
    made = tuple(Output(one, (1, len(one))) for one in outputs.split())
    return Row(name, kind, "", tuple(inputs.split()), made, in_place=in_place)


def edges(drawing: Drawing) -> set[tuple[str, str, str]]:
    return {
        (drawing.boxes[wire.source].name, drawing.boxes[target].name, wire.label)
        for wire in drawing.wires
        for target in wire.targets
    }


RESIDUAL = summary(
    row("conv", "Convolution", "data", "conv"),
    row("bn", "BatchNorm", "conv", "conv@bn", in_place=True),
    row("relu", "ReLU", "conv@bn", "conv_", in_place=True),
    row("split", "Slice", "conv_", "a b"),
    row("up", "TanH", "a", "a_", in_place=True),
    row("sum", "Eltwise", "conv_ a_ b", "sum"),
    outputs=("sum",),
)


def test_layers_in_place_stand_in_their_hosts_box() -> None:
    drawing = draw(RESIDUAL)
    boxes = {box.name: [part.kind for part in box.parts] for box in drawing.boxes[:-1]}
    assert boxes == {
        "data": ["Input"],
        "conv": ["Convolution", "BatchNorm", "ReLU"],
        "split": ["Slice"],  # it has two outputs: whose would the TanH be?
        "up": ["TanH"],
        "sum": ["Eltwise"],
    }
    assert edges(drawing) == {
        ("data", "conv", "1×3×8×8"),
        ("conv", "split", "1×5"),
        ("conv", "sum", "1×5"),
        ("split", "up", "1×1"),
        ("split", "sum", "1×1"),
        ("up", "sum", "1×2"),
        ("sum", "sum", "1×3"),  # the layer's box and the output's
    }


def test_dot() -> None:
    text = dot(draw(RESIDUAL))
    assert text.startswith('digraph "a \\"net\\" & <more>" {')
    assert 'label="Convolution\\nconv\\nBatchNorm\\nReLU"' in text
    assert text.count(" -> ") == 7
    assert 'n0 -> n1 [label="1×3×8×8"];' in text
    if shutil.which("dot"):
        made = subprocess.run(
            ["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=True
        )
        assert b"<svg" in made.stdout


def test_names_with_markup_are_escaped() -> None:
    bad = row('<b>"&\\n\n</b>', 'Con<v>"&', "data", "x")
    text = svg(draw(summary(bad)))
    root = ElementTree.fromstring(text)
    assert [node.text for node in root.iter(f"{SVG}text") if node.get("class") == "kind"] == [
        "Input",
        'Con<v>"&',
    ]
    assert '\\"&\\\\n\\n' in dot(draw(summary(bad)))


def test_every_family_has_a_colour_and_types_find_theirs() -> None:
    assert set(FAMILIES) | {"other", "problem"} == set(COLOURS)
    known = {
        "Convolution": "weighted",
        "DepthwiseConvolution": "weighted",
        "InnerProduct": "weighted",
        "BatchNorm": "norm",
        "LRN": "norm",
        "PReLU": "function",
        "Softmax": "output",
        "DetectionOutput": "output",
        "PriorBox": "output",
        "ROIPooling": "pool",
        "pool_max": "pool",
        "Concat": "join",
        "sum": "join",
        "Eltwise": "join",
        "Reshape": "shape",
        "Permute": "move",
        "dequantize": "number",
        "Nonsense": "other",
    }
    assert {kind: family(kind) for kind in known} == known


def extents(text: str) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Boxes and labels of an SVG: left, top, right, bottom."""
    root = ElementTree.fromstring(text)
    boxes = []
    for rect in root.iter(f"{SVG}rect"):
        if "frame" in rect.get("class", ""):
            x, y, w, h = (float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
            boxes.append((x, y, x + w, y + h))
    labels = []
    for node in root.iter(f"{SVG}text"):
        if node.get("class") == "shape":
            x, y = float(node.get("x", "")), float(node.get("y", ""))
            labels.append((x, y - 9, x + 6.4 * len(node.text or ""), y + 2))
    return boxes, labels


def check_no_overlap(text: str) -> None:
    boxes, labels = extents(text)
    for one, other in combinations(boxes + labels, 2):
        apart = one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
        assert apart, (one, other)


def test_texts_do_not_overlap() -> None:
    text = svg(draw(RESIDUAL))
    check_no_overlap(text)
    assert svg(draw(RESIDUAL)) == text


@pytest.mark.parametrize(
    "name", ["mssd__voc__MobileNetSSD_deploy", "segnet__models__bvlc_googlenet__deploy"]
)
def test_public_nets(name: str, models_dir: Path) -> None:
    nothing = {
        **dict.fromkeys(("input_shapes", "outputs", "dialect")),
        **dict(plugins=(), phase="TEST", level=0, stages=(), strict=False),
    }
    found = survey_caffe(models_dir / "zoo" / f"{name}.prototxt", None, **nothing).summary
    text = svg(draw(found))
    check_no_overlap(text)
    words = " ".join(re.findall(r">([^<]+)<", text))
    assert all(name in words for name in ("data", "Concat", "ReLU"))


def test_a_programs_wires_follow_its_memory(tmp_path: Path) -> None:
    """Joins and slices are no operators of a program: what they join and cut is wired through."""
    net = Builder()
    x = net.input("x", 1, 4, 6, 6)

    def conv(source: str, channels: int) -> str:
        kernel = net.random(channels, net.tensors[source].shape[1], 1, 1)
        return net.add(Conv2d(channels, (1, 1)), source, weight=kernel)

    left, right = conv(x, 2), conv(x, 3)
    joined = net.add(Concat(1), left, right)
    read = conv(joined, 4)
    first = net.add(Slice(2, 1, (1,)), read, outputs=2)
    upper, lower = conv(first, 2), conv(f"{first}.1", 2)
    end = net.add(Softmax(1), lower)
    graph = optimize(net.graph(joined, upper, end))
    path = tmp_path / "net.demi"
    write_model(graph, path)
    found = summarise_model(read_model(path))
    arrows = {(source, target) for source, target, _ in edges(draw(found))}
    assert arrows == {
        (x, left),
        (x, right),
        (left, read),
        (right, read),
        (read, upper),
        (read, lower),
        (lower, end),
        (left, joined),  # the outputs' boxes
        (right, joined),
        (upper, upper),
        (end, end),
    }
