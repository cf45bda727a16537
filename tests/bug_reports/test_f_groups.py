"""Reports about depthwise and grouped convolutions, and deconvolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.everywhere import everywhere
from support.written import Load, data_net, layer

import demitasse
from demitasse.converter.ops import Conv2d, Deconv2d
from demitasse.converter.passes import optimize
from demitasse.errors import DemitasseError, WeightsError

RNG = np.random.default_rng(0)
ALIASES = ["DepthwiseConvolution", "ConvolutionDepthwise", "DepthwiseConv", "ConvDW"]


def depthwise(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Without padding, stride 1: a loop over the taps."""
    rows, columns = x.shape[2] - weight.shape[2] + 1, x.shape[3] - weight.shape[3] + 1
    result = np.zeros((*x.shape[:2], rows, columns))
    for (c, _, i, j), w in np.ndenumerate(weight):
        result[:, c] += w * x[:, c, i : i + rows, j : j + columns]
    return result


@pytest.mark.parametrize("group", ["", "group: 6"], ids=["no group", "group"])
@pytest.mark.parametrize("kind", ALIASES)
def test_names_of_depthwise_layers(load: Load, tmp_path: Path, kind: str, group: str) -> None:
    """72 (ncnn#540): the fork's type has no `group`, and it was converted as a dense layer."""
    weight, x = RNG.normal(size=(6, 1, 3, 3)), RNG.normal(size=(1, 6, 5, 7))
    more = f"convolution_param {{ num_output: 6 kernel_size: 3 bias_term: false {group} }}"
    text = data_net(1, 6, 5, 7) + layer("dw", kind, "data", more=more)
    graph = load(text, {"dw": [weight]})
    assert graph.nodes[0].op == Conv2d(6, (3, 3), groups=6)
    np.testing.assert_allclose(everywhere(graph, tmp_path, x), depthwise(x, weight), atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_integer_depthwise(load: Load, tmp_path: Path, precision: str) -> None:
    """74 (mace#590): float was right and INT8 crashed, over the layout of the filter."""
    weight = RNG.normal(size=(36, 1, 3, 3))
    more = "convolution_param { num_output: 36 kernel_size: 3 group: 36 bias_term: false }"
    graph = load(
        data_net(1, 36, 6, 5) + layer("dw", "Convolution", "data", more=more), {"dw": [weight]}
    )
    images = RNG.normal(size=(48, 36, 6, 5)).astype(np.float32)
    demitasse.compile(graph, tmp_path / "net.demi", precision=precision, data=images)
    found = demitasse.Model.open(tmp_path / "net.demi").run({"data": images})["dw"]
    expected = depthwise(images, weight)
    noise = 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())
    assert noise > (33 if precision == "int8" else 60)


def test_groups_stay_groups(load: Load) -> None:
    """78 (MMdnn#846): 36 groups were expanded to a dense kernel, or miscounted."""
    weight = RNG.normal(size=(72, 1, 3, 3))
    more = "convolution_param { num_output: 72 kernel_size: 3 group: 36 bias_term: false }"
    text = data_net(1, 36, 6, 5) + layer("c", "Convolution", "data", more=more)
    (node,) = optimize(load(text, {"c": [weight]})).nodes
    assert node.op == Conv2d(72, (3, 3), groups=36)
    assert node.weights["weight"].shape == (72, 1, 3, 3)
    exported = demitasse.export_onnx(load(text, {"c": [weight]})).graph
    assert [a.i for a in exported.node[0].attribute if a.name == "group"] == [36]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_deconvolution(load: Load, tmp_path: Path, groups: int) -> None:
    """75 (mace#93, tvm#8260): bilinear upsampling has a group for each channel."""
    weight, x = RNG.normal(size=(4, 4 // groups, 4, 4)), RNG.normal(size=(1, 4, 3, 5))
    more = f"num_output: 4 kernel_size: 4 stride: 2 pad: 1 bias_term: false group: {groups}"
    text = data_net(1, 4, 3, 5) + layer(
        "up", "Deconvolution", "data", more=f"convolution_param {{ {more} }}"
    )
    found = everywhere(load(text, {"up": [weight]}), tmp_path, x)
    full = np.zeros((4, 8, 12))
    size = 4 // groups
    for (c, o, i, j), w in np.ndenumerate(weight):
        target = full[c // size * size + o, i : i + 5 : 2, j : j + 9 : 2]
        target += w * x[0, c]
    np.testing.assert_allclose(found[0], full[:, 1:-1, 1:-1], atol=1e-4)


BILINEAR = "num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 bias_term: false"


def test_weights_that_only_a_filler_gives(load: Load, tmp_path: Path) -> None:
    """76 (RetinaFace-Cpp#3): the upsampling has no blobs in the file, and the converter crashed.
    A constant comes out twice as large."""
    more = f"convolution_param {{ {BILINEAR} weight_filler {{ type: 'bilinear' }} }}"
    graph = load(data_net(1, 3, 4, 4) + layer("up", "Deconvolution", "data", more=more))
    assert isinstance(graph.nodes[0].op, Deconv2d)
    found = everywhere(graph, tmp_path, np.full((1, 3, 4, 4), 5))
    assert found.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(found[:, :, 1:-1, 1:-1], np.full((1, 3, 6, 6), 5, np.float32))


@pytest.mark.parametrize("filler", ["", "weight_filler { type: 'gaussian' }"])
def test_weights_that_nothing_gives(load: Load, tmp_path: Path, filler: str) -> None:
    """76: without a filler that means something, say which layer lacks its weights."""
    more = f"convolution_param {{ {BILINEAR} {filler} }}"
    text = data_net(1, 3, 4, 4) + layer("up", "Deconvolution", "data", more=more)
    with pytest.raises(WeightsError, match=r"layer 'up': no weights in net\.caffemodel"):
        load(text, {"other": [[1]]})
    with pytest.raises(DemitasseError, match="up"):
        demitasse.compile(load(text), tmp_path / "net.demi", precision="fp32")
    assert not (tmp_path / "net.demi").exists()
