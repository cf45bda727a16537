"""Functions of one variable."""

from __future__ import annotations

from math import inf

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    Abs,
    Bnll,
    Clip,
    Elu,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PRelu,
    Relu,
    Sigmoid,
    Swish,
    Tanh,
    Threshold,
)
from demitasse.errors import ParseError, ShapeError


@caffe_layer("ReLU")
def relu(context: Context) -> None:
    context.expect()
    params = context.params("relu_param")
    params.ignore("engine")
    context.emit(Relu(params.real("negative_slope", 0.0)))


@caffe_layer("ReLU6")
def relu6(context: Context) -> None:
    """Forks' layer; some give it a threshold, or a slope below zero."""
    context.expect()
    params = context.params("relu6_param")
    params.ignore("engine")
    threshold = params.real("threshold", 6.0)
    slope = params.real("negative_slope", 0.0)
    if slope == 0.0:
        context.emit(Clip(0.0, threshold))
    else:
        context.chain(Relu(slope), Clip(-inf, threshold))


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
    context.refuse_in_place()
    context.emit(Abs())


@caffe_layer("Power")
def power(context: Context) -> None:
    context.expect()
    params = context.params("power_param")
    context.emit(
        Power(params.real("power", 1.0), params.real("scale", 1.0), params.real("shift", 0.0))
    )


@caffe_layer("Exp")
def exponential(context: Context) -> None:
    context.expect()
    params = context.params("exp_param")
    context.emit(Exp(_base(params), params.real("scale", 1.0), params.real("shift", 0.0)))


@caffe_layer("Log")
def logarithm(context: Context) -> None:
    context.expect()
    params = context.params("log_param")
    base = _base(params)
    if base == 1.0:
        raise ParseError("there is no logarithm to base 1")
    context.emit(Log(base, params.real("scale", 1.0), params.real("shift", 0.0)))


def _base(params: Params) -> float:
    """-1 stands for e."""
    base = params.real("base", -1.0)
    if base != -1.0 and not 0.0 < base < inf:
        raise ParseError(f"base must be positive, or -1 for e, found {base:g}")
    return base


@caffe_layer("BNLL")
def bnll(context: Context) -> None:
    context.expect()
    context.emit(Bnll())


@caffe_layer("Threshold")
def threshold(context: Context) -> None:
    context.expect()
    context.emit(Threshold(context.params("threshold_param").real("threshold", 0.0)))


@caffe_layer("Swish", "SiLU")
def swish(context: Context) -> None:
    context.expect()
    context.emit(Swish(context.params("swish_param").real("beta", 1.0)))


@caffe_layer("Clip")
def clip(context: Context) -> None:
    context.expect()
    params = context.params("clip_param")
    for end in ("min", "max"):
        if end not in params:
            raise ParseError(f"has no {end}")
    context.emit(Clip(params.real("min"), params.real("max")))


@caffe_layer("Mish")
def mish(context: Context) -> None:
    """Forks' layer."""
    context.expect()
    context.emit(Mish())


@caffe_layer("HardSwish", "Hswish", "HSwish")
def hard_swish(context: Context) -> None:
    """Forks' layer."""
    context.expect()
    context.params("hardswish_param").ignore("engine")
    context.emit(HardSwish())


@caffe_layer("HardSigmoid", "Hsigmoid", "HSigmoid")
def hard_sigmoid(context: Context) -> None:
    """Two forks' layers: one has a line of its own, the other is half of HardSwish."""
    context.expect()
    params = context.params("hardsigmoid_param")
    params.ignore("engine")
    alpha, beta = params.real("alpha", 0.2), params.real("beta", 0.5)
    if context.layer.param("hardsigmoid_param") is None:
        alpha = 1 / 6
        context.remark(
            "HardSigmoid without a parameter is read as x / 6 + 0.5 between 0 and 1",
            "`hardsigmoid_param { alpha: 0.2 beta: 0.5 }` says otherwise",
        )
    context.emit(HardSigmoid(alpha, beta))


def fused_relu(params: Params) -> Relu | None:
    """What some forks' layers with weights do to their result themselves."""
    slope = params.real("negative_slope", 0.0)
    on = [params.boolean(name, False) for name in ("relu", "is_relu", "fused_relu")]
    return Relu(slope) if any(on) else None
