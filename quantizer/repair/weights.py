"""Repair the weights of an INT8 network on a few images: better roundings and biases.

The network is walked from its inputs on. Each layer sees the images as the integer layers before
it, repaired already, leave them, so that what it makes up for is what it will meet.

Bias correction (Nagel et al., 2019): a layer's channels keep the means of the float network.
Rounding: see `rounding`. Both are differences to a network that is quantized as always, and stand
in its table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from demitasse.converter.flat.prepare import prepare
from demitasse.converter.graph import Arrays, Graph, Node
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct
from demitasse.errors import DataError
from demitasse.quantizer.differences import MOST, encode
from demitasse.quantizer.integer import Site
from demitasse.quantizer.integer.base import quantization
from demitasse.quantizer.integer.conv import (
    convolution_rows,
    convolution_weights,
    float_rows,
    restore_rows,
)
from demitasse.quantizer.quantize import quantize
from demitasse.quantizer.reference import run_node, store
from demitasse.quantizer.repair.patches import sample_patches
from demitasse.quantizer.repair.rounding import round_adaptively
from demitasse.quantizer.table import ScaleTable, float32
from demitasse.quantizer.weight_plans import weight_plans
from demitasse.quantizer.weights import limit_of

ON_IMAGES = ("bias", "rounding")
MOST_PATCHES = 16384
MOST_WEIGHTS = 8192  # of an output channel: its moments are a matrix of that size squared
FEWEST_PATCHES = 0.25  # for each weight of an output channel; fewer tell little about others

Blobs = Mapping[str, np.ndarray]


def repair_weights(
    graph: Graph,
    table: ScaleTable,
    inputs: Sequence[Blobs],
    means: Blobs,
    repairs: Collection[str] = ON_IMAGES,
) -> ScaleTable:
    """The table with roundings and biases for the convolutions and inner products of INT8.

    graph: folded. inputs: real values of the network's inputs, an image each. means: over these
    images, of what the layers read in float. Raises DataError for an unknown repair.
    """
    unknown = sorted(set(repairs) - set(ON_IMAGES))
    if unknown:
        raise DataError(f"unknown repair '{unknown[0]}'", remedy=", ".join(ON_IMAGES))
    if table.precision != "int8" or not repairs or not inputs:
        return table
    walk = _Walk(graph, table, means, frozenset(repairs))
    walk.run(inputs)
    return replace(
        table,
        biases={**table.biases, **walk.biases},
        rounding={**table.rounding, **walk.rounding},
    )


@dataclass
class _Walk:
    """biases and rounding: what was found."""

    graph: Graph
    table: ScaleTable
    means: Blobs
    repairs: frozenset[str]
    biases: dict[str, tuple[float, ...]] = field(default_factory=dict)
    rounding: dict[str, str] = field(default_factory=dict)

    def run(self, inputs: Sequence[Blobs]) -> None:
        """Run all images side by side, each layer repaired before it runs."""
        integer = prepare(quantize(self.graph, self.table))
        floats = {node.name: node for node in self.graph.nodes}
        values = [
            {name: store(integer.tensors[name], np.asarray(x)) for name, x in image.items()}
            for image in inputs
        ]
        for node, done in _with_last_uses(integer):
            origin = floats.get(node.name)
            if origin is not None and self._is_repaired(integer, node, origin):
                images = [image[node.inputs[0]] for image in values]
                node = self._repaired(integer, node, origin, images)
            for image in values:
                given = [image[name] for name in node.inputs]
                image.update(zip(node.outputs, run_node(integer, node, given), strict=True))
                for name in done:
                    del image[name]

    def _is_repaired(self, integer: Graph, node: Node, origin: Node) -> bool:
        weighted = Conv2d | Deconv2d | InnerProduct
        return (
            isinstance(origin.op, weighted)
            and isinstance(node.op, type(origin.op))
            and integer.tensors[node.outputs[0]].dtype == self.table.precision
        )

    def _repaired(
        self, integer: Graph, node: Node, origin: Node, images: Sequence[np.ndarray]
    ) -> Node:
        """The integer node with better weights."""
        op = origin.op
        assert isinstance(op, Conv2d | Deconv2d | InnerProduct)
        plan = weight_plans(self.graph, self.table)[origin.name]
        inputs = tuple(integer.tensors[name] for name in node.inputs)
        site = Site(origin, inputs, integer.tensors[node.outputs[0]], plan)
        x = quantization(inputs[0])
        steps = [image.astype(np.int64) - x.zero_point for image in images]
        if "rounding" in self.repairs and _can_round(origin):
            site = self._rounded(site, steps)
        if "bias" in self.repairs and origin.inputs[0] in self.means:
            mean = np.mean(steps, axis=0) * x.scale
            shape = self.graph.tensors[origin.inputs[0]].shape
            site = self._corrected(site, mean.reshape(shape))
        return replace(node, weights=convolution_weights(site, op, origin.weights))

    def _rounded(self, site: Site, steps: Sequence[np.ndarray]) -> Site:
        """With other codes, where they are better."""
        op, weights = site.node.op, site.node.weights
        assert isinstance(op, Conv2d | InnerProduct)
        patches = sample_patches(op, steps, MOST_PATCHES)
        count = patches.shape[2]
        if count < FEWEST_PATCHES * patches.shape[1]:
            return site
        moments = patches @ patches.swapaxes(1, 2) / count  # exact: these are integers
        if "bias" in self.repairs:  # which will see to the means
            mean = patches.sum(axis=2) / count
            moments -= mean[:, :, None] * mean[:, None, :]
        plain = convolution_rows(site, op, weights)
        rows = float_rows(op, weights["weight"]).astype(np.float64)
        rows /= plain.scale.astype(np.float64)[:, None]
        grouped = rows.reshape(len(moments), -1, rows.shape[1])
        limit = limit_of("int8", site.plan.bits)
        codes = round_adaptively(grouped, moments, limit)
        changes = (codes.reshape(rows.shape) - plain.codes).astype(np.int8)
        changes = restore_rows(op, changes, weights["weight"].shape)
        if not changes.any():
            return site
        self.rounding[site.node.name] = encode(changes)
        return replace(site, plan=replace(site.plan, rounding=changes.ravel()))

    def _corrected(self, site: Site, mean: np.ndarray) -> Site:
        """With biases that give the channels their float means. What the layer makes of the mean
        image is the mean of what it makes of the images."""
        op, weights = site.node.op, site.node.weights
        assert isinstance(op, Conv2d | Deconv2d | InnerProduct)
        found = convolution_rows(site, op, weights)
        rows = found.codes * found.scale.astype(np.float64)[:, None]
        real = restore_rows(op, rows, weights["weight"].shape)
        expected = self.means[site.node.inputs[0]]
        lost = _mean_output(op, weights["weight"], expected) - _mean_output(op, real, mean)
        bias = np.asarray(weights.get("bias", np.zeros(op.channels)), np.float64) + lost
        self.biases[site.node.name] = tuple(float32(b) for b in bias)
        given = np.asarray(self.biases[site.node.name], np.float32)
        return replace(site, plan=replace(site.plan, bias=given))


def _can_round(node: Node) -> bool:
    weight = node.weights["weight"]
    is_small = weight.size <= MOST and weight[0].size <= MOST_WEIGHTS
    one_row = isinstance(node.op, InnerProduct) and node.op.axis == 1
    return is_small and (one_row or isinstance(node.op, Conv2d))


def _mean_output(
    op: Conv2d | Deconv2d | InnerProduct, weight: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Without bias and activation, by channel; (O,)."""
    arrays: Arrays = {"weight": weight}
    (y,) = replace(op, activation=None).reference([x], arrays)
    axis = -1 if isinstance(op, InnerProduct) else 1
    return np.asarray(np.moveaxis(y.astype(np.float64), axis, 0).reshape(op.channels, -1).mean(1))


def _with_last_uses(graph: Graph) -> Iterator[tuple[Node, list[str]]]:
    """Each node, and the tensors that nobody reads after it."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        last |= dict.fromkeys((*node.inputs, *node.outputs), node.name)
    for node in graph.nodes:
        yield node, [name for name, reader in last.items() if reader == node.name]
