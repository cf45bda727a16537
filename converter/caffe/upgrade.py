"""Bring a prototxt of any generation to V2: `layer { type: "Convolution" ... }`.

V1 has `layers` with an enum type; V0 is a V1 entry with all its parameters flat in an inner
`layer`. Top-level `input` fields become a layer of type Input. Weights are read of any generation
on their own, so nothing here concerns them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from demitasse.converter.caffe.problems import Problems
from demitasse.converter.caffe.text import Field, Message
from demitasse.errors import ParseError, ShapeError

# V1LayerParameter.LayerType, by number; V2's names
V1_TYPES = {
    "NONE": (0, ""),
    "ACCURACY": (1, "Accuracy"),
    "BNLL": (2, "BNLL"),
    "CONCAT": (3, "Concat"),
    "CONVOLUTION": (4, "Convolution"),
    "DATA": (5, "Data"),
    "DROPOUT": (6, "Dropout"),
    "EUCLIDEAN_LOSS": (7, "EuclideanLoss"),
    "FLATTEN": (8, "Flatten"),
    "HDF5_DATA": (9, "HDF5Data"),
    "HDF5_OUTPUT": (10, "HDF5Output"),
    "IM2COL": (11, "Im2col"),
    "IMAGE_DATA": (12, "ImageData"),
    "INFOGAIN_LOSS": (13, "InfogainLoss"),
    "INNER_PRODUCT": (14, "InnerProduct"),
    "LRN": (15, "LRN"),
    "MULTINOMIAL_LOGISTIC_LOSS": (16, "MultinomialLogisticLoss"),
    "POOLING": (17, "Pooling"),
    "RELU": (18, "ReLU"),
    "SIGMOID": (19, "Sigmoid"),
    "SOFTMAX": (20, "Softmax"),
    "SOFTMAX_LOSS": (21, "SoftmaxWithLoss"),
    "SPLIT": (22, "Split"),
    "TANH": (23, "TanH"),
    "WINDOW_DATA": (24, "WindowData"),
    "ELTWISE": (25, "Eltwise"),
    "POWER": (26, "Power"),
    "SIGMOID_CROSS_ENTROPY_LOSS": (27, "SigmoidCrossEntropyLoss"),
    "HINGE_LOSS": (28, "HingeLoss"),
    "MEMORY_DATA": (29, "MemoryData"),
    "ARGMAX": (30, "ArgMax"),
    "THRESHOLD": (31, "Threshold"),
    "DUMMY_DATA": (32, "DummyData"),
    "SLICE": (33, "Slice"),
    "MVN": (34, "MVN"),
    "ABSVAL": (35, "AbsVal"),
    "SILENCE": (36, "Silence"),
    "CONTRASTIVE_LOSS": (37, "ContrastiveLoss"),
    "EXP": (38, "Exp"),
    "DECONVOLUTION": (39, "Deconvolution"),
}
V1_NUMBERS = {number: v2 for number, v2 in V1_TYPES.values()}
V1_TRAINING = {"blobs_lr", "weight_decay", "blob_share_mode"}

V0_TYPES = {
    "accuracy": "Accuracy",
    "bnll": "BNLL",
    "concat": "Concat",
    "conv": "Convolution",
    "data": "Data",
    "dropout": "Dropout",
    "euclidean_loss": "EuclideanLoss",
    "flatten": "Flatten",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "images": "ImageData",
    "im2col": "Im2col",
    "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "padding": "padding",  # goes away in _fold_padding
    "pool": "Pooling",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "split": "Split",
    "tanh": "TanH",
    "window_data": "WindowData",
}
V0_PARAMS = {
    "Convolution": "convolution_param",
    "Im2col": "convolution_param",
    "InnerProduct": "inner_product_param",
    "Pooling": "pooling_param",
    "Dropout": "dropout_param",
    "LRN": "lrn_param",
    "Concat": "concat_param",
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
}
V0_RENAMED = {
    "biasterm": "bias_term",
    "kernelsize": "kernel_size",
    "batchsize": "batch_size",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
}
V0_TRAINING = {"blobs", "blobs_lr", "weight_decay"}


@dataclass(frozen=True)
class Layer:
    """One V2 layer of the text. `params` are the names under which blobs are shared."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: tuple[str, ...]
    message: Message

    @property
    def line(self) -> int:
        return self.message.line

    def param(self, name: str) -> Message | None:
        """The layer's `*_param` message of this name."""
        return self.message.merged(name)


def upgrade(net: Message, problems: Problems) -> list[Layer]:
    """The net's layers as V2, an Input layer in front where the text has top-level inputs."""
    layers: list[Layer] = []
    if net.all("input"):
        with problems.collect("input", net.all("input")[0].line):
            layers.append(_input_layer(net, problems))
    old, new = net.all("layers"), net.all("layer")
    if old and new:
        problems.add(
            ParseError(
                "has both 'layers' and 'layer', the forms of two generations",
                remedy="write all of them as 'layer'",
            ),
            line=new[0].line,
        )
    for field in old or new:
        with problems.collect(line=field.line):
            message = _from_v1(field.message()) if old else field.message()
            layers.append(_layer(message))
    return _fold_padding(layers, problems)


def _layer(message: Message) -> Layer:
    for name in ("name", "type", "phase"):
        if len(fields := message.all(name)) > 1:
            raise ParseError(f"{name} is given twice", line=fields[1].line)
    return Layer(
        name=_string(message, "name"),
        type=_string(message, "type"),
        bottoms=tuple(field.string() for field in message.all("bottom")),
        tops=tuple(field.string() for field in message.all("top")),
        params=tuple(_string(field.message(), "name") for field in message.all("param")),
        message=message,
    )


def _string(message: Message, name: str) -> str:
    field = message.last(name)
    return "" if field is None else field.string()


def _input_layer(net: Message, problems: Problems) -> Layer:
    """`input`, with `input_shape` (one each) or `input_dim` (four each). What is left over is
    ignored, as in Caffe; too little is a problem."""
    inputs = net.all("input")
    line = inputs[0].line
    shapes, dims = net.all("input_shape"), net.all("input_dim")
    given = len(shapes) if shapes else len(dims) // 4
    if (shapes or dims) and given < len({field.string() for field in inputs}):
        error = ShapeError(
            f"{len(inputs)} inputs, but shapes for {given}",
            remedy="give each an input_shape, or four input_dim",
        )
        problems.add(error, "input", (shapes or dims)[0].line)
        shapes = dims = []
    if dims and not shapes:
        grouped = [dims[i : i + 4] for i in range(0, len(dims), 4)]
        shapes = [
            Field(
                "shape",
                Message(tuple(replace(d, name="dim") for d in group), group[0].line),
                group[0].line,
            )
            for group in grouped
        ]
    shapes = [replace(shape, name="shape") for shape in shapes[: len(inputs)]]
    fields = (
        Field("name", "input", line, quoted=True),
        Field("type", "Input", line, quoted=True),
        *(replace(field, name="top") for field in inputs),
        Field("input_param", Message(tuple(shapes), line), line),
    )
    return _layer(Message(fields, line))


def _from_v1(message: Message) -> Message:
    inner = message.merged("layer")
    if inner is not None:
        return _from_v0(message, inner)
    fields = []
    for field in message.fields:
        if field.name == "type":
            field = replace(field, value=_enum(field), quoted=True)
        elif field.name == "param":
            field = replace(field, value=Message((replace(field, name="name"),), field.line))
        if field.name not in V1_TRAINING:
            fields.append(field)
    return Message(tuple(fields), message.line)


def _enum(field: Field) -> str:
    """V2's name of a V1 layer's type. Raises ParseError for a string, which is V2's."""
    if field.quoted:
        raise ParseError(
            f"a type in quotes, \"{field.value}\", in 'layers'",
            line=field.line,
            remedy="write 'layer', or the type as V1 does, e.g. CONVOLUTION",
        )
    return v2_type(field.word())


def v2_type(word: str) -> str:
    """V2's name of a type that V1 gives by enum or number. Names of V2 and of forks pass."""
    if word in V1_TYPES:
        return V1_TYPES[word][1]
    if re.fullmatch("[0-9]{1,9}", word):
        return V1_NUMBERS.get(int(word), word)
    return word


def _from_v0(outer: Message, inner: Message) -> Message:
    """Flat parameters move into the message that their layer's type reads."""
    kind = _string(inner, "type")
    if kind not in V0_TYPES:
        raise ParseError(
            f"unknown V0 layer type '{kind}'", line=inner.line, layer=_string(inner, "name")
        )
    v2 = V0_TYPES[kind]
    moved, fields = [], []
    for field in inner.fields:
        if field.name == "name":
            fields.append(field)
        elif field.name != "type" and field.name not in V0_TRAINING:
            moved.append(replace(field, name=V0_RENAMED.get(field.name, field.name)))
    fields.append(Field("type", v2, inner.line, quoted=True))
    fields += [field for field in outer.fields if field.name in ("bottom", "top")]
    if moved:
        name = V0_PARAMS.get(v2, f"{kind}_param")
        fields.append(Field(name, Message(tuple(moved), inner.line), inner.line))
    return Message(tuple(fields), outer.line)


def _fold_padding(layers: Iterable[Layer], problems: Problems) -> list[Layer]:
    """V0's `padding` layers become the pad of the convolution or pooling that reads them."""
    pads: dict[str, Layer] = {}
    kept = []
    for layer in layers:
        if layer.type == "padding":
            pads.update(dict.fromkeys(layer.tops, layer))
            continue
        padding = next((pads[b] for b in layer.bottoms if b in pads), None)
        if padding is not None:
            if layer.type not in ("Convolution", "Pooling") or len(layer.bottoms) != 1:
                message = "a padding layer can only feed a convolution or pooling"
                problems.add(ParseError(message), padding.name, padding.line)
            layer = _with_pad(layer, padding)
        kept.append(layer)
    return kept


def _with_pad(layer: Layer, padding: Layer) -> Layer:
    amount = padding.param("padding_param") or Message()
    fields = tuple(f for f in amount.fields if f.name == "pad")
    name = V0_PARAMS.get(layer.type, "padding_param")
    old = layer.param(name) or Message()
    param = Field(name, Message((*old.fields, *fields), padding.line), padding.line)
    others = (field for field in layer.message.fields if field.name != name)
    message = Message((*others, param), layer.line)
    return replace(layer, bottoms=padding.bottoms, message=message)
