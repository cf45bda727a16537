"""Convert a Caffe network to ONNX, with the command lines of caffe2onnx and of caffe-onnx.

    caffe2onnx --prototxt deploy.prototxt --caffemodel net.caffemodel --onnx net.onnx
    caffe2onnx deploy.prototxt net.caffemodel net onnxmodel/       # writes onnxmodel/net.onnx
    python -m demitasse.tools.caffe2onnx --compat --prototxt deploy.prototxt

What is not given has the defaults of those packages: of the first form the prototxt's name with
another extension, of the second ./caffemodel/test/test.prototxt and .caffemodel, the name test and
./onnxmodel/. The model is run beside the reference before it is written.

By itself this is `demitasse convert --to onnx`: folded, with Caffe's blob names. With --compat the
layers and names are as in models of those packages: `data_input`, `conv1_W`, an in-place layer's
value by the layer's name; the initializers are inputs too and the opset is 11, unless --frozen and
--opset say otherwise.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from demitasse.converter.onnx import versions
from demitasse.errors import DataError, DemitasseError
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.convert import written_onnx
from demitasse.tools.main import Formatter, Parser, guarded, reporting

DEFAULTS = {
    "prototxt": "./caffemodel/test/test.prototxt",
    "caffemodel": "./caffemodel/test/test.caffemodel",
    "onnx_name": "test",
    "save_dir": "./onnxmodel/",
}
TRUTH = dict.fromkeys(("true", "1", "yes", "on"), True)
TRUTH |= dict.fromkeys(("false", "0", "no", "off"), False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit status: 0 written, 1 the check failed, 2 bad input."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return guarded(lambda: parser().parse_args(given), "caffe2onnx")


def parser() -> Parser:
    """Both command lines in one."""
    title, _, description = (__doc__ or "").partition("\n")
    top = Parser(
        prog="caffe2onnx",
        usage="caffe2onnx [options] --prototxt P [--caffemodel C] [--onnx O] [--frozen B]\n"
        "       caffe2onnx [options] [prototxt] [caffemodel] [onnx_name] [save_dir]",
        description=f"{title}\n{description.rstrip()}",
        formatter_class=Formatter,
    )
    for name, what in (
        ("prototxt", "the network's text"),
        ("caffemodel", "its weights"),
        ("onnx_name", "the model's name, without .onnx"),
        ("save_dir", "the folder that it is written to"),
    ):
        top.add_argument(name, metavar=name, nargs="?", help=f"{what} (default: {DEFAULTS[name]})")
    named = top.add_argument_group("the same by name")
    named.add_argument("--prototxt", dest="named", metavar="P", help="the network's text")
    named.add_argument("--caffemodel", dest="weights", metavar="C", help="its weights")
    named.add_argument("--onnx", metavar="O", help="the model that is written")
    result = top.add_argument_group("the model")
    result.add_argument(
        "--frozen",
        metavar="B",
        type=truth,
        nargs="?",
        const=True,
        help="True: initializers are not among the inputs (the default without --compat)",
    )
    result.add_argument("--opset", metavar="N", type=shared.positive, help="of ONNX, from 11 on")
    result.add_argument(
        "--compat", action="store_true", help="layers and names as caffe2onnx and caffe-onnx have"
    )
    shared.reading(top)
    reporting(top)
    top.set_defaults(command=command)
    return top


def truth(text: str) -> bool:
    """`True`, `false`, `1`, `no`, ..."""
    if text.lower() not in TRUTH:
        raise ArgumentTypeError(f"'{text}' is neither True nor False")
    return TRUTH[text.lower()]


def command(options: Namespace) -> Answer:
    style, model_name = _complete(options)
    if options.compat:
        return _compatible(options, style, model_name)
    from demitasse.converter.onnx import legacy
    from demitasse.converter.onnx.check import check
    from demitasse.converter.onnx.export import export_onnx
    from demitasse.converter.passes import simplify

    graph = simplify(shared.graph(options))
    model = export_onnx(graph, options.opset or versions.DEFAULT)
    if options.frozen is False:
        legacy.thaw(model)
    return written_onnx(options.out, model, check(model, graph))


def _compatible(options: Namespace, style: str, model_name: str) -> Answer:
    from demitasse.converter.onnx import compat

    how = shared.how_to_read(options)
    net, params = compat.loadcaffemodel(options.prototxt, options.caffemodel, **how)
    opset = options.opset or compat.OPSET
    converter = compat.Caffe2Onnx(net, params, model_name, opset=opset, style=style)
    model = converter.createOnnxModel()
    if options.frozen:
        compat.freeze(model)
    return written_onnx(options.out, model, converter.check(model))


def _complete(options: Namespace) -> tuple[str, str]:
    """Fill in the files by the rules of the form that was used; its style and the graph's name."""
    positional = {name: getattr(options, name) for name in DEFAULTS}
    if options.named is not None:
        if any(positional.values()):
            raise DemitasseError("files are given by name and by place", remedy="choose one form")
        options.prototxt = Path(options.named)
        options.caffemodel = Path(options.weights or options.prototxt.with_suffix(".caffemodel"))
        options.out = Path(options.onnx or options.prototxt.with_suffix(".onnx"))
        style, name = "caffe2onnx", str(options.out)
    else:
        if options.weights or options.onnx:
            raise DemitasseError("--caffemodel and --onnx need --prototxt")
        files = {key: value or DEFAULTS[key] for key, value in positional.items()}
        options.prototxt, options.caffemodel = Path(files["prototxt"]), Path(files["caffemodel"])
        folder = Path(files["save_dir"])
        options.out = folder / f"{files['onnx_name']}.onnx"
        style, name = "caffe-onnx", files["onnx_name"]
    for file in (options.prototxt, options.caffemodel):
        if not file.is_file():
            raise DataError("there is no such file", file=file)
    if style == "caffe-onnx":
        options.out.parent.mkdir(parents=True, exist_ok=True)
    return style, name


if __name__ == "__main__":
    sys.exit(main())
