"""The integer reference: runs an integer graph with the bits of every back end.

What is not spelled out in FORMAT.md is spelled out in `integer/` (integers) and
`float_reference/` (float32 between Dequantize and Quantize).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from demitasse.converter.evaluate import checked
from demitasse.converter.flat.prepare import prepare
from demitasse.converter.graph import Graph, Node, Tensor
from demitasse.converter.ops import Concat, Constant, Dequantize, Quantize
from demitasse.errors import ShapeError, UnsupportedError
from demitasse.quantizer import float_reference
from demitasse.quantizer.integer import RUNNERS, Call
from demitasse.quantizer.integer.base import quantization
from demitasse.quantizer.scheme import quantize
from demitasse.quantizer.sharing import LAYOUT
from demitasse.runtime.rows import join_rows

Values = dict[str, np.ndarray]


def run_integer(
    graph: Graph, inputs: Mapping[str, np.ndarray], all_blobs: bool = False
) -> dict[str, np.ndarray]:
    """Run an integer graph; the stored values of its outputs, keyed by Caffe's tops.

    inputs: float32 in real units (quantized as the runtime does) or integers of the input's
    dtype, which are taken as stored. Where the graph holds one sample, a batch is run sample by
    sample. `all_blobs` gives every blob. Raises DataError, ShapeError for unfit inputs.
    """
    graph = prepare(graph)
    stored = {
        name: store(graph.tensors[name], np.asarray(x))
        for name, x in checked(graph, inputs).items()
    }
    keys = dict(graph.blobs) if all_blobs else graph.output_keys()
    runs = [_run(graph, sample) for sample in _samples(graph, stored)]
    if len(runs) == 1:
        return {key: runs[0][name] for key, name in keys.items()}
    joins = {name: join_rows for name in graph.counted()}
    return {
        key: joins.get(name, np.concatenate)([run[name] for run in runs])
        for key, name in keys.items()
    }


def store(tensor: Tensor, x: np.ndarray) -> np.ndarray:
    """Real values as the tensor stores them; integers are stored already."""
    if tensor.dtype == "float32" or np.issubdtype(x.dtype, np.integer):
        return x.astype(tensor.dtype)
    quant = quantization(tensor)
    return quantize(x, quant.scale, quant.zero_point, tensor.dtype)


def to_real(tensor: Tensor, stored: np.ndarray) -> np.ndarray:
    """What stored values stand for, float32."""
    if tensor.dtype == "float32":
        return stored
    quant = quantization(tensor)
    return (stored.astype(np.int32) - quant.zero_point).astype(np.float32) * np.float32(quant.scale)


def _samples(graph: Graph, stored: Values) -> list[Values]:
    """The inputs of each run."""
    shapes = {name: graph.tensors[name].shape for name in stored}
    if all(x.shape == shapes[name] for name, x in stored.items()):
        return [stored]
    counts = {x.shape[0] for x in stored.values()}
    for name, x in stored.items():
        if len(counts) != 1 or (1, *x.shape[1:]) != shapes[name]:
            raise ShapeError(f"input {name} has shape {x.shape}, expected {shapes[name]}")
    return [{name: x[i : i + 1] for name, x in stored.items()} for i in range(counts.pop())]


def _run(graph: Graph, inputs: Values) -> Values:
    values = dict(inputs)
    for node in graph.nodes:
        results = run_node(graph, node, [values[name] for name in node.inputs])
        values.update(zip(node.outputs, results, strict=True))
    return values


def run_node(graph: Graph, node: Node, values: list[np.ndarray]) -> list[np.ndarray]:
    """The stored outputs of one node of an integer graph, from its stored inputs."""
    inputs = tuple(graph.tensors[name] for name in node.inputs)
    output = graph.tensors[node.outputs[0]]
    if isinstance(node.op, (*LAYOUT, Concat)):
        return [np.asarray(y, order="C") for y in node.op.reference(values, {})]
    if isinstance(node.op, Constant):
        return [node.weights["value"].astype(output.dtype)]
    if isinstance(node.op, Quantize):
        return [store(output, values[0])]
    if isinstance(node.op, Dequantize):
        return [to_real(inputs[0], values[0])]
    if output.dtype == "float32":
        if not float_reference.has_form(node.op):
            raise UnsupportedError(
                f"{type(node.op).__name__} has no float32 form here", layer=node.name
            )
        return [float_reference.run_float(node.op, values, node.weights)]
    wide = [x if x.dtype == np.float32 else x.astype(np.int64) for x in values]
    call = Call(node, wide, inputs, output)
    return [RUNNERS[type(node.op)](call).astype(output.dtype)]
