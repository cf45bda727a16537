"""Caffe's fillers, and nets whose weights they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demitasse.converter.caffe.fillers import fill
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.text import parse_prototxt
from demitasse.converter.evaluate import evaluate
from demitasse.errors import DemitasseError, DemitasseWarning

INPUT = 'input: "data" input_shape { dim: 1 dim: 6 dim: 8 dim: 8 }\n'
CONV = (
    'layer { name: "%s" type: "Convolution" bottom: "%s" top: "%s"\n'
    "  convolution_param { num_output: 6 kernel_size: 3 pad: 1 %s } }\n"
)
SHAPE = (200, 30, 5, 5)  # fan in 750, fan out 5000


def draw(text: str, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    made = fill(parse_prototxt(text), shape, "weight", np.random.default_rng(seed))
    assert made.shape == shape
    assert made.dtype == np.float32
    return made.astype(np.float64)


def test_constant() -> None:
    assert (draw("value: 3.5") == 3.5).all()
    assert (draw("type: 'constant'") == 0).all()


def test_uniform() -> None:
    made = draw("type: 'uniform' min: -2 max: 4")
    assert made.min() >= -2
    assert made.max() <= 4
    assert abs(made.mean() - 1) < 0.03
    assert abs(made.std() - 6 / np.sqrt(12)) < 0.03
    assert draw("type: 'uniform'").max() <= 1


def test_gaussian() -> None:
    made = draw("type: 'gaussian' mean: 2 std: 0.5")
    assert abs(made.mean() - 2) < 0.01
    assert abs(made.std() - 0.5) < 0.01


def test_sparse_gaussian() -> None:
    """A weight stays with probability sparse / num_output."""
    made = draw("type: 'gaussian' std: 1 sparse: 50")
    assert abs((made != 0).mean() - 50 / 200) < 0.01
    assert abs(made[made != 0].std() - 1) < 0.02


def test_positive_unitball() -> None:
    made = draw("type: 'positive_unitball'")
    assert made.min() >= 0
    np.testing.assert_allclose(made.reshape(200, -1).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "fan"),
    [("", 750), ("variance_norm: FAN_OUT", 5000), ("variance_norm: AVERAGE", (750 + 5000) / 2)],
)
def test_xavier_and_msra(norm: str, fan: float) -> None:
    bound = np.sqrt(3 / fan)
    made = draw(f"type: 'xavier' {norm}")
    assert 0.999 * bound < np.abs(made).max() <= bound * (1 + 1e-6)
    assert abs(made.std() * np.sqrt(fan) - 1) < 0.01
    made = draw(f"type: 'msra' {norm}")
    assert abs(made.std() / np.sqrt(2 / fan) - 1) < 0.01
    assert abs(made.mean()) < 0.01 * made.std()


def test_fans_of_a_vector() -> None:
    """The bias of 500 outputs: one input each; all of them are the outputs of an input."""
    assert abs(draw("type: 'msra'", (50000,)).std() / np.sqrt(2) - 1) < 0.01
    assert abs(draw("type: 'msra' variance_norm: FAN_OUT", (50000,)).std() - 0.0063246) < 1e-4


def test_bilinear() -> None:
    made = draw("type: 'bilinear'", (2, 1, 4, 4))
    row = np.array([1, 3, 3, 1]) / 4
    np.testing.assert_allclose(made, np.broadcast_to(np.outer(row, row), (2, 1, 4, 4)))


def test_the_same_seed_gives_the_same_bytes(load) -> None:
    text = INPUT + CONV % ("a", "data", "a", "weight_filler { type: 'xavier' }")
    more = text + CONV % ("b", "a", "b", "")
    weights = load(text, random_weights=5).nodes[0].weights
    again = load(more, random_weights=5)
    assert weights["weight"].tobytes() == again.nodes[0].weights["weight"].tobytes()
    other = load(text, random_weights=6).nodes[0].weights["weight"]
    assert not np.array_equal(weights["weight"], other)
    assert (weights["bias"] == 0).all()


def test_layers_are_drawn_apart(load) -> None:
    text = INPUT + CONV % ("a", "data", "a", "") + CONV % ("b", "a", "b", "")
    first, second = (node.weights["weight"] for node in load(text, random_weights=1).nodes)
    assert not np.array_equal(first, second)
    assert abs(first.std() / np.sqrt(2 / 54) - 1) < 0.15


def test_shared_weights_are_one(load) -> None:
    text = INPUT + CONV % ("a", "data", "a", "} param { name: 'w' ")
    text += CONV % ("b", "a", "b", "} param { name: 'w' ")
    first, second = load(text, random_weights=1).nodes
    assert np.shares_memory(first.weights["weight"], second.weights["weight"])


def test_layers_without_fillers_have_plain_values(load) -> None:
    text = INPUT
    for kind in ("Scale", "PReLU", "Bias"):
        text += f'layer {{ name: "{kind}" type: "{kind}" bottom: "data" top: "{kind}" }}\n'
    found = {node.name: node.weights for node in load(text, random_weights=1).nodes}
    assert (found["Scale"]["scale"] == 1).all()
    assert (found["PReLU"]["slope"] == 0.25).all()
    assert (found["Bias"]["bias"] == 0).all()


def test_batch_norm_fits_its_input(load) -> None:
    """Eight residual blocks without an activation: each doubles the variance, unless BatchNorm
    knows it."""
    text, last = INPUT, "data"
    for i in range(8):
        text += CONV % (f"c{i}", last, f"c{i}", "bias_term: false weight_filler { type: 'msra' }")
        text += f'layer {{ name: "n{i}" type: "BatchNorm" bottom: "c{i}" top: "n{i}" }}\n'
        text += (
            f'layer {{ name: "s{i}" type: "Eltwise" bottom: "{last}" bottom: "n{i}" top: "s{i}" }}'
        )
        last = f"s{i}"
    graph = load(text, random_weights=3)
    x = np.random.default_rng(0).standard_normal((1, 6, 8, 8)).astype(np.float32)
    blobs = evaluate(graph, {"data": x}, all_blobs=True)
    for i in range(8):
        assert 0.3 < blobs[f"n{i}"].std() < 2
    assert all((node.weights["mean"] == 0).all() for node in graph.nodes if "mean" in node.weights)


def test_what_the_file_has_stays(load) -> None:
    weight, bias = np.ones((6, 6, 3, 3)), np.full(6, 2)
    text = INPUT + CONV % ("a", "data", "a", "") + CONV % ("b", "a", "b", "")
    with pytest.warns(DemitasseWarning, match="layer 'b': no weights in net.caffemodel: what the"):
        first, second = load(text, {"a": [weight, bias]}, random_weights=1).nodes
    np.testing.assert_array_equal(first.weights["weight"], weight)
    assert second.weights["weight"].std() > 0


BAD = [
    ("type: 'gauss'", "unknown filler 'gauss'; there is constant, uniform, gaussian"),
    ("type: 'msra' sparse: 1", "a msra filler cannot be sparse"),
    ("type: 'bilinear'", "needs a square 4-D blob, found shape (6, 6, 3, 1)"),
    ("std: x", "std should be a number, found 'x'"),
]


@pytest.mark.parametrize(("filler", "message"), BAD)
def test_fillers_that_caffe_refuses(load, filler: str, message: str) -> None:
    param = f"weight_filler {{ {filler} }}"
    text = INPUT + (CONV % ("a", "data", "a", param)).replace(
        "kernel_size: 3 pad: 1", "kernel_h: 3 kernel_w: 1"
    )
    with pytest.raises(DemitasseError) as caught:
        load(text)
    assert "net.prototxt:3: layer 'a': " in str(caught.value)
    assert message in str(caught.value)
    weights = {"a": [np.ones((6, 6, 3, 1)), np.ones(6)]}
    assert load(text, weights).nodes[0].weights["bias"].all()  # then nobody needs the filler


def test_without_a_seed_nothing_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + CONV % ("a", "data", "a", "weight_filler { type: 'msra' }"))
    assert load_caffe(path).nodes[0].weights == {}


def test_deep_residual_nets_stay_within_bounds(load) -> None:
    """Thirty linear blocks with He's weights would grow by 3 ** 15."""
    text, last = INPUT, "data"
    for i in range(30):
        text += CONV % (f"c{i}", last, f"c{i}", "weight_filler { type: 'msra' }")
        text += f'layer {{ name: "s{i}" type: "Eltwise" bottom: "{last}" bottom: "c{i}" '
        text += f'top: "s{i}" }}\n'
        last = f"s{i}"
    x = np.random.default_rng(0).standard_normal((1, 6, 8, 8)).astype(np.float32)
    y = evaluate(load(text, random_weights=3), {"data": x})[last]
    assert 1 < y.std() < 200
