"""A graph as an ONNX model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import TensorProto, helper

import demitasse
from demitasse.converter.evaluate import check_weights
from demitasse.converter.graph import Graph, Node
from demitasse.converter.onnx.forms import form_of
from demitasse.converter.onnx.step import Parts, Step, taken
from demitasse.converter.onnx.versions import DEFAULT, check_opset, ir_version
from demitasse.converter.passes import fold_constants
from demitasse.errors import UnsupportedError


def export_onnx(graph: Graph, opset: int = DEFAULT) -> onnx.ModelProto:
    """Write a float graph, folded or not, in operators of ONNX's standard domain.

    Values keep Caffe's blob names, nodes its layer names; shapes, the batch too, stay as the graph
    has them. Weights are initializers, not inputs. The same graph gives the same bytes. Raises
    UnsupportedError for an opset outside of what the installed onnx and onnxruntime support, and
    one that lists all layers without an ONNX form; DemitasseError where weights are missing.
    """
    check_opset(opset)
    check_weights(graph)
    graph = fold_constants(graph)
    names = value_names(graph)
    parts = Parts(opset, taken(names.values()), taken(node.name for node in graph.nodes))
    gaps = []
    counted = graph.counted()
    for node in graph.nodes:
        try:
            if not counted.isdisjoint(node.inputs):
                raise UnsupportedError("its input has as many rows as a run finds")
            _write(parts, graph, node, names)
        except UnsupportedError as error:
            gaps.append((node.name, error.message))
    if gaps:
        raise _without_form(gaps)
    return _model(graph, parts, names)


def serialise(model: onnx.ModelProto) -> bytes:
    """The file's bytes. Raises UnsupportedError beyond what a protobuf can hold."""
    size = model.ByteSize()
    if size >= 2**31:
        raise UnsupportedError(f"a model of {size / 2**30:.1f} GB does not fit into an ONNX file")
    return bytes(model.SerializeToString(deterministic=True))


def value_names(graph: Graph) -> dict[str, str]:
    """What each tensor is called in ONNX: an output as the user knows it, where that is free."""
    names = {name: name for name in graph.tensors}
    for key, name in graph.output_keys().items():
        if name not in graph.inputs and key not in graph.tensors:
            names[name] = key
    return names


def _write(parts: Parts, graph: Graph, node: Node, names: Mapping[str, str]) -> None:
    form = form_of(node.op)
    if form is None:
        raise UnsupportedError(type(node.op).__name__)
    step = Step(parts, graph, node, names)
    results = form(step, node.op)
    results = (results,) if isinstance(results, str) else results
    step.finish(results, [names[name] for name in node.outputs])


def _without_form(gaps: list[tuple[str, str]]) -> UnsupportedError:
    layers = ", ".join(f"'{name}' ({reason})" for name, reason in gaps)
    return UnsupportedError(
        f"without an ONNX form: layer {layers}", remedy="end the network before, with --outputs"
    )


def _model(graph: Graph, parts: Parts, names: Mapping[str, str]) -> onnx.ModelProto:
    outputs = [names[name] for name in graph.outputs]
    nodes = _needed(parts.nodes, outputs)
    read = {name for node in nodes for name in node.input}
    made = {name for node in nodes for name in node.output}
    between = [name for name in graph.tensors if names[name] in made - set(outputs)]
    body = helper.make_graph(
        nodes,
        graph.name or "network",
        _described(graph, names, graph.inputs),
        _described(graph, names, graph.outputs),
        [tensor for name, tensor in parts.initializers.items() if name in read],
        value_info=_described(graph, names, between),
    )
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", parts.opset)],
        ir_version=ir_version(parts.opset),
        producer_name="demitasse",
        producer_version=demitasse.__version__,
    )


def _described(
    graph: Graph, names: Mapping[str, str], tensors: Iterable[str]
) -> list[onnx.ValueInfoProto]:
    """Name, type and shape of each; a number of rows that only a run tells is a symbol."""
    counted = graph.counted()
    found = []
    for name in tensors:
        shape: list[int | str] = [*graph.tensors[name].shape]
        if name in counted:
            shape[2] = f"{names[name]} rows"
        found.append(helper.make_tensor_value_info(names[name], TensorProto.FLOAT, shape))
    return found


def _needed(nodes: list[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Without those that made a shape only."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
