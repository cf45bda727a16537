"""SSD's Normalize, against loops written from its definition."""

from __future__ import annotations

from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

import demitasse
from demitasse.errors import DemitasseError, WeightsError

rng = np.random.default_rng(6)


def text(shape: tuple[int, ...], params: str) -> str:
    dims = " ".join(f"dim: {n}" for n in shape)
    return (
        f'input: "x" input_shape {{ {dims} }}\n'
        f'layer {{ name: "l" type: "Normalize" bottom: "x" top: "y" norm_param {{ {params} }} }}'
    )


def normalized(x: np.ndarray, scale: np.ndarray, across: bool, eps: float) -> np.ndarray:
    """Each value by the root of eps and the squares of its sample, or of its pixel."""
    y = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        places = [range(n) if across else [i] for n, i in zip(x.shape[2:], at[2:], strict=True)]
        total = eps
        for there in product(range(x.shape[1]), *places):
            total += float(x[(at[0], *there)]) ** 2
        y[at] = x[at] / sqrt(total) * scale[at[1] if scale.size > 1 else 0]
    return y


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 2)])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("eps", [1e-10, 3.0])
def test_normalize(
    load, tmp_path: Path, shape: tuple[int, ...], across: bool, shared: bool, eps: float
) -> None:
    scale = rng.uniform(1, 20, 1 if shared else 3).astype(np.float32)
    params = f"eps: {eps}" if eps > 1 else ""
    params += "" if across else " across_spatial: false"
    params += "" if shared else " channel_shared: false"
    graph = load(text(shape, params), {"l": [scale]})
    x = rng.normal(size=shape).astype(np.float32)
    expected = normalized(x, scale, across, eps)
    found = demitasse.evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    demitasse.compile(graph, tmp_path / "net.demi", precision="fp32")
    same = demitasse.Model.open(tmp_path / "net.demi").run({"x": x})["y"]
    np.testing.assert_allclose(same, expected, rtol=1e-5)


def test_a_filler_is_the_scale(load) -> None:
    graph = load(text((1, 4, 2, 2), "channel_shared: false scale_filler { value: 20 }"))
    assert graph.nodes[0].weights["scale"].tolist() == [20] * 4


def test_what_does_not_fit_is_refused(load) -> None:
    with pytest.raises(WeightsError, match=r"expected \(3,\)"):
        load(text((1, 3, 2, 2), "channel_shared: false"), {"l": [np.ones(4)]})
    for shape in ((3,), (1, 2, 3, 4, 5)):
        with pytest.raises(DemitasseError, match="2 to 4 axes"):
            load(text(shape, ""))
