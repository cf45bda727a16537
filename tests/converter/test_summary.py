"""Models and graphs, counted: the numbers of the caffemodel that they come from."""

from __future__ import annotations

from pathlib import Path

import oracle
import pytest

from demitasse.converter import ops
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.weights import read_weights
from demitasse.converter.flat import write_model
from demitasse.converter.flat.read import read_model
from demitasse.converter.passes import optimize
from demitasse.converter.summary import dims, summarise_graph, summarise_model, window

# Recorded networks of which nothing is folded away, and whose blobs are all of one layer each.
WHOLE = "conv_groups conv_dilation deconv deconv_groups inner_product lstm rnn"


@pytest.mark.parametrize("name", WHOLE.split())
def test_parameters_of_a_network_and_of_its_program(name: str, tmp_path: Path) -> None:
    case = oracle.case(name)
    assert case.caffemodel is not None
    graph = load_caffe(case.prototxt, case.caffemodel)
    arrays = [array for layer in read_weights(case.caffemodel) for array in layer.arrays]
    stored = sum(array.size for array in arrays)
    assert summarise_graph(graph).parameters == stored
    write_model(optimize(graph), tmp_path / "net.demi")
    program = summarise_model(read_model(tmp_path / "net.demi"))
    bare = [node for node in graph.nodes if "weight" in node.weights and "bias" not in node.weights]
    assert program.parameters == stored + sum(node.op.channels for node in bare)  # zeros
    assert program.macs == summarise_graph(optimize(graph)).macs


def test_windows_in_words() -> None:
    assert window(ops.Conv2d(8, (3, 3))) == "3x3"
    assert window(ops.Conv2d(8, (3, 1), (2, 1), groups=2)) == "3x1 /2x1 in 2 groups"
    assert window(ops.Conv2d(8, (3, 3), (2, 2), dilation=(2, 2), groups=8)) == (
        "3x3 /2 dilated 2 depthwise"
    )
    assert window(ops.Pool2d("max", (2, 2), (2, 2))) == "2x2 /2"
    assert window(ops.Pool2d("average", global_pooling=True)) == "global"
    assert window(ops.Relu()) == ""


def test_shapes_in_words() -> None:
    assert [dims(shape) for shape in ((1, 3, 8, 8), (), None)] == ["1×3×8×8", "scalar", "?"]
