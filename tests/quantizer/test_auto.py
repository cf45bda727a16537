"""Which method is chosen where it is plain which one is right, and overrides for single blobs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from support.graphs import Builder

from demitasse.converter import ops
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph
from demitasse.errors import DataError
from demitasse.quantizer.auto import choose_methods
from demitasse.quantizer.overrides import by_tensor
from demitasse.quantizer.statistics import Statistics
from demitasse.quantizer.table import build_table, from_text, to_text
from demitasse.quantizer.thresholds import find_range

Images = list[dict[str, np.ndarray]]


def pictures() -> Images:
    """Eight channels of values up to 1; in the last one of 1000 is 40."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(4):
        x = rng.uniform(-1, 1, (1, 8, 32, 32)).astype(np.float32)
        x[0, 7][rng.random((32, 32)) < 0.001] = 40
        found.append({"data": x})
    found[0]["data"][0, 7, 0, 0] = 40
    return found


def statistics(graph: Graph, images: Images) -> Statistics:
    stats = Statistics(samples={"x": np.arange(len(images))})
    for inputs in images:
        for name, value in evaluate(graph, inputs, all_blobs=True).items():
            stats.update(name, value)
    return stats


def reader(last: float, others: float, pooled: bool = False) -> Graph:
    """A convolution that weighs the last channel otherwise than the others."""
    net = Builder(seed=1)
    x = net.input("data", 1, 8, 32, 32)
    if pooled:
        x = net.add(ops.Pool2d("max", (1, 1)), x)
    weight = net.random(4, 8, 1, 1)
    weight[:, 7] *= last
    weight[:, :7] *= others
    net.add(ops.Conv2d(4, (1, 1)), x, weight=weight)
    return net.graph()


def chosen(graph: Graph, images: Images) -> tuple[str, float]:
    """The method for the input, and the end of its range."""
    stats = statistics(graph, images)
    method = choose_methods(graph, stats, images)["data"]
    return method, find_range(stats.tensors["data"], method, False).high


@pytest.mark.parametrize("pooled", [False, True])
def test_outliers_that_the_reader_ignores_are_clipped(pooled: bool) -> None:
    method, high = chosen(reader(last=0.0, others=1.0, pooled=pooled), pictures())
    assert high < 6, method


@pytest.mark.parametrize("pooled", [False, True])
def test_outliers_that_the_reader_lives_on_are_kept(pooled: bool) -> None:
    method, high = chosen(reader(last=1.0, others=0.0, pooled=pooled), pictures())
    assert high == pytest.approx(40, rel=0.05), method


def test_where_methods_agree_the_default_stays() -> None:
    images = [{"data": np.random.default_rng(i).uniform(-1, 1, (1, 8, 32, 32))} for i in range(2)]
    method, _ = chosen(reader(1, 1), images)
    assert method == "mse"


def test_given_tensors_and_byte_ranges_are_left_alone() -> None:
    graph, images = reader(0, 1), pictures()
    stats = statistics(graph, images)
    assert "data" not in choose_methods(graph, stats, images, fixed=["data"])
    stats.context = {"ranges": {"data": [0.0, 1.0]}}
    assert "data" not in choose_methods(graph, stats, images)


def test_tensors_that_take_the_scale_of_another_are_not_tried() -> None:
    graph, images = reader(0, 1, pooled=True), pictures()
    found = choose_methods(graph, statistics(graph, images), images)
    assert found.keys() == {"data", graph.outputs[0]}


def test_the_table_records_each_choice() -> None:
    graph, images = reader(0, 1), pictures()
    stats = statistics(graph, images)
    methods = choose_methods(graph, stats, images)
    table = build_table(stats, "int8", "auto", overrides=methods)
    assert table.method == "auto"
    assert {name: t.method for name, t in table.tensors.items()} == methods
    for name, method in methods.items():
        plain = build_table(stats, "int8", method).tensors[name]
        assert (table.tensors[name].scale, plain.method) == (plain.scale, "")
    assert from_text(to_text(table)) == table


def test_a_method_and_a_range_for_single_tensors() -> None:
    graph, images = reader(1, 1), pictures()
    stats = statistics(graph, images)
    (output,) = graph.outputs
    given: Mapping[str, str | tuple[float, float]] = {"data": "minmax", output: (-3.0, 6.0)}
    table = build_table(stats, overrides=given)
    assert (table.tensors["data"].method, table.tensors["data"].high) == ("minmax", 40)
    row = table.tensors[output]
    assert (row.method, row.low, row.high) == ("given", -3.0, 6.0)
    assert row.scale == pytest.approx(9 / 255)
    text = to_text(table)
    assert from_text(text) == table
    with pytest.raises(DataError, match=r"tensors.data.method: 'nix' is none of"):
        from_text(text.replace('"method": "minmax"', '"method": "nix"'))
    assert '"method"' not in to_text(build_table(stats)).split('"tensors"')[1]


def test_blobs_lead_to_tensors() -> None:
    tensors = ["conv1@equalized", "conv2", "fc"]
    blobs = {"conv2@relu2": "conv2", "gone": "nothing"}
    given = {"conv1": "kl", "conv2@relu2": "aciq", "fc": (0.0, 1.0)}
    found = by_tensor(given, tensors, blobs)
    assert found == {"conv1@equalized": "kl", "conv2": "aciq", "fc": (0.0, 1.0)}
    for name in ("conv3", "gone"):
        with pytest.raises(DataError, match=rf"no blob '{name}'.*such as .*conv"):
            by_tensor({name: "kl"}, tensors, blobs)
