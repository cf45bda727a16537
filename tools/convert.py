"""Convert a network without measuring anything: a float model, or another program's format.

    demitasse convert deploy.prototxt net.caffemodel --to demi -o net.demi
    demitasse convert deploy.prototxt net.caffemodel --to onnx --opset 13 -o net.onnx
    demitasse convert deploy.prototxt net.caffemodel --to caffe -o folded/

The numbers stay float32; `compile` makes integer models. ONNX and Caffe know no preprocessing of
pictures: the network takes what Caffe's input blob held. It is run beside the reference before it
is written. Caffe is written as two files, an upgraded prototxt and its weights:

    -o net.prototxt, -o net.caffemodel    both of them
    -o net.caffemodel.h5                  net.prototxt and the weights as HDF5 (a layer `a/b` is
                                          called `a_b` then: Caffe would not find it in HDF5)
    -o folder/                            deploy.prototxt and net.caffemodel in it

With a scale table, --to caffe shows what an integer model loses in any Caffe, BVLC's too:

    demitasse convert deploy.prototxt net.caffemodel --to caffe --fake-quant net.dtable -o folder/

deploy.prototxt and net.caffemodel are the float network as it is quantized, net.dtable its table,
for `quantize`. fake_quant.caffemodel has the weights that the integers stand for, and
fake_quant.prototxt rounds every value by Power and ReLU layers. Each text goes with each file of
weights, so that weights and activations can be judged apart.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.converter.onnx import versions
from demitasse.converter.passes import optimize, simplify
from demitasse.errors import DataError, DemitasseError, warn
from demitasse.quantizer import compile as pipeline
from demitasse.quantizer.fake_quant import fake_quant, table_for
from demitasse.quantizer.measure import fold
from demitasse.quantizer.table import write_table
from demitasse.quantizer.table_files import open_table
from demitasse.tools import options as shared
from demitasse.tools import report
from demitasse.tools.answer import Answer

if TYPE_CHECKING:
    from onnx import ModelProto

    from demitasse.converter.onnx.check import Verdict


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
    group.add_argument(
        "--fake-quant",
        metavar="TABLE",
        type=Path,
        help=f"to Caffe, rounded as a scale table says: .dtable, or {shared.FOREIGN_READ}",
    )
    shared.preprocessing(parser)
    shared.reading(parser)


def command(options: Namespace) -> Answer:
    if options.fake_quant is not None and (options.to != "caffe" or not options.folded):
        raise DemitasseError(
            "--fake-quant is of a folded network in Caffe's form",
            remedy="give --to caffe, and no --no-fold",
        )
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
    from demitasse.converter.onnx.export import export_onnx

    graph = _exchanged(options)
    model = export_onnx(graph, options.opset)
    return written_onnx(options.out, model, check(model, graph))


def written_onnx(name: Path, model: ModelProto, verdict: Verdict) -> Answer:
    """Write the model if it is as good as its graph."""
    from demitasse.converter.onnx.export import serialise

    content = serialise(model)
    opset = model.opset_import[0].version
    if verdict.good:
        write_whole(name, [content])
        size = f"{len(model.graph.node)} nodes, opset {opset}, {len(content):,} bytes"
        text = f"{name}: {size}; {verdict}"
    else:
        text = f"{name} is not written: {verdict.first}; {verdict}"
    data = {"file": name, "bytes": len(content), "opset": opset}
    data |= {"error": verdict.error, "engine": verdict.engine, "differs": verdict.first or None}
    return Answer(text, data, verdict.good)


def _caffe(options: Namespace) -> Answer:
    from demitasse.converter.caffe.emit.check import TOLERANCE, reread_error
    from demitasse.converter.caffe.emit.write import write_caffe

    if options.fake_quant is not None:
        return _fake_quant(options)
    graph = _exchanged(options)
    files = _pair(options)
    with TemporaryDirectory(prefix=".caffe.", dir=files[0].parent) as folder:
        made = [Path(folder) / file.name for file in files]
        text_file, weights_file = made
        write_caffe(graph, text_file, weights_file)
        error = reread_error(graph, text_file, weights_file)
        sizes = [file.stat().st_size for file in made]
        good = error <= TOLERANCE
        if good:
            for aside, file in zip(made, files, strict=True):
                os.replace(aside, file)
    kept = f"read again, the largest error is {error:.2g} of an output's range"
    names = " and ".join(f"{f} ({size:,} bytes)" for f, size in zip(files, sizes, strict=True))
    text = f"{names}; {kept}" if good else f"{names} are not written: {kept}"
    data = {"prototxt": files[0], "weights": files[1], "bytes": sizes, "error": error}
    return Answer(text, data, good)


def _fake_quant(options: Namespace) -> Answer:
    """Both networks and the table, written aside, read again, and only then put in place."""
    from demitasse.converter.caffe.emit.check import TOLERANCE, reread_error
    from demitasse.converter.caffe.emit.write import write_caffe

    _refuse_preprocessing(options)
    graph, out = shared.graph(options), _folder(options)
    table = open_table(options.fake_quant, graph)
    made = fake_quant(fold(graph, table.equalized), table)
    with TemporaryDirectory(prefix=".caffe.", dir=out) as name:
        aside, errors = Path(name), []
        for stem, weights, each in (
            ("deploy", "net", made.deploy),
            ("fake_quant", "fake_quant", made.fake),
        ):
            pair = aside / f"{stem}.prototxt", aside / f"{weights}.caffemodel"
            write_caffe(each, *pair)
            errors.append(reread_error(each, *pair))
        again = optimize(load_caffe(aside / "deploy.prototxt", aside / "net.caffemodel"))
        try:
            write_table(table_for(table, made.deploy, again), aside / "net.dtable")
        except DataError as error:
            warn([str(error)])
        files = {file.name: file.stat().st_size for file in sorted(aside.iterdir())}
        good = max(errors) <= TOLERANCE
        if good:
            (out / "net.dtable").unlink(missing_ok=True)
            for file in files:
                os.replace(aside / file, out / file)
    kept = f"read again, the largest error is {max(errors):.2g} of an output's range"
    names = ", ".join(f"{file} ({size:,} bytes)" for file, size in files.items())
    text = f"{out}: {names}; {kept}" if good else f"{names} are not written: {kept}"
    data = {"folder": out, "bytes": files, "error": max(errors)}
    return Answer(text, data, good)


def _folder(options: Namespace) -> Path:
    """The folder for a fake-quantized network; it is made."""
    out: Path = options.out
    if not out.is_dir():
        if out.suffix:
            raise DemitasseError(f"{out} is no folder", remedy="give one: several files go there")
        out.mkdir(parents=True, exist_ok=True)
    names = ("deploy.prototxt", "net.caffemodel", "net.dtable", "fake_quant.prototxt")
    for source in (*shared.sources(options), options.fake_quant):
        for file in (out / name for name in (*names, "fake_quant.caffemodel")):
            if source.exists() and file.exists() and source.samefile(file):
                raise DemitasseError(f"{source} would be written over", remedy="give another name")
    return out


def _pair(options: Namespace) -> tuple[Path, Path]:
    """The text and the weights that `--out` means; its folder is made."""
    out: Path = options.out
    if out.is_dir() or not out.suffix:
        out.mkdir(parents=True, exist_ok=True)
        pair = out / "deploy.prototxt", out / "net.caffemodel"
    elif out.suffix == ".h5":
        stem = out.name.removesuffix(".h5").removesuffix(".caffemodel")
        pair = out.with_name(f"{stem}.prototxt"), out
    elif out.suffix in (".prototxt", ".caffemodel"):
        pair = out.with_suffix(".prototxt"), out.with_suffix(".caffemodel")
    else:
        raise DemitasseError(
            f"no name for a Caffe network: {out}",
            remedy="give a .prototxt, .caffemodel or .caffemodel.h5, or a folder",
        )
    if not pair[0].parent.is_dir():
        raise DemitasseError(f"there is no folder {pair[0].parent}")
    for source in shared.sources(options):
        if any(source.exists() and file.exists() and source.samefile(file) for file in pair):
            raise DemitasseError(f"{source} would be written over", remedy="give another name")
    return pair


def _exchanged(options: Namespace) -> Graph:
    """The network for a format that says nothing about pictures."""
    _refuse_preprocessing(options)
    graph = shared.graph(options)
    # Caffe has layers for what depends on shapes alone, such as PriorBox.
    return simplify(graph, constants=options.to != "caffe") if options.folded else graph


def _refuse_preprocessing(options: Namespace) -> None:
    given = [f"--{name.replace('_', '-')}" for name in shared.FLAGS if getattr(options, name)]
    if given:
        raise DemitasseError(
            f"{given[0]} has no place in the format {options.to}",
            remedy="preprocess what the network is fed",
        )


TARGETS = {"caffe": _caffe, "demi": _demi, "onnx": _onnx}
