"""What each operator is: fields, shapes, cost and float32 reference."""

from demitasse.converter.ops.activation import (
    Abs,
    Activation,
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
    Unary,
)
from demitasse.converter.ops.base import Operator
from demitasse.converter.ops.constant import Constant
from demitasse.converter.ops.conv import Conv2d, Deconv2d, InnerProduct
from demitasse.converter.ops.detection import DetectionOutput, PriorBox, YoloOutput
from demitasse.converter.ops.eltwise import Eltwise
from demitasse.converter.ops.gather import Embed, Gather, Reverse
from demitasse.converter.ops.norm import BatchNorm, Bias, Lrn, Mvn, Normalize, Scale, Softmax
from demitasse.converter.ops.pool import Pool2d, PoolMask, Unpool
from demitasse.converter.ops.quantization import Dequantize, Lookup, Quantize, Rescale
from demitasse.converter.ops.recurrent import Lstm, Rnn
from demitasse.converter.ops.reduce import ArgMax, Reduce
from demitasse.converter.ops.resize import Resize
from demitasse.converter.ops.roi import PsRoiPool, RoiPool
from demitasse.converter.ops.shape import (
    Concat,
    Crop,
    Expand,
    Flatten,
    Identity,
    Permute,
    Reshape,
    Slice,
)

__all__ = [
    "Abs",
    "Activation",
    "ArgMax",
    "BatchNorm",
    "Bias",
    "Bnll",
    "Clip",
    "Concat",
    "Constant",
    "Conv2d",
    "Crop",
    "Deconv2d",
    "Dequantize",
    "DetectionOutput",
    "Eltwise",
    "Elu",
    "Embed",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InnerProduct",
    "Log",
    "Lookup",
    "Lrn",
    "Lstm",
    "Mish",
    "Mvn",
    "Normalize",
    "Operator",
    "PRelu",
    "Permute",
    "Pool2d",
    "PoolMask",
    "Power",
    "PriorBox",
    "PsRoiPool",
    "Quantize",
    "Reduce",
    "Relu",
    "Rescale",
    "Reshape",
    "Resize",
    "Reverse",
    "Rnn",
    "RoiPool",
    "Scale",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Swish",
    "Tanh",
    "Threshold",
    "Unary",
    "Unpool",
    "YoloOutput",
]
