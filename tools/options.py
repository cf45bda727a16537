"""Groups of options that several commands share, and what they mean to the library."""

from __future__ import annotations

import math
import re
import sys
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.graph import Graph, Shape
from demitasse.errors import DataError, DemitasseWarning
from demitasse.protos.dialect import DIALECTS
from demitasse.quantizer.budget import Budget
from demitasse.quantizer.calibrate import DEFAULT_COUNT
from demitasse.quantizer.foreign import FORMATS
from demitasse.quantizer.preprocess import Preprocess, make_preprocess
from demitasse.quantizer.repair import REPAIRS
from demitasse.quantizer.table import Override
from demitasse.quantizer.thresholds import AUTO, DEFAULT_METHOD, METHODS
from demitasse.quantizer.transform import read_transform
from demitasse.quantizer.weight_scales import DEFAULT_METHOD as WEIGHT_METHOD
from demitasse.quantizer.weight_scales import METHODS as WEIGHT_METHODS

T = TypeVar("T")

FOREIGN_READ = ", ".join(f"{ending} ({each.tool})" for ending, each in FORMATS.items())
FOREIGN = ", ".join(f"{end} ({each.tool})" for end, each in FORMATS.items() if each.write)
DATA_HELP = "folder of images, list file, .npy, .npz[:key] or IDX file (.gz too)"


def caffe(parser: ArgumentParser) -> None:
    """The prototxt and the caffemodel; `reading` says how to read them."""
    parser.add_argument(
        "prototxt", type=Path, help="the network's text, or a caffemodel that has the network too"
    )
    parser.add_argument(
        "caffemodel", type=Path, nargs="?", help="its weights: .caffemodel or .caffemodel.h5"
    )


def reading(parser: ArgumentParser) -> None:
    """How a prototxt is read."""
    group = parser.add_argument_group("reading the network")
    group.add_argument(
        "--input-shape",
        dest="input_shapes",
        metavar="NAME=N,C,H,W",
        type=input_shape,
        action="append",
        default=[],
        help="shape of an input; repeatable",
    )
    group.add_argument(
        "--outputs", metavar="A,B", type=names, help="blobs to end at, in place of the tops"
    )
    group.add_argument("--phase", choices=("TEST", "TRAIN"), default="TEST", help="Caffe's phase")
    group.add_argument("--level", metavar="N", type=int, default=0, help="Caffe's level")
    group.add_argument(
        "--stage", dest="stages", metavar="S", action="append", default=[], help="repeatable"
    )
    group.add_argument(
        "--dialect",
        choices=DIALECTS,
        metavar="FORK",
        help="the fork of Caffe that the network was made for; guessed for a caffemodel alone: "
        + ", ".join(DIALECTS),
    )
    group.add_argument(
        "--strict", action="store_true", help="refuse unknown fields in place of a warning"
    )
    group.add_argument(
        "--random-weights",
        metavar="SEED",
        type=seed,
        help="draw the weights that no file gives, as the text's fillers say",
    )
    group.add_argument(
        "--plugin",
        dest="plugins",
        metavar="FILE.py",
        type=Path,
        action="append",
        default=[],
        help="module with layers of your own; repeatable",
    )
    operators(group)


def graph(options: Namespace) -> Graph:
    """The network that the options name. DemitasseError on bad input."""
    return load_caffe(options.prototxt, options.caffemodel, **how_to_read(options))


def how_to_read(options: Namespace) -> dict[str, Any]:
    """What `load_caffe` is told beside the files."""
    return {
        "input_shapes": dict(options.input_shapes) or None,
        "outputs": options.outputs,
        "plugins": options.plugins,
        "phase": options.phase,
        "level": options.level,
        "stages": options.stages,
        "dialect": options.dialect,
        "strict": options.strict,
        "random_weights": options.random_weights,
    }


def count(text: str) -> int | None:
    """A number of images, or `all`."""
    if text == "all":
        return None
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"'{text}' is no number of images")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


def whole(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is no whole number")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal() or int(text) >= 1 << 64:
        raise ArgumentTypeError(f"'{text}' is no whole number")
    return int(text)


def numbers(text: str) -> tuple[float, ...]:
    """`104,117,123`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is no list of numbers such as 104,117,123") from None


def names(text: str) -> tuple[str, ...]:
    """`prob1,conv4-2`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def repair_names(text: str) -> tuple[str, ...]:
    """`bias,rounding`, or `none`."""
    found = names(text)
    if found == ("none",):
        return ()
    if not found or set(found) - set(REPAIRS):
        raise ArgumentTypeError(f"'{text}' is neither none nor of {', '.join(REPAIRS)}")
    return found


def extent(text: str) -> tuple[int, int]:
    """`WxH`, or one number for both; (width, height)."""
    found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)
    if not found or not int(found[1]):
        raise ArgumentTypeError(f"'{text}' is no size such as 256 or 320x240")
    return int(found[1]), int(found[2] or found[1])


def input_shape(text: str) -> tuple[str, Shape]:
    """`data=1,3,224,224`."""
    name, _, dims = text.rpartition("=")
    try:
        shape = tuple(int(part) for part in re.split("[,x]", dims))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise ArgumentTypeError(f"'{text}' is no shape such as data=1,3,224,224")
    return name, shape


def method_of(text: str) -> tuple[str, Override]:
    """`conv1=kl`."""
    name, _, method = text.rpartition("=")
    if not name or method not in METHODS:
        known = ", ".join(sorted(METHODS))
        raise ArgumentTypeError(f"'{text}' is no blob=method; methods are {known}")
    return name, method


def range_of(text: str) -> tuple[str, Override]:
    """`conv1=-1.5,6`."""
    name, _, ends = text.rpartition("=")
    try:
        low, high = (float(end) for end in ends.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not name or not -math.inf < low <= 0 <= high < math.inf:
        raise ArgumentTypeError(f"'{text}' is no range that holds 0, such as conv1=-1.5,6")
    return name, (low, high)


def overrides(options: Namespace) -> dict[str, Override]:
    """What --method-of and --range-of say, by blob."""
    return dict([*options.method_of, *options.range_of])


def preprocessing(parser: ArgumentParser) -> None:
    """From picture to input blob; each flag takes the place of the prototxt's transform_param."""
    group = parser.add_argument_group(
        "preprocessing of pictures", "(pixel - mean) * scale, in the network's channel order"
    )
    group.add_argument("--mean", metavar="A,B,C", type=numbers, help="one value, or one a channel")
    group.add_argument(
        "--mean-file", metavar="FILE", type=Path, help=".binaryproto or .npy, a full image too"
    )
    group.add_argument("--scale", metavar="S", type=numbers, help="one value, or one a channel")
    group.add_argument("--std", metavar="A,B,C", type=numbers, help="divide, instead of --scale")
    group.add_argument(
        "--order",
        choices=("bgr", "rgb", "gray"),
        help="the network's channel order (gray if it has one channel, else bgr)",
    )
    group.add_argument(
        "--resize", metavar="WxH", type=extent, help="stretch to this size, then cut out the centre"
    )
    fit = group.add_mutually_exclusive_group()
    fit.add_argument("--crop", action="store_true", help="cut out the centre, do not stretch")
    fit.add_argument(
        "--letterbox", action="store_true", help="fit the picture inside, with borders of 0"
    )


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing in force, and where it was said."""

    value: Preprocess
    origin: str


FLAGS = ("mean", "mean_file", "scale", "std", "order", "resize", "crop", "letterbox")


def preprocess(options: Namespace) -> Preprocessing:
    """From the flags and the prototxt's transform_param."""
    flags = {name: getattr(options, name) for name in FLAGS}
    given = [f"--{name.replace('_', '-')}" for name in FLAGS if flags[name]]
    root = options.prototxt.parent
    transform = read_transform(options.prototxt, options.phase)
    fields, origins = {}, []
    if transform is not None:
        place = f", line {transform.line}" if transform.line else ""  # none in a caffemodel
        fields, origins = dict(transform.fields), [f"transform_param{place}"]
        if flags["mean"] or flags["mean_file"]:
            fields = {key: fields[key] for key in fields if key not in ("mean_file", "mean_value")}
        name = fields.get("mean_file")
        if name is not None and not (root / name).is_file():
            _miss_mean_file(options, transform.line, name)
            del fields["mean_file"]
    value = make_preprocess(transform_param=fields, root=root, **flags)
    return Preprocessing(
        value, ", ".join([*origins, " ".join(given)]).strip(", ") or "nothing said"
    )


def _miss_mean_file(options: Namespace, line: int, name: str) -> None:
    """Raise DataError if data is to be preprocessed; else warn."""
    error = DataError(
        f"there is no mean file '{name}' beside the prototxt",
        file=options.prototxt,
        line=line,
        remedy="give --mean-file or --mean",
    )
    if getattr(options, "data", None) is not None:
        raise error
    error.message += ": the model's preprocessing of pictures lacks it"
    warnings.warn(str(error), DemitasseWarning, stacklevel=2)


def scheme(parser: ArgumentParser, *, float_too: bool = False) -> None:
    """How ranges become scales."""
    group = parser.add_argument_group("quantization")
    width = group.add_mutually_exclusive_group()
    width.add_argument(
        "--int8", dest="precision", action="store_const", const="int8", help="8 bits (the default)"
    )
    width.add_argument(
        "--int16",
        dest="precision",
        action="store_const",
        const="int16",
        help="practically lossless",
    )
    if float_too:
        width.add_argument(
            "--fp32", dest="precision", action="store_const", const="fp32", help="needs no data"
        )
    parser.set_defaults(precision="int8")
    group.add_argument(
        "--method",
        choices=[AUTO, *sorted(METHODS)],
        default=DEFAULT_METHOD,
        help="of finding INT8 ranges; auto: for each blob the one that its readers lose least by",
    )
    group.add_argument(
        "--method-of",
        metavar="BLOB=M",
        type=method_of,
        action="append",
        default=[],
        help="the method for one blob; repeatable",
    )
    group.add_argument(
        "--range-of",
        metavar="BLOB=LOW,HIGH",
        type=range_of,
        action="append",
        default=[],
        help="the range of one blob; repeatable",
    )
    group.add_argument(
        "--weights",
        choices=sorted(WEIGHT_METHODS),
        default=WEIGHT_METHOD,
        help="of finding the scales of INT8 weights, one for each output channel",
    )
    group.add_argument(
        "--symmetric", action="store_true", help="zero points are 0, as ncnn's tables want it"
    )


def repairs(parser: ArgumentParser) -> None:
    """What is done to the weights of INT8 networks."""
    group = parser.add_argument_group("weights of INT8 networks")
    group.add_argument(
        "--int4-weights",
        metavar="A,B",
        type=names,
        default=(),
        help="store those of these layers, or of `all`, in four bits",
    )
    group.add_argument(
        "--repair",
        metavar="A,B",
        type=repair_names,
        help="means: biases that keep the channels' means; bias: the same on images; "
        "rounding: round so that errors cancel; none (the default but with --int4-weights)",
    )


def data(parser: ArgumentParser, *, required: bool = True) -> None:
    """The images to work on."""
    parser.add_argument("--data", metavar="DATA", required=required, help=DATA_HELP)


def sampling(parser: ArgumentParser) -> None:
    """How much of the data calibrates, and how quickly."""
    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--samples",
        metavar="N",
        type=count,
        default=DEFAULT_COUNT,
        help="images to calibrate with, at most (all: every one)",
    )
    group.add_argument(
        "--no-equalize",
        dest="equalized",
        action="store_false",
        help="leave channels before depthwise convolutions in Caffe's units",
    )
    group.add_argument("--workers", metavar="N", type=positive, default=1, help="processes")


def labels(parser: ArgumentParser, *, required: bool = False) -> None:
    """The right answers."""
    parser.add_argument(
        "--labels",
        metavar="L",
        required=required,
        help=".npy, .npz:key, IDX file or a text with one label a line; a list file may have them",
    )
    parser.add_argument(
        "--top-k", metavar="K", type=positive, default=1, help="what counts as right"
    )
    parser.add_argument("--output", metavar="NAME", help="the output with one score a class")


def budget(parser: ArgumentParser, what: str) -> None:
    """What may be lost."""
    group = parser.add_argument_group("budget", what)
    group.add_argument(
        "--max-drop",
        metavar="POINTS",
        type=float,
        help="of accuracy (without labels, of agreement with float) that may be lost",
    )
    group.add_argument(
        "--min-sqnr", metavar="DB", type=float, help="that every output must have, against float"
    )


def budget_of(options: Namespace) -> Budget | None:
    """What the options allow to lose; None where they say nothing."""
    if options.max_drop is None and options.min_sqnr is None:
        return None
    return Budget(options.max_drop, options.min_sqnr)


def written(parser: ArgumentParser, what: str) -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, required=True, help=what)


def engine(parser: ArgumentParser) -> None:
    """How models run on this machine."""
    parser.add_argument("--kernels", metavar="SET", help="pin the kernels, e.g. generic")
    parser.add_argument("--threads", metavar="N", type=positive, default=1, help="of this machine")


def operators(parser: _ActionsContainer) -> None:
    """Operators of one's own; `main` loads them."""
    parser.add_argument(
        "--operators",
        metavar="LIB.so",
        type=Path,
        action="append",
        default=[],
        help="library with operators of your own (examples/plugins); repeatable",
    )


def sources(options: Namespace) -> list[Path]:
    """The files that the network is read from."""
    return [path for path in (options.prototxt, options.caffemodel) if path is not None]


def is_quiet(options: Namespace) -> bool:
    """Whether progress bars stay away: on request, and where nobody watches."""
    return bool(options.quiet) or not sys.stderr.isatty()


def progress(items: Iterable[T], what: str, options: Namespace) -> Iterable[T]:
    """The items, with a progress bar on a terminal."""
    return tqdm(items, desc=what, unit="sample", leave=False, disable=is_quiet(options))
