"""Which function writes which operator. An operator without a row has no ONNX form.

A form takes a `Step` and the operator, writes nodes and returns the name of each result, one for
each output of the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from demitasse.converter import ops
from demitasse.converter.onnx import (
    activation,
    conv,
    detection,
    eltwise,
    gather,
    norm,
    pool,
    recurrent,
    reduce,
    resize,
    roi,
    shape,
)
from demitasse.converter.onnx.step import Step

Form = Callable[[Step, Any], "str | tuple[str, ...]"]

FORMS: Mapping[type[ops.Operator], Form] = {
    ops.Abs: activation.plain,
    ops.ArgMax: reduce.arg_max,
    ops.BatchNorm: norm.batch_norm,
    ops.Bias: norm.bias,
    ops.Bnll: activation.plain,
    ops.Clip: activation.clip,
    ops.Concat: shape.concat,
    ops.Constant: shape.constant,
    ops.Conv2d: conv.conv2d,
    ops.Crop: shape.crop,
    ops.Deconv2d: conv.deconv2d,
    ops.DetectionOutput: detection.detection_output,
    ops.Eltwise: eltwise.eltwise,
    ops.Elu: activation.elu,
    ops.Embed: gather.embed,
    ops.Exp: activation.exponential,
    ops.Expand: shape.expand,
    ops.Flatten: shape.flatten,
    ops.Gather: gather.gather,
    ops.HardSigmoid: activation.hard_sigmoid,
    ops.HardSwish: activation.hard_swish,
    ops.Identity: shape.identity,
    ops.InnerProduct: conv.inner_product,
    ops.Log: activation.logarithm,
    ops.Lrn: norm.lrn,
    ops.Lstm: recurrent.lstm,
    ops.Mish: activation.mish,
    ops.Mvn: norm.mvn,
    ops.Normalize: norm.normalize,
    ops.PRelu: activation.prelu,
    ops.Permute: shape.permute,
    ops.Pool2d: pool.pool2d,
    ops.PoolMask: pool.pool_mask,
    ops.Power: activation.power,
    ops.PsRoiPool: roi.psroi_pool,
    ops.Reduce: reduce.reduce,
    ops.Relu: activation.relu,
    ops.Reshape: shape.reshape,
    ops.Resize: resize.resize,
    ops.Reverse: gather.reverse,
    ops.Rnn: recurrent.rnn,
    ops.RoiPool: roi.roi_pool,
    ops.Scale: norm.scale,
    ops.Sigmoid: activation.plain,
    ops.Slice: shape.cut,
    ops.Softmax: norm.softmax,
    ops.Swish: activation.swish,
    ops.Tanh: activation.plain,
    ops.Threshold: activation.threshold,
    ops.Unpool: pool.unpool,
    ops.YoloOutput: detection.yolo_output,
}

_CUSTOM: dict[type[ops.Operator], Form] = {}


def register_form(kind: type[ops.Operator], form: Form) -> None:
    """Let an operator class of a plug-in be written by `form`."""
    _CUSTOM[kind] = form


def form_of(op: ops.Operator) -> Form | None:
    """The function that writes the operator, None where there is none."""
    return FORMS.get(type(op)) or _CUSTOM.get(type(op))
