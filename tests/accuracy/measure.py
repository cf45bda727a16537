"""One network, every engine: answers on the judging pictures, and what they are worth."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accuracy import mnn, peer
from accuracy.engines import Blobs, blobs_of, demitasse_model, layers_alone
from accuracy.nets import Net, Pixels, weights_of
from accuracy.scores import Answers, Figures, sqnr
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph
from demitasse.quantizer.preprocess import Preprocess

FLOAT, INT16, INT8, PEER, OTHER = "float", "INT16", "INT8", "onnxruntime", "MNN"
SAME = 60.0  # dB that two runtimes of one float network reach easily
BROKEN = 10.0  # less says nothing about scales
OURS: dict[str, dict[str, Any]] = {
    FLOAT: {"precision": "fp32"},
    INT16: {"precision": "int16"},
    INT8: {"precision": "int8"},
}
NEAREST, REPAIRED = "INT4 weights", "INT4 weights, repaired"
SMALL: dict[str, dict[str, Any]] = {
    NEAREST: {"precision": "int8", "small_weights": ("all",), "repairs": ()},
    REPAIRED: {"precision": "int8", "small_weights": ("all",)},
}


@dataclass(frozen=True)
class Result:
    """Of one network. sqnr, figures: by engine. alone: dB of the worst
    layer of INT16. methods: SQNR of the peers' methods. method, other: the best of each, or "".
    seconds: to calibrate and quantize, by engine of ours.
    """

    name: str
    calibrated: int
    judged: int
    sqnr: dict[str, float]
    figures: dict[str, Figures]
    methods: dict[str, float]
    method: str
    other: str
    alone: float | None
    seconds: dict[str, float]

    def record(self) -> dict[str, Any]:
        return asdict(self)


def measure(name: str, net: Net, models: Path) -> Result:
    """Calibrate and judge every engine. Several splits are judged as one set of pictures."""
    material = net.load(models)
    graph = _graph(net, models)
    found: dict[str, Answers] = {}
    alone: float | None = None
    ours = OURS | (SMALL if net.small else {})
    seconds: dict[str, float] = {}
    for calibrating, judging in material.splits:
        blobs = blobs_of(judging, material.preprocess, graph)
        with tempfile.TemporaryDirectory(prefix="demitasse-") as folder:
            for engine, options in ours.items():
                start = time.monotonic()
                how = material.preprocess
                model = demitasse_model(graph, options, calibrating, how, Path(folder))
                seconds[engine] = time.monotonic() - start
                found.setdefault(engine, []).extend(model.run(blobs))
                _say(name, engine, start)
                if engine == INT16 and alone is None and model.table is not None:
                    start = time.monotonic()
                    alone = layers_alone(graph, model.table, blobs)
                    _say(name, f"{engine} layers", start)
            seen = blobs_of(calibrating, material.preprocess, graph)
            expected = found[FLOAT][-len(blobs) :]
            theirs = _peer(name, net, graph, seen, blobs, expected, Path(folder))
            theirs |= _other(name, net, (calibrating, judging), how, blobs, expected, Path(folder))
            for method, answers in theirs.items():
                found.setdefault(method, []).extend(answers)
    floats = found[FLOAT]
    found = {engine: answers for engine, answers in found.items() if len(answers) == len(floats)}
    ratios = {engine: sqnr(answers, floats, net.heads) for engine, answers in found.items()}
    best = max(peer.METHODS, key=lambda method: ratios[method])
    other = max((m for m in mnn.METHODS if m in ratios), key=lambda m: ratios[m], default="")
    engines = {engine: found[engine] for engine in ours} | {PEER: found[best]}
    engines |= {OTHER: found[other]} if other else {}
    methods = [method for method in (*peer.METHODS, *mnn.METHODS) if method in ratios]
    return Result(
        name,
        max(len(calibrating) for calibrating, _ in material.splits),
        sum(len(judging) for _, judging in material.splits),
        {
            **{engine: ratios[engine] for engine in ours if engine != FLOAT},
            PEER: ratios[best],
            **({OTHER: ratios[other]} if other else {}),
        },
        {engine: material.score(answers, floats) for engine, answers in engines.items()},
        {method: ratios[method] for method in methods},
        best,
        other,
        alone,
        seconds,
    )


def _graph(net: Net, models: Path) -> Graph:
    text = models / net.folder / "deploy.prototxt"
    outputs = (*net.heads, *(name for name in net.outputs if name not in net.heads))
    graph = load_caffe(text, weights_of(net, models), outputs=outputs)
    if net.size is None:
        return graph
    (name,) = graph.inputs
    shapes = {name: (1, graph.tensors[name].shape[1], *net.size)}
    return load_caffe(text, weights_of(net, models), shapes, outputs)


def _peer(
    name: str,
    net: Net,
    graph: Graph,
    calibrating: Blobs,
    judging: Blobs,
    expected: Answers,
    folder: Path,
) -> dict[str, Answers]:
    """The peer's answers, by method; its float model has to be the same network."""
    (given,) = graph.inputs
    trunk, tail = peer.export(graph, net.heads, folder)
    floats = peer.run(trunk, tail, given, judging)
    if sqnr(floats, expected, net.heads) < SAME:
        raise AssertionError(f"{name}: the exported model is another network")
    found = {}
    for method in peer.METHODS:
        start = time.monotonic()
        quantized = peer.quantize(trunk, method, given, calibrating)
        found[method] = peer.run(quantized, tail, given, judging)
        _say(name, f"onnxruntime {method}", start)
    return found


def _other(
    name: str,
    net: Net,
    pictures: tuple[Pixels, Pixels],
    preprocess: Preprocess,
    blobs: Blobs,
    expected: Answers,
    folder: Path,
) -> dict[str, Answers]:
    """The other peer's answers, by method, where it can."""
    trunk, tail = folder / "trunk.onnx", folder / "tail.onnx"
    shapes = {head: expected[0][head].shape for head in net.heads}
    found = {}
    for method in mnn.METHODS:
        start = time.monotonic()
        answers = mnn.quantized(
            trunk, net.heads, shapes, pictures[0], preprocess, pictures[1], blobs, method, folder
        )
        if answers is None:
            continue
        if sqnr(answers[0], expected, net.heads) < SAME:
            print(f"{name}: MNN reads another network", file=sys.stderr)
            continue
        if sqnr(answers[1], expected, net.heads) < BROKEN:
            print(f"{name}: MNN's INT8 model gives something else", file=sys.stderr)
            continue
        found[method] = peer.with_tail(answers[1], tail if tail.exists() else None)
        _say(name, f"MNN {method}", start)
    return found


def _say(name: str, what: str, start: float) -> None:
    print(f"{name}: {what}, {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
