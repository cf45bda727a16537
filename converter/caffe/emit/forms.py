"""Which function writes which operator. An operator without a row has no layer in Caffe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from demitasse.converter import ops
from demitasse.converter.caffe.emit import (
    activation,
    conv,
    detection,
    eltwise,
    gather,
    norm,
    pool,
    recurrent,
    resize,
    shape,
)
from demitasse.converter.caffe.emit.join import Tile
from demitasse.converter.caffe.emit.step import Step

Form = Callable[[Step, Any], None]

FORMS: Mapping[type[ops.Operator], Form] = {
    ops.Abs: activation.plain,
    ops.ArgMax: gather.argmax,
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
    ops.HardSwish: activation.plain,
    ops.Identity: shape.identity,
    ops.InnerProduct: conv.inner_product,
    ops.Log: activation.logarithm,
    ops.Lrn: norm.lrn,
    ops.Lstm: recurrent.recurrent,
    ops.Mish: activation.plain,
    ops.Mvn: norm.mvn,
    ops.Normalize: norm.normalize,
    ops.PRelu: activation.prelu,
    ops.Permute: shape.permute,
    ops.Pool2d: pool.pool2d,
    ops.PoolMask: pool.pool_mask,
    ops.Power: activation.power,
    ops.PriorBox: detection.prior_box,
    ops.PsRoiPool: detection.psroi_pool,
    ops.Reduce: gather.reduce,
    ops.Relu: activation.relu,
    ops.Reshape: shape.reshape,
    ops.Resize: resize.resize,
    ops.Reverse: gather.reverse,
    ops.Rnn: recurrent.recurrent,
    ops.RoiPool: detection.roi_pool,
    ops.Scale: norm.scale,
    ops.Sigmoid: activation.plain,
    ops.Slice: shape.cut,
    ops.Softmax: norm.softmax,
    ops.Swish: activation.swish,
    ops.Tanh: activation.plain,
    Tile: shape.tile,
    ops.Threshold: activation.threshold,
    ops.Unpool: pool.unpool,
    ops.YoloOutput: detection.yolo_output,
}
