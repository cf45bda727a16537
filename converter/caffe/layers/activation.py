"""Functions of one variable."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Abs, Clip, Elu, Power, PRelu, Relu, Sigmoid, Tanh
from demitasse.errors import ShapeError


@caffe_layer("ReLU")
def relu(context: Context) -> None:
    context.expect()
    params = context.params("relu_param")
    params.ignore("engine")
    context.emit(Relu(params.real("negative_slope", 0.0)))


@caffe_layer("ReLU6")
def relu6(context: Context) -> None:
    """A fork's layer; some give it a threshold."""
    context.expect()
    context.emit(Clip(0.0, context.params("relu6_param").real("threshold", 6.0)))


@caffe_layer("PReLU", weighted=True)
def prelu(context: Context) -> None:
    context.expect()
    params = context.params("prelu_param")
    if len(context.shape) < 2:
        raise ShapeError(f"PReLU needs at least 2 axes, found shape {context.shape}")
    shape = () if params.boolean("channel_shared", False) else (context.shape[1],)
    weights = context.weights(slope=Blob(shape, params.filler("filler")))
    if weights:
        weights["slope"] = weights["slope"].reshape(-1)
    context.emit(PRelu(), weights)


@caffe_layer("ELU")
def elu(context: Context) -> None:
    context.expect()
    context.emit(Elu(context.params("elu_param").real("alpha", 1.0)))


@caffe_layer("Sigmoid")
def sigmoid(context: Context) -> None:
    context.expect()
    context.params("sigmoid_param").ignore("engine")
    context.emit(Sigmoid())


@caffe_layer("TanH")
def tanh(context: Context) -> None:
    context.expect()
    context.params("tanh_param").ignore("engine")
    context.emit(Tanh())


@caffe_layer("AbsVal")
def absolute(context: Context) -> None:
    context.expect()
    context.emit(Abs())


@caffe_layer("Power")
def power(context: Context) -> None:
    context.expect()
    params = context.params("power_param")
    context.emit(
        Power(params.real("power", 1.0), params.real("scale", 1.0), params.real("shift", 0.0))
    )
