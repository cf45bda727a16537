"""Names of tensors and nodes, in-place chains, outputs."""

from __future__ import annotations

import pytest

from demitasse.converter.caffe.wiring import SHARED
from demitasse.errors import DemitasseError, ParseError

INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 6 dim: 6 }\n'


def layer(name: str, kind: str, bottoms: str, tops: str) -> str:
    wires = "".join(f'bottom: "{b}" ' for b in bottoms.split())
    wires += "".join(f'top: "{t}" ' for t in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} }}\n'


def test_in_place_chain(load) -> None:
    graph = load(
        INPUT
        + layer("conv1", "TanH", "data", "conv1")
        + layer("bn", "Sigmoid", "conv1", "conv1")
        + layer("relu1", "ReLU", "conv1", "conv1")
        + layer("next", "TanH", "conv1", "y")
    )
    assert [(n.inputs, n.outputs) for n in graph.nodes] == [
        (("data",), ("conv1@conv1",)),
        (("conv1@conv1",), ("conv1@bn",)),
        (("conv1@bn",), ("conv1",)),
        (("conv1",), ("y",)),
    ]
    assert graph.blobs == {
        "data": "data",
        "data@input": "data",
        "conv1": "conv1",
        "conv1@conv1": "conv1@conv1",
        "conv1@bn": "conv1@bn",
        "conv1@relu1": "conv1",
        "y": "y",
        "y@next": "y",
    }


def test_an_input_rewritten_in_place_keeps_its_name(load) -> None:
    graph = load(INPUT + layer("a", "ReLU", "data", "data") + layer("b", "TanH", "data", "data"))
    assert graph.inputs == ("data",)
    assert graph.outputs == ("data@b",)
    assert graph.blobs["data"] == "data@b"
    assert graph.output_keys() == {"data": "data@b"}


def test_readers_of_a_version_see_that_version(load) -> None:
    graph = load(
        INPUT
        + layer("s", "Split", "data", "x x2")
        + layer("early", "AbsVal", "x2", "early")
        + layer("r", "ReLU", "x", "x")
        + layer("late", "Concat", "x early", "late")
    )
    assert graph.nodes[-1].inputs == ("x", "early")
    assert graph.nodes[0].outputs == ("x@s", "x2")


def test_in_place_after_another_reader_is_refused(load) -> None:
    text = INPUT + layer("a", "AbsVal", "data", "y") + layer("r", "ReLU", "data", "data")
    with pytest.raises(ParseError, match=":3: layer 'r': top blob 'data' is produced twice"):
        load(text)


def test_a_second_producer_is_refused(load) -> None:
    text = INPUT + layer("a", "AbsVal", "data", "y") + layer("b", "TanH", "data", "y")
    with pytest.raises(ParseError, match=":3: layer 'b': top blob 'y' is produced twice"):
        load(text)


def test_only_the_layer_to_blame_is_reported(load) -> None:
    text = INPUT + layer("a", "ReLU", "nowhere", "y") + layer("b", "TanH", "y", "z")
    with pytest.raises(ParseError) as caught:
        load(text)
    assert str(caught.value).endswith("layer 'a': unknown bottom blob 'nowhere' (bottom 0)")


def test_outputs_come_in_order_of_their_names(load) -> None:
    graph = load(
        INPUT
        + layer("1", "AbsVal", "data", "zeta")
        + layer("2", "TanH", "data", "Beta")
        + layer("3", "ReLU", "data", "alpha")
    )
    assert graph.outputs == ("Beta", "alpha", "zeta")


def test_duplicate_and_empty_layer_names(load) -> None:
    graph = load(
        INPUT
        + layer("relu", "ReLU", "data", "a")
        + layer("relu", "ReLU", "a", "b")
        + layer("relu_1", "TanH", "b", "c")
        + layer("", "AbsVal", "c", "d")
    )
    assert [node.name for node in graph.nodes] == ["relu", "relu_2", "relu_1", "d"]
    assert graph.nodes[1].origin == ("relu",)
    assert graph.blobs["b@relu_2"] == "b"


def test_chosen_outputs_prune_the_rest(load) -> None:
    text = (
        'input: "other" input_shape { dim: 1 }\n'
        + INPUT
        + layer("c", "TanH", "data", "c")
        + layer("r", "ReLU", "c", "c")
        + layer("d", "AbsVal", "c", "d")
        + layer("e", "Odd", "d", "e")
        + layer("o", "TanH", "other", "o")
    )
    graph = load(text, outputs=["d", "c@c"])
    assert graph.outputs == ("d", "c@c")
    assert graph.inputs == ("data",)
    assert [node.name for node in graph.nodes] == ["c", "r", "d"]
    assert load(text, outputs="c@c").outputs == ("c@c",)


def test_unknown_output(load) -> None:
    with pytest.raises(DemitasseError, match="no blob 'conv2' to take as output; there is conv1"):
        load(INPUT + layer("conv1", "TanH", "data", "conv1"), outputs=["conv2"])


def test_the_name_of_shared_memory_is_no_type_of_a_text(load) -> None:
    with pytest.raises(DemitasseError, match="takes 2 bottom"):
        load(INPUT + layer("l0", SHARED, "data", "b0"))
