"""The C header of a model: sizes, shapes, scales and preprocessing as macros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from demitasse.converter.flat import ModelFile
from demitasse.converter.flat.format import ALIGN, ITEM_SIZES, NONE, PREPROCESS
from demitasse.converter.flat.read import TensorRecord
from demitasse.tools.firmware.kernels import Needs

_TYPES = {"float32": 1, "int8": 2, "int16": 3}
_OPERATORS = {
    "neon": "config.operators = dmt_neon",
    "fast": "config.operators = dmt_generic",
    "short": "the short kernels (..._any_...) first in config.operators",
}
_ORDERS, _FITS = ("GRAY", "RGB", "BGR"), ("STRETCH", "LETTERBOX", "CROP")


def header(name: str, model: ModelFile, needs: Needs, size: int, declaration: Sequence[str]) -> str:
    """The text of NAME.h; `declaration` says what the model's bytes are called."""
    macro = name.upper()
    lines = [
        f"/* The model {name}, written by demitasse embed. All that a caller provides:",
        " *",
        f" *   static _Alignas({macro}_ALIGN) uint8_t persistent[{macro}_PERSISTENT_BYTES];",
        f" *   static _Alignas({macro}_ALIGN) uint8_t arena[{macro}_ARENA_BYTES];",
        f" *   dmt_init(&config, {macro}_MODEL, {macro}_MODEL_BYTES,",
        " *            persistent, sizeof persistent, arena, sizeof arena, &context);",
        " *",
        f" * with config.threads = {macro}_THREADS and {_OPERATORS[needs.kernel_set]}.",
        " * It refuses less.",
        " */",
        f"#ifndef {macro}_H",
        f"#define {macro}_H",
        "",
        "#include <stdint.h>",
        "",
        *_define(macro, "MODEL_BYTES", f"{size}u"),
        *_define(macro, "PERSISTENT_BYTES", f"{needs.persistent}u"),
        *_define(macro, "ARENA_BYTES", f"{needs.arena}u"),
        *_define(macro, "ALIGN", f"{ALIGN}u"),
        *_define(macro, "THREADS", f"{needs.threads}u"),
        *_define(macro, "INPUTS", f"{len(model.inputs)}u"),
        *_define(macro, "OUTPUTS", f"{len(model.outputs)}u"),
    ]
    for kind, ports in (("INPUT", model.inputs), ("OUTPUT", model.outputs)):
        for index, (port, tensor) in enumerate(ports.items()):
            lines += ["", *_tensor(f"{macro}_{kind}{index}", port, model.tensors[tensor])]
    for record in model.preprocess:
        lines += ["", *_preprocessing(macro, record, model)]
    return "\n".join([*lines, "", *declaration, "", "#endif", ""])


def _define(prefix: str, name: str, value: str) -> list[str]:
    return [f"#define {prefix}_{name} {value}"]


def _tensor(prefix: str, name: str, tensor: TensorRecord) -> list[str]:
    shape = tensor.shape
    elements = int(np.prod(shape, dtype=np.int64)) if shape else 1
    lines = [
        *_define(prefix, "NAME", _string(name)),
        *_define(prefix, "DTYPE", f"{_TYPES[tensor.dtype]} /* {tensor.dtype} */"),
        *_define(prefix, "RANK", f"{len(shape)}u"),
        *_define(prefix, "DIMS", _list([f"{n}u" for n in shape] or ["1u"])),
    ]
    for axis, n in enumerate(shape):
        lines += _define(prefix, f"DIM{axis}", f"{n}u")
    if tensor.count:
        lines += ["/* The number of rows, DIM2 at most, is in the view that dmt_output gives. */"]
        lines += _define(prefix, "COUNTED", "1")
    return [
        *lines,
        *_define(prefix, "ELEMENTS", f"{elements}u"),
        *_define(prefix, "BYTES", f"{elements * ITEM_SIZES[tensor.dtype]}u"),
        *_define(prefix, "SCALE", _float(tensor.scale)),
        *_define(prefix, "ZERO_POINT", f"({tensor.zero_point})"),
    ]


def _preprocessing(macro: str, record: bytes, model: ModelFile) -> list[str]:
    """dmt_image does all this; for those who bring pictures by other means."""
    index, order, fit, width, height, _, mean_image, *rest = PREPROCESS.unpack_from(record)
    prefix = f"{macro}_INPUT{index}"
    said: Any = model.metadata.get("preprocess")
    channels = 1 if order == 0 else 3
    lines = [
        "/* Frames become inputs by dmt_image: channel order, fit, (byte - mean) * scale. */",
        *_define(prefix, "ORDER", f"{order} /* {_ORDERS[order]} */"),
        *_define(prefix, "FIT", f"{fit} /* {_FITS[fit]} */"),
        *_define(prefix, "RESIZE_W", f"{width}u"),
        *_define(prefix, "RESIZE_H", f"{height}u"),
        *_define(prefix, "SCALES", _list([_float(x) for x in rest[:channels]])),
    ]
    if mean_image != NONE:
        return [*lines, *_define(prefix, "MEAN_IMAGE", "1")]
    if isinstance(said, dict) and said.get("mean"):
        means = [float(x) for x in said["mean"]]
        means *= channels if len(means) == 1 else 1
        lines += _define(prefix, "MEANS", _list([_float(x) for x in means]))
    return lines


def _string(text: str) -> str:
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{plain}"'


def _float(value: float) -> str:
    """The shortest text that reads back as the same float32."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0", exp_digits=1)
    return f"{text}f"


def _list(items: Sequence[str]) -> str:
    return "{ " + ", ".join(items) + " }"
