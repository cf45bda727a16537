"""Does an exported model compute what its graph does?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph, Shape
from demitasse.converter.onnx.evaluator import evaluate_onnx
from demitasse.converter.onnx.export import value_names
from demitasse.converter.onnx.versions import runtime
from demitasse.converter.ops import Embed, Gather, PsRoiPool, RoiPool

TOLERANCE = 1e-4  # of a value's largest magnitude

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """How far the model's outputs are from the reference.

    error: largest difference, as a share of the output's largest magnitude. engine: what ran the
    model. first: the first layer that differs, and how; empty where all is well.
    """

    error: float
    engine: str
    first: str = ""

    @property
    def good(self) -> bool:
        return not self.first

    def __str__(self) -> str:
        said = f"largest error {self.error:.2g} of an output's range by {self.engine}"
        agrees = self.good and self.error > TOLERANCE
        return f"{said}, though every layer agrees on the same values" if agrees else said


def check(
    model: onnx.ModelProto, graph: Graph, seed: int = 0, names: Mapping[str, str] | None = None
) -> Verdict:
    """Validate the model with onnx, then run it on random input beside the NumPy reference.

    onnxruntime runs it, or onnx's own reference evaluator where that is not installed. Where an
    output differs each layer is judged by itself, on what the model fed it: the last bit of a value
    may decide which of two is the larger. `names` says what the model calls tensors, if not as
    `value_names`. Raises onnx.checker.ValidationError or onnx.shape_inference.InferenceError for a
    model that is none, or whose shapes are not the graph's.
    """
    onnx.checker.check_model(model, full_check=True)
    names = value_names(graph) if names is None else names
    inputs = sample(graph, seed)
    fed = {names[name]: value for name, value in inputs.items()}
    outputs = run(model, fed, [names[name] for name in graph.outputs])
    expected = _every_value(graph, inputs)
    found = dict(zip(graph.outputs, outputs, strict=True))
    error = max((difference(value, expected[name]) for name, value in found.items()), default=0.0)
    first = ""
    if error > TOLERANCE:
        made = {name for node in model.graph.node for name in node.output}
        seen = [name for name in graph.tensors if names.get(name) in made]
        results = run(opened(model), fed, [names[name] for name in seen])
        first = _first(graph, dict(zip(seen, results, strict=True)), expected)
    return Verdict(error, engine(), first)


def engine() -> str:
    """What runs models here."""
    module = runtime()
    return f"onnxruntime {module.__version__}" if module else f"onnx {onnx.__version__}'s evaluator"


def run(model: onnx.ModelProto, inputs: Values, outputs: list[str]) -> list[np.ndarray]:
    """The named outputs of a model."""
    module = runtime()
    if module is None:
        return evaluate_onnx(model, inputs, outputs)
    options = module.SessionOptions()
    options.log_severity_level = 3
    session = module.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(outputs, dict(inputs))]


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every value that has a shape as an output."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.extend(model.graph.value_info)
    return result


def sample(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Random values for every input; regions where they are regions, indices where they index."""
    generator = np.random.default_rng(seed)
    values = {
        name: generator.standard_normal(graph.tensors[name].shape).astype(np.float32)
        for name in graph.inputs
    }
    for node in graph.nodes:
        op, name = node.op, node.inputs[-1] if node.inputs else ""
        if name not in values:
            continue
        if isinstance(op, RoiPool | PsRoiPool):
            values[name] = _regions(generator, op.scale, *graph.shapes(node.inputs))
        elif isinstance(op, Embed):
            values[name] = _indices(generator, op.rows, values[name].shape)
        elif isinstance(op, Gather) and len(node.inputs) == 2:
            size = graph.tensors[node.inputs[0]].shape[op.axis]
            values[name] = _indices(generator, size, values[name].shape)
    return values


def _indices(generator: np.random.Generator, size: int, shape: Shape) -> np.ndarray:
    return generator.integers(size, size=shape).astype(np.float32)


def _regions(
    generator: np.random.Generator, scale: float, features: Shape, shape: Shape
) -> np.ndarray:
    """(R, 5, ...): number of the image, then two corners inside."""
    images = generator.integers(features[0], size=shape[0])
    corners = generator.random((shape[0], 2, 2)) * features[:1:-1] / scale
    rows = np.concatenate([images[:, None], np.sort(corners, axis=1).reshape(-1, 4)], axis=1)
    return rows.reshape(shape).astype(np.float32)


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest error as a share of the largest magnitude; infinite where shapes or NaNs differ."""
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(all="ignore"):
        error = np.where(same, 0, np.abs(found.astype(np.float64) - expected))
    if not np.isfinite(error).all():
        return float("inf")
    finite = np.abs(expected[np.isfinite(expected)])
    return float(error.max(initial=0)) / max(float(finite.max(initial=0)), 1e-30)


def _every_value(graph: Graph, inputs: Values) -> dict[str, np.ndarray]:
    every = replace(graph, blobs={name: name for name in graph.tensors})
    return evaluate(every, inputs, all_blobs=True)


def _first(graph: Graph, found: Values, expected: Values) -> str:
    """The first layer that makes something else of its inputs than the reference does."""
    values = {**expected, **found}
    for node in graph.nodes:
        results = node.op.reference([values[name] for name in node.inputs], node.weights)
        for name, result in zip(node.outputs, results, strict=True):
            if name in found and (error := difference(found[name], result)) > TOLERANCE:
                layer = f"layer '{node.name}' ({type(node.op).__name__})"
                return f"{layer}: {name} is off by {error:.2g} of its range"
    return ""
