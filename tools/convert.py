"""Convert a network without measuring anything: a float model, or another program's format.

    demitasse convert deploy.prototxt net.caffemodel --to demi -o net.demi
    demitasse convert deploy.prototxt net.caffemodel --to onnx --opset 13 -o net.onnx

The numbers stay float32; `compile` makes integer models. ONNX knows no preprocessing of pictures:
the model takes what Caffe's input blob held. It is run beside the reference before it is written.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.converter.onnx import versions
from demitasse.converter.passes import simplify
from demitasse.errors import DemitasseError
from demitasse.quantizer import compile as pipeline
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer


def declare(parser: ArgumentParser) -> None:
    shared.caffe(parser)
    parser.add_argument("--to", choices=sorted(TARGETS), default="demi", help="the result's format")
    shared.written(parser, "the float32 model")
    group = parser.add_argument_group("formats of other programs")
    group.add_argument(
        "--opset",
        metavar="N",
        type=shared.positive,
        default=versions.DEFAULT,
        help="of ONNX, from 11 on",
    )
    group.add_argument(
        "--no-fold",
        dest="folded",
        action="store_false",
        help="keep every layer: no BatchNorm goes into a convolution",
    )
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    return TARGETS[options.to](options)


def _demi(options: Namespace) -> Answer:
    graph, preprocess = shared.graph(options), shared.preprocess(options)
    info = pipeline.compile(
        graph,
        options.out,
        "fp32",
        preprocess=preprocess.value,
        sources=shared.sources(options),
    )
    return Answer(report.as_text(info, preprocess), report.as_data(info, preprocess))


def _onnx(options: Namespace) -> Answer:
    from demitasse.converter.onnx.check import check
    from demitasse.converter.onnx.export import export_onnx, serialise

    graph = _exchanged(options)
    model = export_onnx(graph, options.opset)
    content = serialise(model)
    verdict = check(model, graph)
    name = options.out
    kept = f"largest error {verdict.error:.2g} of an output's range by {verdict.engine}"
    if verdict.good:
        write_whole(name, [content])
        size = f"{len(model.graph.node)} nodes, opset {options.opset}, {len(content):,} bytes"
        text = f"{name}: {size}; {kept}"
    else:
        text = f"{name} is not written: {verdict.first}; {kept}"
    data = {"file": name, "bytes": len(content), "opset": options.opset}
    data |= {"error": verdict.error, "engine": verdict.engine, "differs": verdict.first or None}
    return Answer(text, data, verdict.good)


def _exchanged(options: Namespace) -> Graph:
    """The network for a format that says nothing about pictures."""
    given = [f"--{name.replace('_', '-')}" for name in shared.FLAGS if getattr(options, name)]
    if given:
        raise DemitasseError(
            f"{given[0]} has no place in the format {options.to}",
            remedy="preprocess what the network is fed",
        )
    graph = shared.graph(options)
    return simplify(graph) if options.folded else graph


TARGETS = {"demi": _demi, "onnx": _onnx}
