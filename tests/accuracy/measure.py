"""One network, every engine: answers on the judging pictures, and what they are worth."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accuracy import peer
from accuracy.engines import Blobs, blobs_of, demitasse_model, layers_alone
from accuracy.nets import Net, weights_of
from accuracy.scores import Answers, Figures, sqnr
from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph

FLOAT, INT16, INT8, PEER = "float", "INT16", "INT8", "onnxruntime"
SAME = 60.0  # dB that two runtimes of one float network reach easily
OURS = {FLOAT: "fp32", INT16: "int16", INT8: "int8"}


@dataclass(frozen=True)
class Result:
    """Of one network. sqnr, figures: by engine. alone: dB of the worst
    layer of INT16.

    methods: SQNR of the peer's methods. method: the best.
    """

    name: str
    calibrated: int
    judged: int
    sqnr: dict[str, float]
    figures: dict[str, Figures]
    methods: dict[str, float]
    method: str
    alone: float | None

    def record(self) -> dict[str, Any]:
        return asdict(self)


def measure(name: str, net: Net, models: Path) -> Result:
    """Calibrate and judge every engine. Several splits are judged as one set of pictures."""
    material = net.load(models)
    graph = _graph(net, models)
    found: dict[str, Answers] = {}
    alone: float | None = None
    for calibrating, judging in material.splits:
        blobs = blobs_of(judging, material.preprocess, graph)
        with tempfile.TemporaryDirectory(prefix="demitasse-") as folder:
            for engine, precision in OURS.items():
                start = time.monotonic()
                model = demitasse_model(
                    graph, precision, calibrating, material.preprocess, Path(folder)
                )
                found.setdefault(engine, []).extend(model.run(blobs))
                _say(name, engine, start)
                if engine == INT16 and alone is None and model.table is not None:
                    start = time.monotonic()
                    alone = layers_alone(graph, model.table, blobs[0])
                    _say(name, f"{engine} layers", start)
            seen = blobs_of(calibrating, material.preprocess, graph)
            expected = found[FLOAT][-len(blobs) :]
            theirs = _peer(name, net, graph, seen, blobs, expected, Path(folder))
            for method, answers in theirs.items():
                found.setdefault(method, []).extend(answers)
    floats = found[FLOAT]
    ratios = {engine: sqnr(answers, floats, net.heads) for engine, answers in found.items()}
    best = max(peer.METHODS, key=lambda method: ratios[method])
    engines = {engine: found[engine] for engine in OURS} | {PEER: found[best]}
    return Result(
        name,
        max(len(calibrating) for calibrating, _ in material.splits),
        sum(len(judging) for _, judging in material.splits),
        {engine: ratios[engine] for engine in (INT16, INT8)} | {PEER: ratios[best]},
        {engine: material.score(answers, floats) for engine, answers in engines.items()},
        {method: ratios[method] for method in peer.METHODS},
        best,
        alone,
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


def _say(name: str, what: str, start: float) -> None:
    print(f"{name}: {what}, {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
