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
from demitasse.converter.summary import Summary, dims, summarise_graph, summarise_model, window

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


def dependencies(summary: Summary) -> dict[str, set[str]]:
    """The rows and the network's inputs that each output depends on."""
    reads = {row.name: row.inputs for row in summary.rows}
    shaped = [row.name for row in summary.rows if row.kind == "Crop"]  # by its second input
    reads |= {name: reads[name][:1] for name in shaped}
    makers = {output.name: row.name for row in summary.rows for output in row.outputs}
    found: dict[str, set[str]] = {}
    for key, sources in summary.sources.items():
        seen: set[str] = set()
        pending = list(sources)
        while pending:
            value = pending.pop()
            row = makers.get(value, f"input {value}")
            if row not in seen:
                seen.add(row)
                pending += reads.get(row, ())
        found[key] = seen
    return found


@pytest.mark.parametrize("case", [*oracle.cases()], ids=str)
def test_a_programs_data_flow_is_the_graphs(case: oracle.Case, tmp_path: Path) -> None:
    """Found in memory alone, where tensors overlap and buffers are used again. Operators that only
    move values may be missing from the program, and copies may be added."""
    graph = optimize(load_caffe(case.prototxt, case.caffemodel))
    write_model(graph, tmp_path / "net.demi")
    program = summarise_model(read_model(tmp_path / "net.demi"))
    common = {row.name for row in program.rows} & {node.name for node in graph.nodes}
    common |= {f"input {name}" for name in program.inputs}
    expected = dependencies(summarise_graph(graph))
    assert {key: rows & common for key, rows in dependencies(program).items()} == {
        key: rows & common for key, rows in expected.items()
    }
