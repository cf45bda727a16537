"""Networks written as Caffe: read again, and compared with real Caffe's blobs.

`tests/data/written.prototxt` is such a text, and real Caffe has answered it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import oracle
import pytest
from support.recorded import MODELS, UNITS, recorded_model, recorded_unit

from demitasse.converter.caffe.emit import write_caffe
from demitasse.converter.caffe.emit.binary import parameters
from demitasse.converter.caffe.emit.step import Layer
from demitasse.converter.caffe.emit.text import Symbol, number, prototxt
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops import Conv2d, Dequantize, Gather, Relu
from demitasse.converter.passes import fuse_activations, optimize, simplify
from demitasse.errors import DemitasseError, UnsupportedError

Blobs = Mapping[str, np.ndarray]

PASSES: dict[str, Callable[[Graph], Graph]] = {
    "as read": lambda graph: graph,
    "folded": lambda graph: simplify(graph, constants=False),
    "fused": lambda graph: fuse_activations(simplify(graph)),
}
WEIGHTS = ("net.caffemodel", "net.caffemodel.h5")
CLOSE = 1e-5  # of the blob's largest absolute value
TO_CAFFE = 1e-4


def again(graph: Graph, folder: Path, weights: str = WEIGHTS[0]) -> Graph:
    """The graph after it was written and read."""
    write_caffe(graph, folder / "net.prototxt", folder / weights)
    return load_caffe(folder / "net.prototxt", folder / weights, strict=True)


def text_of(graph: Graph, folder: Path) -> str:
    write_caffe(graph, folder / "net.prototxt", folder / "net.caffemodel")
    return (folder / "net.prototxt").read_text()


def largest_error(found: Blobs, expected: Blobs) -> float:
    """Of all blobs that both have, as a share of a blob's largest magnitude; NaN is NaN."""
    worst = 0.0
    for key in found.keys() & expected.keys():
        a, b = found[key], expected[key]
        assert a.shape == b.shape, key
        with np.errstate(invalid="ignore"):
            error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        worst = max(worst, float(error.max(initial=0) / max(np.nanmax(np.abs(b)), 1e-30)))
    return worst


def check(graph: Graph, inputs: Blobs, caffe: Blobs, folder: Path) -> None:
    """Written in every form, the network has its interface, its blobs and Caffe's values."""
    for apply in PASSES.values():
        changed = apply(graph)
        own = evaluate(changed, inputs, all_blobs=True)
        for weights in WEIGHTS:
            found = again(changed, folder, weights)
            read = {name for node in changed.nodes for name in node.inputs}
            read.update(changed.outputs)
            assert found.inputs == tuple(name for name in graph.inputs if name in read)
            assert set(found.output_keys()) == set(graph.output_keys())
            named = {t: key for key, t in changed.blobs.items() if "@" not in key}
            assert {key for t, key in named.items() if t not in graph.inputs} <= set(found.blobs)
            blobs = evaluate(found, {key: inputs[key] for key in found.inputs}, all_blobs=True)
            assert largest_error(blobs, own) <= CLOSE
            assert largest_error(blobs, caffe) <= TO_CAFFE


@pytest.mark.parametrize("case", list(oracle.cases()), ids=str)
@pytest.mark.filterwarnings("ignore:.*(no weights in fcn_head|works in place)")
def test_recorded_networks(case: oracle.Case, tmp_path: Path) -> None:
    graph = load_caffe(case.prototxt, case.caffemodel)
    caffe = {f"{top}@{layer}": values for (layer, top), values in case.blobs.items()}
    outputs = {key: caffe[key] for key in caffe if key.partition("@")[0] in graph.output_keys()}
    last = {key.partition("@")[0]: values for key, values in outputs.items()}
    check(graph, case.inputs, last, tmp_path)


@pytest.mark.parametrize("name", UNITS.split())
def test_units(models_dir: Path, name: str, tmp_path: Path) -> None:
    recording = recorded_unit(models_dir, name)
    check(recording.graph(), recording.inputs, recording.outputs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models(models_dir: Path, name: str, tmp_path: Path) -> None:
    recording = recorded_model(models_dir, name)
    graph = simplify(recording.graph(), constants=False)
    inputs = {key: x[:1] for key, x in recording.inputs.items()}
    own = evaluate(graph, inputs)
    for weights in WEIGHTS:
        found = again(graph, tmp_path, weights)
        assert largest_error(evaluate(found, inputs), own) <= CLOSE


def test_the_text_that_caffe_has_answered(tmp_path: Path) -> None:
    """So that what real Caffe recorded of it is about what is written now."""
    case = oracle.case("written")
    assert text_of(load_caffe(case.prototxt, case.caffemodel), tmp_path) == (
        case.prototxt.read_text()
    )


def test_written_networks_stay_as_they_are(tmp_path: Path) -> None:
    for case in (oracle.case("branches"), oracle.case("residual")):
        graph = load_caffe(case.prototxt, case.caffemodel)
        once = text_of(graph, tmp_path)
        stored = (tmp_path / "net.caffemodel").read_bytes()
        twice = again(graph, tmp_path)
        assert text_of(twice, tmp_path) == once
        assert (tmp_path / "net.caffemodel").read_bytes() == stored


@pytest.mark.parametrize("weights", WEIGHTS)
def test_same_graph_same_bytes(tmp_path: Path, weights: str) -> None:
    case = oracle.case("conv_bn_scale_relu")
    made = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        again(load_caffe(case.prototxt, case.caffemodel), tmp_path / folder, weights)
        made.append([path.read_bytes() for path in sorted((tmp_path / folder).iterdir())])
    assert made[0] == made[1]


SMALL = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 1 kernel_size: 1 bias_term: false } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { eps: 0 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
"""
SMALL_WEIGHTS = {"c": [np.full((1, 1, 1, 1), 3.0)], "b": [[2.0], [4.0], [1.0]]}

FOLDED = """layer {
  name: "data"
  type: "Input"
  top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } }
}
layer {
  name: "c"
  type: "Convolution"
  bottom: "data"
  top: "c"
  convolution_param {
    num_output: 1
    kernel_size: 1
  }
}
layer {
  name: "r"
  type: "ReLU"
  bottom: "c"
  top: "c"
}
"""


@pytest.mark.parametrize("apply", [simplify, optimize])
def test_folded_text_by_hand(load, tmp_path: Path, apply: Callable[[Graph], Graph]) -> None:
    """(3x - 2) / 2; a fused activation is a layer again, in place and under its own name."""
    graph = apply(load(SMALL, SMALL_WEIGHTS))
    assert text_of(graph, tmp_path) == FOLDED
    found = again(graph, tmp_path)
    (conv,) = (node for node in found.nodes if isinstance(node.op, Conv2d))
    assert {key: value.tolist() for key, value in conv.weights.items()} == {
        "weight": [[[[1.5]]]],
        "bias": [-1.0],
    }


def test_in_place_only_where_caffe_can(load, tmp_path: Path) -> None:
    """LRN in place goes wrong in Caffe: it reads its input after it has begun to write."""
    graph = load(
        """input: "x" input_shape { dim: 2 dim: 3 dim: 1 dim: 1 }
        layer { name: "a" type: "TanH" bottom: "x" top: "y" }
        layer { name: "b" type: "LRN" bottom: "y" top: "y" }
        layer { name: "c" type: "Sigmoid" bottom: "y" top: "y" }"""
    )
    lines = [line.strip() for line in text_of(graph, tmp_path).splitlines()]
    wires = [line for line in lines if line.startswith(("bottom", "top"))]
    assert wires == [
        'top: "x"',
        *('bottom: "x"', 'top: "y/a"'),
        *('bottom: "y/a"', 'top: "y"'),
        *('bottom: "y"', 'top: "y"'),
    ]


def test_a_rewritten_input(load, tmp_path: Path) -> None:
    graph = load(
        """input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "a" type: "ReLU" bottom: "x" top: "x" }
        layer { name: "b" type: "TanH" bottom: "x" top: "y" }"""
    )
    found = again(graph, tmp_path)
    assert found.inputs == graph.inputs == ("x",)
    assert found.blobs["x"] == graph.blobs["x"] == "x@a"
    assert [node.name for node in found.nodes] == ["a", "b"]


def test_outputs_that_are_read_too(load, tmp_path: Path) -> None:
    """In Caffe what a layer reads is no output: a Split under the output's name makes it one."""
    text = """input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "a" type: "TanH" bottom: "x" top: "a" }
        layer { name: "b" type: "Sigmoid" bottom: "a" top: "b" }"""
    graph = load(text, outputs=["a", "b"])
    found = again(graph, tmp_path)
    x = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
    assert list(found.output_keys()) == ["a", "b"]
    assert largest_error(evaluate(found, x), evaluate(graph, x)) == 0


def test_outputs_that_are_read_too_after_being_rewritten(load, tmp_path: Path) -> None:
    """The copy has the name; all values of the blob that it is made of have another."""
    text = """input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "a" type: "TanH" bottom: "x" top: "a" }
        layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
        layer { name: "b" type: "Sigmoid" bottom: "a" top: "b" }"""
    x = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
    graph = load(text, outputs=["a", "b"])
    found = again(graph, tmp_path)
    assert list(found.output_keys()) == ["a", "b"]
    assert largest_error(evaluate(found, x), evaluate(graph, x)) == 0
    assert [node.name for node in found.nodes][:3] == ["a", "r", "b"]

    graph = load(text.replace('"a"', '"x"').replace('name: "x"', 'name: "t"'), outputs=["x", "b"])
    found = again(graph, tmp_path)
    assert sorted(found.output_keys()) == ["b", "x_1"]
    values, expected = evaluate(found, x), evaluate(graph, x)
    np.testing.assert_array_equal(values["x_1"], expected["x"])
    np.testing.assert_array_equal(values["b"], expected["b"])


def test_outputs_that_are_not_asked_for(load, tmp_path: Path) -> None:
    text = """input: "x" input_shape { dim: 2 dim: 4 }
        layer { name: "s" type: "Slice" bottom: "x" top: "a" top: "b" }"""
    graph = load(text, outputs=["b"])
    assert 'type: "Silence"\n  bottom: "a"\n' in text_of(graph, tmp_path)
    assert list(again(graph, tmp_path).output_keys()) == ["b"]


def test_repeated_names(load, tmp_path: Path) -> None:
    """Weights are found by name: each layer needs one of its own."""
    text = """input: "x" input_shape { dim: 1 dim: 2 }
        layer { name: "f" type: "InnerProduct" bottom: "x" top: "y"
          inner_product_param { num_output: 2 bias_term: false } }
        layer { name: "f" type: "InnerProduct" bottom: "y" top: "z"
          inner_product_param { num_output: 2 bias_term: false } }"""
    graph = load(text)
    arrays = [np.array(rows, np.float32) for rows in ([[1, 0], [0, 1]], [[0, 5], [7, 0]])]
    nodes = [replace(n, weights={"weight": a}) for n, a in zip(graph.nodes, arrays, strict=True)]
    changed = replace(graph, nodes=tuple(nodes))
    for weights in WEIGHTS:
        found = again(changed, tmp_path, weights)
        assert [node.weights["weight"].tolist() for node in found.nodes] == [
            [[1, 0], [0, 1]],
            [[0, 5], [7, 0]],
        ]


def test_hdf5_has_no_slashes(load, tmp_path: Path) -> None:
    """Caffe saves `c/dw` as `dw` in a group `c`, and does not find it again."""
    text = """input: "x" input_shape { dim: 1 dim: 2 }
        layer { name: "c" type: "PReLU" bottom: "x" top: "c" }
        layer { name: "c/dw" type: "PReLU" bottom: "c" top: "c/dw" }
        layer { name: "c_dw" type: "TanH" bottom: "c/dw" top: "y" }"""
    graph = load(text, {"c": [[1.0, 2.0]], "c/dw": [[3.0, 4.0]]})
    again(graph, tmp_path, "net.caffemodel.h5")
    with h5py.File(tmp_path / "net.caffemodel.h5") as file:
        groups = {name: list(group) for name, group in file["data"].items()}
    assert groups == {"c": ["0"], "c_dw": ["0"], "c_dw_1": [], "x": []}
    again(graph, tmp_path, "net.caffemodel")
    assert 'name: "c/dw"' in (tmp_path / "net.prototxt").read_text()


def test_numbers_read_back() -> None:
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 2000, dtype=np.uint32).view(np.float32)
    for value in bits[np.isfinite(bits)]:
        assert np.float32(number(float(value))) == value
    assert [number(v) for v in (0.1, 2.0, -0.5, 1e-5, float("inf"), 1e39)] == [
        *("0.1", "2", "-0.5", "1e-05", "inf", "inf")
    ]


def test_text_by_hand() -> None:
    fields = {"name": 'a "b"\\', "t": True, "e": Symbol("MAX"), "r": [1, 2], "m": {"x": {"y": []}}}
    assert prototxt(fields) == (
        'name: "a \\"b\\"\\\\"\nt: true\ne: MAX\nr: 1\nr: 2\nm { x {  } }\n'
    )


def test_odd_names(load, tmp_path: Path) -> None:
    text = """input: "größe \\"1\\"" input_shape { dim: 1 dim: 2 }
        layer { name: "a\\n/b" type: "TanH" bottom: "größe \\"1\\"" top: "ö" }"""
    found = again(load(text), tmp_path)
    assert (found.inputs, found.outputs) == (('größe "1"',), ("ö",))
    assert [node.name for node in found.nodes] == ["a\n/b"]


def test_what_caffe_has_no_layer_for(tmp_path: Path) -> None:
    tensors = {name: Tensor(name, (1, 1, 4, 4)) for name in "xyz"}
    weights = {"weight": np.ones((1, 1, 3, 3), np.float32)}
    uneven = Node("c", Conv2d(1, (3, 3), pads=(0, 0, 2, 2)), ("x",), ("y",), weights)
    graph = Graph((uneven,), tensors, ("x",), ("y",))
    with pytest.raises(UnsupportedError, match=r"layer 'c': pads \(0, 0, 2, 2\) differ"):
        write_caffe(graph, tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    nodes = (
        Node("q", Dequantize(), ("x",), ("y",)),
        Node("r", Relu(), ("y",), ("z",)),
        Node("s", Dequantize(), ("x",), ("y",)),
    )
    with pytest.raises(UnsupportedError, match=r"no layer for 'q' \(Dequantize\), 's' \(Deq"):
        write_caffe(replace(graph, nodes=nodes), tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    assert list(tmp_path.iterdir()) == []


def test_missing_weights(load, tmp_path: Path) -> None:
    with pytest.raises(DemitasseError, match="layers without weights: c, b"):
        write_caffe(load(SMALL), tmp_path / "a.prototxt", tmp_path / "a.caffemodel")


GATE = """input: "x" input_shape { dim: 2 dim: 3 dim: 4 dim: 5 }
    layer { name: "pool" type: "Pooling" bottom: "x" top: "pool"
      pooling_param { pool: AVE global_pooling: true } }"""


@pytest.mark.parametrize(
    ("layers", "kinds"),
    [
        (
            """layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
            layer { name: "gate" type: "Scale" bottom: "x" bottom: "flat" top: "y"
              scale_param { axis: 0 } }""",
            ["Reshape", "Scale"],
        ),
        (
            """layer { name: "gate" type: "Axpy"
              bottom: "pool" bottom: "x" bottom: "x" top: "y" }""",
            ["Reshape", "Scale", "Eltwise"],
        ),
        (
            """layer { name: "row" type: "Slice" bottom: "x" top: "a" top: "b"
              slice_param { axis: 0 } }
            layer { name: "of" type: "Reduction" bottom: "a" top: "of" reduction_param { axis: 3 } }
            layer { name: "cut" type: "Reshape" bottom: "of" top: "cut"
              reshape_param { shape { dim: 3 dim: 4 } } }
            layer { name: "gate" type: "Bias" bottom: "x" bottom: "cut" top: "y" }""",
            ["Slice", "Reduction", "Reshape", "Bias"],
        ),
    ],
)
def test_gates_have_two_bottoms(load, tmp_path: Path, layers: str, kinds: list[str]) -> None:
    """Not Tiles, which would say the input's size."""
    graph = simplify(load(GATE + layers))
    text = text_of(graph, tmp_path)
    found = [line.split('"')[1] for line in text.splitlines() if line.startswith("  type:")]
    assert [kind for kind in found if kind not in ("Input", "Silence", "Pooling")] == kinds
    again_read = again(graph, tmp_path)
    for shape in ((2, 3, 4, 5), (2, 3, 4, 9)):
        x = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        assert largest_error(evaluate(again_read, x), evaluate(graph, x)) <= CLOSE


def test_indices_along_another_axis(load, tmp_path: Path) -> None:
    graph = load(
        """input: "x" input_shape { dim: 1 dim: 3 }
        layer { name: "t" type: "TanH" bottom: "x" top: "y" }"""
    )
    (node,) = graph.nodes
    indices = np.array([2, 0, 2], np.int32)
    for axis, x in ((1, [[1, 2, 3]]), (0, [[5, 6, 7]])):
        chosen = indices if axis else np.array([0], np.int32)
        picked = replace(node, op=Gather(axis), weights={"indices": chosen})
        found = again(replace(graph, nodes=(picked,)), tmp_path)
        (y,) = evaluate(found, {"x": np.array(x, np.float32)}).values()
        assert y.tolist() == ([[3, 1, 3]] if axis else x)


@pytest.mark.parametrize("case", list(oracle.cases()), ids=str)
@pytest.mark.filterwarnings(
    "ignore:.*(no weights in fcn_head|works in place)", "ignore:.*read as dialect 'ssd'"
)
def test_the_caffemodel_alone(case: oracle.Case, tmp_path: Path) -> None:
    """It holds the layers' parameters too, as Caffe's own files do."""
    graph = load_caffe(case.prototxt, case.caffemodel)
    again(graph, tmp_path)
    (tmp_path / "net.prototxt").unlink()
    alone = load_caffe(tmp_path / "net.caffemodel")
    assert largest_error(evaluate(alone, case.inputs), evaluate(graph, case.inputs)) <= CLOSE


@pytest.mark.parametrize("name", ["ssd_norm_channel", "ssd_priorbox_basic", "ssd_detout_center"])
@pytest.mark.filterwarnings("ignore:.*read as dialect 'ssd'")
def test_the_caffemodel_of_a_fork_alone(models_dir: Path, name: str, tmp_path: Path) -> None:
    recording = recorded_unit(models_dir, name)
    again(recording.graph(), tmp_path)
    alone = load_caffe(tmp_path / "net.caffemodel")
    found = evaluate(alone, recording.inputs)
    assert found.keys() == recording.outputs.keys()
    assert largest_error(found, recording.outputs) <= TO_CAFFE


def test_parameters_on_the_wire_by_hand() -> None:
    """BVLC's numbers: pooling_param 121 with pool 1, pad 4; power_param 122 with floats; reshape
    133 with dim -1."""
    ave = Layer("p", "Pooling", params={"pooling_param": {"pool": Symbol("AVE"), "pad": 3}})
    power = Layer("q", "Power", params={"power_param": {"power": 2.0, "shift": -0.5}})
    shape = Layer("r", "Reshape", params={"reshape_param": {"shape": {"dim": [0, -1]}}})
    relu = Layer("s", "ReLU", params={"relu_param": {}})
    assert parameters([ave, power, shape, relu]) == [
        b"\xca\x07\x04\x08\x01\x20\x03",
        b"\xd2\x07\x0a\x0d\x00\x00\x00\x40\x1d\x00\x00\x00\xbf",
        b"\xaa\x08\x0f\x0a\x0d\x08\x00\x08" + b"\xff" * 9 + b"\x01",
        b"",
    ]


def test_parameters_that_no_fork_has_together() -> None:
    """The file holds names and blobs then, and the text says the rest."""
    relu = Layer("r", "ReLU", params={"relu_param": {"negative_slope": 0.5}})
    assert parameters([relu, Layer("m", "NoSuchLayer")]) == [b"", b""]
