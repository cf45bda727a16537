"""What is said of layers that nobody reads, and the ways out."""

from __future__ import annotations

import pytest

from demitasse.errors import UnsupportedError

INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 6 dim: 6 }\n'
FIRST = 'layer { name: "first" type: "TanH" bottom: "data" top: "first" }\n'
PLUGIN = "read it with --plugin FILE, see examples/plugins/README.md"


def layer(kind: str, bottoms: str = "first data", more: str = "") -> str:
    wires = "".join(f'bottom: "{blob}" ' for blob in bottoms.split())
    return f'layer {{ name: "odd" type: "{kind}" {wires} top: "y" {more} }}\n'


PYTHON = 'python_param { module: "my.module" layer: "Mine" }'
SAID = [
    (layer("Odd"), f"unknown layer type 'Odd' (layer odd); {PLUGIN}"),
    (layer("Convolutoin"), "unknown layer type 'Convolutoin' (layer odd); is it Convolution? Else"),
    (layer("RELU"), "unknown layer type 'RELU' (layer odd); is it ReLU? Else read it"),
    (layer(""), "a layer without a type (layer odd); give it one"),
    (
        layer("Python", more=PYTHON),
        "layer type 'Python' runs my.module.Mine, which is Python code of the host (layer odd); "
        f"end the network before it, --outputs first, or {PLUGIN}",
    ),
    (
        layer("Proposal"),
        "layer type 'Proposal' proposes regions, which is the host's work (layer odd); end the "
        "network before it, --outputs first, or",
    ),
    (
        layer("Filter"),
        "layer type 'Filter' passes on a number of samples that only a run tells (layer odd); end",
    ),
    (layer("Filter", "data"), f"only a run tells (layer odd); {PLUGIN}"),
]


@pytest.mark.parametrize(("text", "message"), SAID)
def test_what_is_said(load, text: str, message: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(INPUT + FIRST + text)
    assert "net.prototxt:3: " in str(caught.value)
    assert message in str(caught.value)


def test_the_cut_works(load) -> None:
    graph = load(INPUT + FIRST + layer("Filter"), outputs=["first"])
    assert graph.outputs == ("first",)


def test_a_remedy_for_several_is_said_once(load) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(INPUT + FIRST + layer("Odd") + layer("Strange").replace('"y"', '"z"'))
    assert str(caught.value).count(PLUGIN) == 1
    assert str(caught.value).endswith(PLUGIN)
