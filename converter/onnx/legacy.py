"""The names that older converters from Caffe gave, for programs that look values up by them.

A value is called by its Caffe top, but by its layer where the layer works in place; initializers by
layer and kind (`conv1_W`). BatchNorm and the Scale that alone reads it are one node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from demitasse.converter import ops
from demitasse.converter.caffe.wiring import Names
from demitasse.converter.graph import Graph, Node
from demitasse.converter.onnx.export import value_names
from demitasse.converter.passes import fold_constants

# What an initializer of an operator was called; others keep what they are called here.
SUFFIXES: Mapping[type[ops.Operator], Mapping[str, str]] = {
    ops.BatchNorm: {"variance": "var", "bias": "b"},
    ops.Clip: {"low": "min", "high": "max"},
    ops.Conv2d: {"weight": "W", "bias": "b"},
    ops.Deconv2d: {"weight": "W", "bias": "b"},
    ops.InnerProduct: {"weight": "W", "bias": "B"},
    ops.Pool2d: {"pads": "pad", "border": "constant_value"},
    ops.Power: {"factor": "scale", "offset": "shift", "power": "param_power"},
}


def rename(model: onnx.ModelProto, graph: Graph, inputs: Mapping[str, str]) -> dict[str, str]:
    """Give the older names to `model`, which is `graph` exported as it was read.

    inputs: what each input is to be called. Outputs come in the order of the nodes. Returns the
    name of each tensor that has one.
    """
    graph = fold_constants(graph)
    values = value_names(graph)
    pairs = dict(_scaled_norms(graph))
    _merge(model, pairs.values(), values)
    free = Names()
    tensors = _value_names(graph, inputs, pairs, free)
    renamed = {values[tensor]: name for tensor, name in tensors.items()}
    kinds = {node.name: type(node.op) for node in graph.nodes}
    kinds |= dict.fromkeys(pairs, ops.BatchNorm)
    for tensor in model.graph.initializer:
        renamed[tensor.name] = free.unique(_initializer_name(tensor.name, kinds))
    for node in model.graph.node:
        for output in node.output:
            if output not in renamed:
                renamed[output] = free.unique(output)
    _apply(model, renamed)
    made = [name for node in model.graph.node for name in node.output]
    order = {name: index for index, name in enumerate(made)}
    outputs = sorted(model.graph.output, key=lambda output: order[output.name])
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return tensors


def _value_names(
    graph: Graph, inputs: Mapping[str, str], pairs: Mapping[str, tuple[Node, Node]], free: Names
) -> dict[str, str]:
    """The name of each tensor. The first value of a blob has the blob's name, later ones that of
    the layer which made them in place."""
    origin = {tensor: key.rpartition("@") for key, tensor in graph.blobs.items() if "@" in key}
    tensors = {name: free.unique(inputs[name]) for name in graph.inputs}
    seen = {origin[name][0] for name in graph.inputs if name in origin}
    for node in graph.nodes:
        for name in node.outputs:
            if name not in origin:
                continue
            blob, _, layer = origin[name]
            if node.name in pairs:
                before = pairs[node.name][0].outputs[0]
                if origin[before][0] == blob:
                    tensors[name] = tensors.pop(before)
                    continue
                tensors.pop(before)
            tensors[name] = free.unique(layer if blob in seen else blob)
            seen.add(blob)
    return tensors


def _scaled_norms(graph: Graph) -> Iterator[tuple[str, tuple[Node, Node]]]:
    """(name of the Scale, BatchNorm and Scale) wherever the two can be one node."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        if not isinstance(node.op, ops.Scale) or len(node.inputs) != 1:
            continue
        before = producers.get(node.inputs[0])
        rank = len(graph.tensors[node.inputs[0]].shape)
        by_channel = node.weights["scale"].ndim == 1 and node.op.axis % max(rank, 1) == 1
        if before is None or not isinstance(before.op, ops.BatchNorm) or rank < 2:
            continue
        alone = len(consumers[node.inputs[0]]) == 1 and node.inputs[0] not in graph.outputs
        if by_channel and alone:
            yield node.name, (before, node)


def _merge(
    model: onnx.ModelProto, pairs: Iterable[tuple[Node, Node]], values: Mapping[str, str]
) -> None:
    """One BatchNormalization with the Scale's weights for each pair; the nodes that scaled go."""
    body = model.graph
    makers = {output: node for node in body.node for output in node.output}
    readers: dict[str, list[str]] = defaultdict(list)
    for node in body.node:
        for name in node.input:
            readers[name].append(node.name)
    stale, gone, fresh = set(), set(), []
    for norm, scale in pairs:
        between, result = values[norm.outputs[0]], values[scale.outputs[0]]
        gone.update([*readers[between], makers[result].name])
        main = makers[between]
        main.output[0] = result
        weight = scale.weights["scale"]
        bias = scale.weights.get("bias", np.zeros_like(weight))
        stale.update([between, *main.input[1:3]])
        for index, (key, value) in enumerate({"scale": weight, "bias": bias}.items(), 1):
            main.input[index] = f"{scale.name}.{key}"
            fresh.append(numpy_helper.from_array(value.astype(np.float32), main.input[index]))
    stale.update(tensor.name for tensor in fresh)
    _drop(body.initializer, stale)
    _drop(body.node, gone)
    _drop(body.value_info, stale)
    body.initializer.extend(fresh)


def _drop(items: Any, names: Container[str]) -> None:
    """Delete the items of these names from a repeated field."""
    for index in reversed(range(len(items))):
        if items[index].name in names:
            del items[index]


def _initializer_name(name: str, kinds: Mapping[str, type[ops.Operator]]) -> str:
    """`conv1.weight` as `conv1_W`."""
    layer, _, what = name.rpartition(".")
    if layer not in kinds:
        return name
    return f"{layer}_{SUFFIXES.get(kinds[layer], {}).get(what, what)}"


def _apply(model: onnx.ModelProto, renamed: Mapping[str, str]) -> None:
    body = model.graph
    for node in body.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for info in (*body.input, *body.output, *body.value_info):
        info.name = renamed.get(info.name, info.name)
    for tensor in body.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)


def thaw(model: onnx.ModelProto) -> None:
    """List the initializers as inputs too, as files before IR version 4 had to."""
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)


def freeze(model: onnx.ModelProto) -> None:
    """Take the initializers out of the inputs."""
    _drop(model.graph.input, {tensor.name for tensor in model.graph.initializer})
