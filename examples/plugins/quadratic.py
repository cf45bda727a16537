"""Read a made-up layer, `Quadratic`, as an operator of its own with a kernel in C.

    layer { name: "q" type: "Quadratic" bottom: "x" top: "y" }

y = (a * x + b) * x + c, with a, b and c for each channel: the layer's three blobs. Use it with
`--plugin examples/plugins/quadratic.py`, and `make -C examples/plugins` for the kernel
(quadratic.c).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.flat.blobs import Sections
from demitasse.converter.flat.custom import register_operator
from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.onnx.forms import register_form
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Operator
from demitasse.converter.ops.base import require
from demitasse.runtime.operators import add_operators

OPCODE = 0x8001  # quadratic.c has it too
LIBRARY = Path(__file__).with_name("out") / "libquadratic.so"


@dataclass(frozen=True)
class Quadratic(Operator):
    """What every back end must compute. Weights: a, b and c of shape (channels,)."""

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) >= 2, f"needs channels, found shape {inputs[0]}")
        return (inputs[0],)

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("a", "b", "c")

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return 2 * prod(outputs[0])

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        """In float32, one operation at a time and in the kernel's order: these are its bits."""
        (x,) = inputs
        a, b, c = (weights[key].reshape(-1, *[1] * (x.ndim - 2)) for key in ("a", "b", "c"))
        return ((a * x + b) * x + c,)


@caffe_layer("Quadratic", weighted=True)
def quadratic(context: Context) -> None:
    context.expect(bottoms=1, tops=1)
    params = context.params("quadratic_param")
    channels = context.shape[1:2]
    blobs = {key: Blob(channels, params.filler(f"{key}_filler")) for key in ("a", "b", "c")}
    context.emit(Quadratic(), context.weights(**blobs))


def encode(op: Quadratic, weights: Arrays, sections: Sections) -> bytes:
    """The parameter record: the number of channels, and where a, b and c stand in CHAN."""
    arrays = [weights[key].astype(np.float32) for key in ("a", "b", "c")]
    channels = arrays[0].size
    return struct.pack("<II", channels, sections.arrays(arrays, channels))


def to_onnx(step: Step, op: Quadratic) -> str:
    """In ONNX's operators; the name of the result."""
    (x,) = step.inputs
    shape = (-1, *[1] * (len(step.shape) - 2))
    a, b, c = (step.constant(step.weights[key].reshape(shape), key) for key in ("a", "b", "c"))
    slope = step.add("Add", step.add("Mul", a, x), b)
    return step.add("Add", step.add("Mul", slope, x), c)


register_operator(Quadratic, OPCODE, encode)
register_form(Quadratic, to_onnx)
if LIBRARY.exists():  # else the network can be read and evaluated, but a model of it not be run
    add_operators(LIBRARY)
