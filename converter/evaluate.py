"""The NumPy reference: runs a float graph with each operator's definition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from demitasse.converter.graph import Graph, infer
from demitasse.errors import DataError, DemitasseError


def evaluate(
    graph: Graph, inputs: Mapping[str, np.ndarray], all_blobs: bool = False
) -> dict[str, np.ndarray]:
    """Run the graph in float32.

    inputs: one array per network input, shaped as Caffe's blob (NCHW) and preprocessed; shapes
    are inferred anew from them. Returns the network's outputs keyed by Caffe's tops; with
    `all_blobs`, every blob: `name` is its last value, `name@layer` the value right after that
    layer. Raises DataError for missing or unknown inputs, ShapeError where shapes do not fit,
    DemitasseError naming the layers without weights.
    """
    check_weights(graph)
    shapes = {name: np.shape(x) for name, x in checked(graph, inputs).items()}
    graph = infer(graph, shapes)
    values = float_values(graph, inputs)
    if all_blobs:
        return {key: values[name] for key, name in graph.blobs.items()}
    return {key: values[name] for key, name in graph.output_keys().items()}


def float_values(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor's value, by its name; inputs of the graph's shapes."""
    values = {name: np.asarray(x, np.float32) for name, x in checked(graph, inputs).items()}
    for node in graph.nodes:
        results = node.op.reference([values[name] for name in node.inputs], node.weights)
        values.update(zip(node.outputs, results, strict=True))
    return values


def checked(graph: Graph, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The inputs, if they are exactly the graph's; else DataError."""
    if set(inputs) != set(graph.inputs):
        raise DataError(
            f"the network's inputs are {', '.join(sorted(graph.inputs))}; "
            f"given: {', '.join(sorted(inputs)) or 'none'}"
        )
    return inputs


def check_weights(graph: Graph) -> None:
    """Raise DemitasseError naming every layer whose weights are missing."""
    missing = [
        node.name
        for node in graph.nodes
        if set(node.op.required_weights(len(node.inputs))) - set(node.weights)
    ]
    if missing:
        raise DemitasseError(
            f"layers without weights: {', '.join(missing)}",
            remedy="give the .caffemodel that belongs to this prototxt",
        )
