"""Networks written in tests: their text, and weights in any form that Caffe ever had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.writer import WeightLayer, write_caffemodel
from demitasse.converter.evaluate import evaluate
from demitasse.converter.graph import Graph

Weights = Mapping[str, Sequence[Any]]
Load = Callable[..., Graph]  # load_text in a test's own folder


def load_text(
    folder: Path, text: str | bytes, weights: Weights | bytes | None = None, **options: Any
) -> Graph:
    """The network of a text; weights are arrays by layer name, or the bytes of a weight file."""
    prototxt, model = folder / "net.prototxt", None
    prototxt.write_bytes(text.encode() if isinstance(text, str) else text)
    if weights is not None:
        model = folder / "net.caffemodel"
        if isinstance(weights, bytes):
            model.write_bytes(weights)
        else:
            write_caffemodel(model, [weight_layer(*item) for item in weights.items()])
    return load_caffe(prototxt, model, **options)


def weight_layer(name: str, arrays: Sequence[Any]) -> WeightLayer:
    return WeightLayer(name, "", arrays=tuple(np.asarray(a, np.float32) for a in arrays))


def data_net(*shape: int) -> str:
    """The input of a text: a blob `data`."""
    return f'input: "data" input_shape {{ {" ".join(f"dim: {dim}" for dim in shape)} }}\n'


def layer(name: str, kind: str, bottoms: str, tops: str | None = None, more: str = "") -> str:
    """A layer of a text; its top is its name unless tops are given, blobs apart by spaces."""
    blobs = [f'bottom: "{bottom}"' for bottom in bottoms.split()]
    blobs += [f'top: "{top}"' for top in (name if tops is None else tops).split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {more} }}\n'


def answer(graph: Graph, *inputs: Any) -> np.ndarray:
    """The only output, for inputs in the order of the graph's."""
    feed = {n: np.asarray(x, np.float32) for n, x in zip(graph.inputs, inputs, strict=True)}
    (value,) = evaluate(graph, feed).values()
    return value


def varint(value: int) -> bytes:
    """A number in base 128, the lowest digit first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def part(number: int, body: bytes) -> bytes:
    """A length-delimited field of a message."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3) + varint(value)


def blob(array: Any, *, legacy: bool = False, data: bytes | None = None) -> bytes:
    """A BlobProto: its shape (or the four fields of old files) and its floats, or other data."""
    array = np.asarray(array, np.float32)
    if legacy:
        four = (*(1,) * (4 - array.ndim), *array.shape)
        head = b"".join(number(i + 1, dim) for i, dim in enumerate(four))
    else:
        head = part(7, part(1, b"".join(map(varint, array.shape))))
    return head + (part(5, array.tobytes()) if data is None else data)


def v1_model(weights: Weights, kind: int = 4, generation: int = 1) -> bytes:
    """A caffemodel as Caffe wrote it in 2014: field 2, an enum type, legacy blobs; V0: 2013."""
    layers = []
    for name, arrays in weights.items():
        blobs = [blob(array, legacy=True) for array in arrays]
        if generation == 0:
            inner = part(1, name.encode()) + part(2, b"conv")
            layers.append(part(1, inner + b"".join(part(50, one) for one in blobs)))
        else:
            body = part(4, name.encode()) + number(5, kind)
            layers.append(body + b"".join(part(6, one) for one in blobs))
    return part(1, b"net") + b"".join(part(2, one) for one in layers)


def v2_model(layers: Mapping[str, Sequence[bytes]], kind: str = "Convolution") -> bytes:
    """A caffemodel of today, with blobs that are encoded already."""
    return b"".join(
        part(
            100,
            part(1, name.encode()) + part(2, kind.encode()) + b"".join(part(7, b) for b in blobs),
        )
        for name, blobs in layers.items()
    )
