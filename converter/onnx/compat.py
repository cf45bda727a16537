"""What programs written for the PyPI packages caffe2onnx and caffe-onnx call, on our converter.

    net, params = loadcaffemodel("deploy.prototxt", "net.caffemodel")
    model = Caffe2Onnx(net, params, "net").createOnnxModel()
    freeze(model)
    saveonnxmodel(model, "net.onnx")

Names in the model are theirs; answers are Caffe's. What cannot be converted is a DemitasseError,
where those packages ended the process or left the layer out.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from demitasse.converter.caffe.reader import load_caffe
from demitasse.converter.caffe.text import Message, read_prototxt
from demitasse.converter.files import write_whole
from demitasse.converter.graph import Graph
from demitasse.converter.onnx import legacy
from demitasse.converter.onnx.check import Verdict, check
from demitasse.converter.onnx.export import export_onnx, serialise
from demitasse.converter.onnx.legacy import freeze
from demitasse.errors import DataError, DemitasseError

__all__ = ["Caffe2Onnx", "freeze", "loadcaffemodel", "loadonnxmodel", "saveonnxmodel"]

PathName = str | PathLike[str]
OPSET = 11  # of the onnx that caffe2onnx pins
STYLES = ("caffe2onnx", "caffe-onnx")


@dataclass(frozen=True)
class Net:
    """A prototxt, and how to read it (`load_caffe`'s keywords)."""

    prototxt: Path
    text: Message
    how: dict[str, Any]


@dataclass(frozen=True)
class Params:
    """A caffemodel."""

    caffemodel: Path


def loadcaffemodel(net_path: PathName, model_path: PathName, **how: Any) -> tuple[Net, Params]:
    """The two files. Raises DemitasseError where the text is none or the weights are missing."""
    params = Params(Path(model_path))
    if not params.caffemodel.is_file():
        raise DataError("there is no such file", file=params.caffemodel)
    return Net(Path(net_path), read_prototxt(Path(net_path)), how), params


class Caffe2Onnx:
    """The converter. `style` says which package names the inputs: caffe2onnx calls an Input layer's
    `data_input` and the first of those at the top of a text `input`, caffe-onnx calls them by layer
    and by their own name."""

    def __init__(
        self,
        net: Net,
        params: Params,
        onnxname: str,
        *,
        opset: int = OPSET,
        style: str = STYLES[0],
    ) -> None:
        """Reads the network; raises DemitasseError as `load_caffe` does."""
        if style not in STYLES:
            raise DemitasseError(f"unknown style '{style}'", remedy=f"use {' or '.join(STYLES)}")
        self.graph: Graph = load_caffe(net.prototxt, params.caffemodel, **net.how)
        self._name = str(onnxname)
        self._opset = opset
        self._inputs = _input_names(self.graph, net.text, style)
        self._names: dict[str, str] = {}

    def createOnnxModel(self) -> onnx.ModelProto:
        """The model, its initializers among the inputs (`freeze` takes them out). Raises
        UnsupportedError listing all layers without an ONNX form, DemitasseError where weights are
        missing."""
        model = export_onnx(self.graph, self._opset)
        self._names = legacy.rename(model, self.graph, self._inputs)
        model.graph.name = self._name
        legacy.thaw(model)
        return model

    def check(self, model: onnx.ModelProto, seed: int = 0) -> Verdict:
        """Validate a model that was made here and run it beside the reference on random input."""
        return check(model, self.graph, seed, self._names)


def _input_names(graph: Graph, text: Message, style: str) -> dict[str, str]:
    layers = {t: key.rpartition("@")[2] for key, t in graph.blobs.items() if "@" in key}
    declared = [field.string() for field in text.all("input")]
    alone = {tensor for tensor in graph.inputs if _same_maker(graph, layers, tensor) == 1}
    names = {}
    for tensor in graph.inputs:
        if style == "caffe-onnx":
            own = tensor in declared or tensor not in alone
            names[tensor] = tensor if own else layers.get(tensor, tensor)
        else:
            first = tensor == next(iter(declared), None)
            names[tensor] = "input" if first else f"{tensor}_input"
    return names


def _same_maker(graph: Graph, layers: dict[str, str], tensor: str) -> int:
    """How many inputs the layer has that makes this one."""
    return sum(layers.get(other) == layers.get(tensor) for other in graph.inputs)


def loadonnxmodel(onnx_path: PathName) -> onnx.ModelProto:
    """Read a model. Raises DataError where there is none."""
    try:
        return onnx.load(onnx_path)
    except (OSError, DecodeError) as error:
        raise DataError(f"cannot read an ONNX model: {error}", file=onnx_path) from None


def saveonnxmodel(onnx_model: onnx.ModelProto, onnx_save_path: PathName) -> None:
    """Write a model that onnx accepts, whole or not at all. Raises DemitasseError otherwise."""
    try:
        onnx.checker.check_model(onnx_model)
    except onnx.checker.ValidationError as error:
        raise DemitasseError(f"no valid model: {error}", file=onnx_save_path) from None
    write_whole(Path(onnx_save_path), [serialise(onnx_model)])
